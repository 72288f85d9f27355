"""The processor: every kind of video in, values in [-1, 1] out, pictures back, and the Auto classes."""

import io
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from clip_examples import smooth_frames
from PIL import Image
from transformers import AutoProcessor

import pyratok
from pyratok.modeling_pyratok.errors import PyraTokError, VideoReadError
from pyratok.modeling_pyratok.pixel_values import frames_to_values, values_to_frames
from pyratok.modeling_pyratok.video_processing_pyratok import PyraTokVideoProcessor
from pyratok.modeling_pyratok.video_reading import read_video

FRAMES = smooth_frames(3, 10, 14)


@pytest.fixture
def processor() -> PyraTokVideoProcessor:
    return PyraTokVideoProcessor()


def expected_values() -> torch.Tensor:
    return torch.from_numpy(FRAMES).permute(0, 3, 1, 2)[None].float() / 127.5 - 1


SAME_VIDEO = {
    "uint8 array": FRAMES,
    "float64 array": FRAMES / 255,
    "float32 array": (FRAMES / 255).astype(np.float32),
    "array of BGR turned to RGB": np.ascontiguousarray(FRAMES[..., ::-1])[..., ::-1],
    "array of another byte order": (FRAMES / 255).astype(">f4"),
    "float tensor": torch.from_numpy(FRAMES).permute(0, 3, 1, 2) / 255,
    "float64 tensor": torch.from_numpy(FRAMES / 255).permute(0, 3, 1, 2),
    "uint8 tensor": torch.from_numpy(FRAMES).permute(0, 3, 1, 2),
    "PIL images": [Image.fromarray(frame) for frame in FRAMES],
    "tuple of PIL images": tuple(Image.fromarray(frame) for frame in FRAMES),
    "batch array": FRAMES[None],
    "batch tensor": torch.from_numpy(FRAMES).permute(0, 3, 1, 2)[None] / 255,
    "list of arrays": [FRAMES],
    "list of lists": [[Image.fromarray(frame) for frame in FRAMES]],
}


@pytest.mark.parametrize("kind", SAME_VIDEO)
def test_kinds_of_video(processor, kind):
    values = processor(SAME_VIDEO[kind])["pixel_values_videos"]
    assert values.shape == (1, 3, 3, 10, 14) and values.dtype == torch.float32
    assert torch.allclose(values, expected_values(), atol=1e-6)
    assert torch.equal(values, processor.preprocess(SAME_VIDEO[kind], return_tensors="pt").pixel_values_videos)
    assert torch.equal(torch.stack(list(processor.stream(SAME_VIDEO[kind]))), values[0])


def test_files(processor, clip):
    frames, _ = read_video(clip)
    for source in (clip, str(clip), clip.read_bytes(), io.BytesIO(clip.read_bytes())):
        values = processor(source)["pixel_values_videos"]
        assert torch.equal(values[0], frames_to_values(frames))
    assert torch.equal(torch.stack(list(processor.stream(clip))), values[0])
    assert torch.equal(torch.stack(list(processor.stream([str(clip)]))), values[0])
    assert processor([clip, str(clip)])["pixel_values_videos"].shape == (2, 33, 3, 144, 256)


def test_a_picture_is_a_video_of_one_frame(processor):
    image = Image.fromarray(FRAMES[0])
    assert torch.equal(processor(image)["pixel_values_videos"], expected_values()[:, :1])


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "LA", "CMYK"])
def test_modes_of_pil_images(processor, mode):
    image = Image.fromarray(FRAMES[0]).convert(mode)
    values = processor([image])["pixel_values_videos"]
    assert torch.equal(values[0], frames_to_values(torch.from_numpy(np.array(image.convert("RGB"))))[None])


def test_transparency_is_laid_over_black(processor):
    image = Image.new("RGBA", (4, 4), (200, 100, 50, 0))
    assert torch.equal(processor(image)["pixel_values_videos"], torch.full((1, 1, 3, 4, 4), -1.0))


def test_numpy_output(processor):
    values = processor(FRAMES, return_tensors="np")["pixel_values_videos"]
    assert isinstance(values, np.ndarray) and values.shape == (1, 3, 3, 10, 14)


def test_extremes_and_gradients(processor):
    video = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1).repeat(1, 3, 2, 2).requires_grad_()
    values = processor(video)["pixel_values_videos"]
    assert values.min() == -1 and values.max() == 1
    values.sum().backward()
    assert torch.equal(video.grad, torch.full_like(video, 2))


