"""transformers' own common tests of video processors, from its source distribution, on `PyraTokVideoProcessor`."""

import sys
import unittest

import numpy as np
import torch
from fetch_transformers_tests import common_tests_folder
from named_skips import NamedSkips
from PIL import Image
from transformers.models.auto.video_processing_auto import AutoVideoProcessor

from pyratok import PyraTokVideoProcessor

sys.path.insert(0, str(common_tests_folder()))

from transformers_common_tests import test_video_processing_common as suite

# Without torchvision `transformers` itself offers a class that only raises.
suite.AutoVideoProcessor = AutoVideoProcessor

NO_RESIZING = (
    "PyraTok takes every size as it is: its processor does not resize, crop, rescale, normalise or sample frames"
)
ONLY_RGB = "a video has three channels; PIL images with transparency are laid over black (tested elsewhere)"
NO_LISTS_OF_ARRAYS = "frames come as a list of PIL images or as one array (T, H, W, C), not as a list of arrays"

SKIPS = NamedSkips(
    not_applicable={
        "test_video_processor_from_dict_with_kwargs": NO_RESIZING,
        "test_call_sample_frames": NO_RESIZING,
        "test_call_numpy_4_channels": ONLY_RGB,
        "test_nested_input": NO_LISTS_OF_ARRAYS,
    },
    by_themselves={
        "test_video_processor_explicit_none_preserved": NO_RESIZING,
        "test_override_instance_attributes_does_not_affect_other_instances": NO_RESIZING,
        "test_video_processor_preprocess_arguments": "`preprocess` names its arguments: others are a TypeError",
    },
    by_machine={
        "test_can_compile_fast_video_processor": "needs an accelerator, and is run on request alone (RUN_SLOW=1)"
    },
)


class VideoProcessorTester:
    """Random videos of one size, as PIL lists, arrays or tensors."""

    batch_size = 3
    num_frames = 5
    height, width = 18, 30

    def prepare_video_inputs(self, equal_resolution: bool = True, return_tensors: str = "pil") -> list:
        """A batch; PyraTok stacks the videos of a batch, so they share one size whatever `equal_resolution` says."""
        generator = np.random.default_rng(0)
        shape = (self.num_frames, self.height, self.width, 3)
        videos = [generator.integers(0, 256, shape, dtype=np.uint8) for _ in range(self.batch_size)]
        if return_tensors == "pil":
            return [[Image.fromarray(frame) for frame in video] for video in videos]
        if return_tensors == "torch":
            return [torch.from_numpy(video).movedim(-1, 1) for video in videos]
        return videos

    def expected_output_video_shape(self, videos: list) -> tuple[int, int, int, int]:
        """(T, C, H, W)."""
        return self.num_frames, 3, self.height, self.width


@SKIPS.hold
class TestTransformersCommonVideoProcessor(suite.VideoProcessingTestMixin, unittest.TestCase):
    """All of `VideoProcessingTestMixin`."""

    fast_video_processing_class = PyraTokVideoProcessor
    test_cast_dtype = True

    def setUp(self):
        super().setUp()
        self.video_processor_tester = VideoProcessorTester()
        self.video_processor_dict = {}
