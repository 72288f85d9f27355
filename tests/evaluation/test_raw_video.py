"""Raw 4:2:0 files: the same frames as the same bytes in a container that states the size, streamed, of any size."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_examples import smooth_frames
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyratok import PyraTokConfig, PyraTokModel, VideoReadError, read_video
from pyratok.evaluation.raw_video import RawVideoReader, open_video
from pyratok.modeling_pyratok.video_reading import VideoReader
from pyratok.training import reconstruction_evaluation


def planes(frames: int, height: int, width: int, seed: int = 0) -> list[bytes]:
    """The bytes of each frame: random pixels, luma and the two chroma planes of half the size, rounded up."""
    size = height * width + 2 * ((height + 1) // 2) * ((width + 1) // 2)
    return [frame.tobytes() for frame in np.random.default_rng(seed).integers(16, 236, (frames, size), np.uint8)]


def write_raw(folder: Path, frames: list[bytes], height: int, width: int, rate: int = 30) -> Path:
    path = folder / f"film_{width}x{height}_{rate}.yuv"
    path.write_bytes(b"".join(frames))
    return path


def write_y4m(folder: Path, frames: list[bytes], height: int, width: int, rate: int = 30) -> Path:
    """The same in YUV4MPEG2, which states the size in a header."""
    path = folder / "film.y4m"
    header = f"YUV4MPEG2 W{width} H{height} F{rate}:1 Ip A1:1 C420mpeg2\n".encode()
    path.write_bytes(header + b"".join(b"FRAME\n" + frame for frame in frames))
    return path


@given(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_frames_are_those_of_the_same_bytes_in_a_container(tmp_path, frames, height, width):
    data = planes(frames, height, width)
    with open_video(write_raw(tmp_path, data, height, width)) as reader:
        raw = torch.stack(list(reader))
    assert raw.shape == (frames, height, width, 3) and raw.dtype == torch.uint8
    assert torch.equal(raw, read_video(write_y4m(tmp_path, data, height, width))[0])


def test_high_definition_has_the_colours_of_high_definition(tmp_path):
    data = planes(1, 8, 1280)
    (frame,) = RawVideoReader(write_raw(tmp_path, data, 8, 1280))
    assert torch.equal(frame, read_video(write_y4m(tmp_path, data, 8, 1280))[0][0])


def test_what_is_known_comes_from_the_name_and_the_size(tmp_path):
    with RawVideoReader(write_raw(tmp_path, planes(5, 6, 10), 6, 10, rate=25)) as reader:
        info = reader.info
        assert (info.height, info.width, info.fps, info.num_frames) == (6, 10, Fraction(25), 5)
        assert info.duration == 0.2 and not info.has_audio and not info.is_image
        first, again = torch.stack(list(reader)), torch.stack(list(reader))
    assert torch.equal(first, again)
    with pytest.raises(VideoReadError, match="was closed before it was read"):
        list(reader)


def test_a_file_of_gigabytes_is_read_a_frame_at_a_time(tmp_path):
    """A sparse file, larger than the memory: only what is asked for is read."""
    path = tmp_path / "film_1920x1080_30.yuv"
    path.touch()
    os.truncate(path, 1920 * 1080 * 3 // 2 * 100_000)
    with open_video(path) as reader:
        assert reader.info.num_frames == 100_000
        frames = iter(reader)
        assert next(frames).shape == next(frames).shape == (1080, 1920, 3)
        frames.close()


@pytest.mark.parametrize("name", ["film.yuv", "film_1920x1080.yuv", "film_0x8_30.yuv", "film_8x8_30_qp.yuv"])
def test_a_name_without_the_size_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"x" * 96)
    with pytest.raises(VideoReadError, match=f"{name}' is raw video, and its name does not say the size"):
        open_video(tmp_path / name)


def test_a_file_that_is_cut_short_empty_or_missing_is_refused(tmp_path):
    path = write_raw(tmp_path, planes(2, 8, 8), 8, 8)
    os.truncate(path, 150)
    with pytest.raises(VideoReadError, match=r"holds 150 bytes, which is no whole number of frames of 8x8 \(96 bytes"):
        open_video(path)
    os.truncate(path, 0)
    with pytest.raises(VideoReadError, match=r"is empty \(0 bytes\)"):
        open_video(path)
    path.unlink()
    with pytest.raises(VideoReadError, match="does not exist"):
        open_video(path)


def test_other_files_have_the_usual_reader(clip):
    with open_video(clip) as reader:
        assert isinstance(reader, VideoReader)


def test_a_reconstruction_is_measured_on_raw_video(tmp_path):
    """The frames that are measured are those of the file, whichever way it is stored."""
    torch.manual_seed(0)
    model = PyraTokModel(PyraTokConfig.tiny()).eval()
    pixels = smooth_frames(6, 32, 48)[..., :1]
    data = [frame.tobytes() + bytes([120]) * (2 * 16 * 24) for frame in pixels]
    files = [write_raw(tmp_path, data, 32, 48), write_y4m(tmp_path, data, 32, 48)]
    evaluation = reconstruction_evaluation.evaluate_reconstruction(model, files, open_video=open_video)
    raw, contained = (evaluation.file_reports[str(path)][0] for path in files)
    assert repr(raw) == repr(contained)  # a perceptual distance that is not measured is NaN, which equals nothing
    assert raw.frames == 6 and evaluation.unreadable == {}