def test_rounding_beyond_the_range_is_forgiven(processor):
    values = processor(torch.full((1, 3, 2, 2), 1 + 1e-6))["pixel_values_videos"]
    assert values.max() == 1


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (FRAMES.astype(np.float32), "divide by 255"),
        (FRAMES / 127.5 - 1, r"take \(values \+ 1\) / 2"),
        (np.full((1, 4, 4, 3), np.nan), "got values from nan"),
        (np.full((1, 4, 4, 3), np.inf), "to inf"),
        (FRAMES.astype(np.int64), "got torch.int64"),
        (FRAMES[0], r"\(T, H, W, 3\), got \(10, 14, 3\)"),
        (FRAMES[..., :1], r"got \(3, 10, 14, 1\)"),
        (FRAMES.transpose(0, 3, 1, 2), "channels first are for tensors"),
        (torch.from_numpy(FRAMES), "channels last are for arrays"),
        (torch.zeros(0, 3, 4, 4), "at least one frame"),
        (torch.zeros(2, 3, 0, 4), "at least one frame"),
        ([], "empty list"),
        ([[]], "empty list"),
        ([Image.new("RGB", (4, 4)), Image.new("RGB", (4, 5))], "image 0 is 4x4 and image 1 is 4x5"),
        ([FRAMES, FRAMES[:2]], "video 0 has 3 frames of 14x10 and video 1 has 2 frames of 14x10"),
    ],
)
def test_wrong_videos(processor, video, message):
    with pytest.raises(PyraTokError, match=message):
        processor(video)


def test_what_is_no_video(processor):
    for video in (3, None, [3], [Image.new("RGB", (4, 4)), 3], {"a": 1}):
        with pytest.raises(TypeError):
            processor(video)
    with pytest.raises(TypeError):
        processor(FRAMES, do_resize=True)


def test_a_wrong_file_raises_at_once(processor, tmp_path):
    for read in (processor, processor.stream):
        with pytest.raises(VideoReadError, match="does not exist"):
            read(tmp_path / "no.mp4")


def test_one_video_at_a_time_is_streamed(processor):
    assert isinstance(processor.stream(FRAMES), Iterator)
    with pytest.raises(PyraTokError, match="one video at a time"):
        processor.stream([FRAMES, FRAMES])


# --- back to pictures


@pytest.mark.parametrize("output_type", ["pt", "np", "pil"])
def test_postprocess(processor, output_type):
    values = torch.cat([expected_values(), -expected_values()])
    pictures = processor.postprocess_video(values, output_type)
    if output_type == "pil":
        assert len(pictures) == 2 and len(pictures[0]) == 3 and pictures[0][0].size == (14, 10)
        assert (np.stack([np.asarray(image) for image in pictures[0]]) == FRAMES).all()
        return
    shape = (2, 3, 3, 10, 14) if output_type == "pt" else (2, 3, 10, 14, 3)
    assert pictures.shape == shape and isinstance(pictures, torch.Tensor if output_type == "pt" else np.ndarray)
    assert torch.allclose(processor(pictures)["pixel_values_videos"], values, atol=1e-6)


def test_postprocess_clamps(processor):
    values = torch.tensor([-3.0, 3.0]).reshape(1, 2, 1, 1, 1).expand(1, 2, 3, 2, 2).to(torch.bfloat16)
    pictures = processor.postprocess_video(values, "pt")
    assert pictures.dtype == torch.float32 and pictures.min() == 0 and pictures.max() == 1
    assert processor.postprocess_video(values, "pil")[0][1].getpixel((0, 0)) == (255, 255, 255)


def test_postprocess_refuses(processor):
    with pytest.raises(ValueError, match="'np', 'pt' or 'pil', got 'jpg'"):
        processor.postprocess_video(torch.zeros(1, 1, 3, 2, 2), "jpg")
    with pytest.raises(ValueError, match=r"\(B, T, C, H, W\)"):
        processor.postprocess_video(torch.zeros(1, 3, 2, 2))


def test_frames_and_values_are_inverse():
    frames = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 256, 1).expand(2, 3, 256, 3)
    values = frames_to_values(frames)
    assert values.shape == (2, 3, 3, 256) and values.min() == -1 and values.max() == 1
    assert torch.equal(values_to_frames(values), frames)


# --- saving and loading


def test_save_and_load(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    loaded = PyraTokVideoProcessor.from_pretrained(tmp_path)
    assert loaded.to_dict() == processor.to_dict()
    assert torch.equal(loaded(FRAMES)["pixel_values_videos"], processor(FRAMES)["pixel_values_videos"])


def test_auto_processor(processor, tiny_config, tmp_path):
    tiny_config.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert isinstance(AutoProcessor.from_pretrained(tmp_path), pyratok.PyraTokVideoProcessor)
