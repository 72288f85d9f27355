"""What the app takes of a visitor's file, and what it refuses before that costs memory or minutes."""

import subprocess
import sys
from fractions import Fraction

import clip_reading
import pytest
import torch
from attack_files import huge_picture
from clip_limits import MAX_FRAMES, MAX_SECONDS, WORK_PIXELS
from clip_reading import read_clip, work_size
from hypothesis import given
from hypothesis import strategies as st

from pyratok import PyraTokError, VideoReadError, read_video, write_video


@pytest.fixture
def frames(clip) -> torch.Tensor:
    """Five frames of a real clip at a quarter of its size, uint8 (5, 36, 64, 3)."""
    return read_video(clip, 5)[0][:, ::4, ::4].contiguous()


def many(frames: torch.Tensor, count: int) -> torch.Tensor:
    return frames[torch.arange(count) % len(frames)]


def test_a_clip_within_the_limits_is_taken_as_it_is(clip):
    taken = read_clip(str(clip))
    frames, info = read_video(clip)
    assert torch.equal(taken.frames, frames)
    assert (taken.fps, taken.is_cut) == (info.fps, False)
    assert (taken.file_bytes, taken.stored_size) == (clip.stat().st_size, (144, 256))


def test_large_frames_are_scaled_down_and_keep_their_shape(clips):
    taken = read_clip(str(clips["park"]))
    assert taken.stored_size == (480, 640)
    height, width = taken.frames.shape[1:3]
    assert height * width <= 1.02 * WORK_PIXELS and abs(width / height - 640 / 480) < 0.02
    whole = read_video(clips["park"])[0].float().mean(dim=(1, 2))
    assert (taken.frames.float().mean(dim=(1, 2)) - whole).abs().max() < 2  # the same pictures, not others


@given(height=st.integers(1, 20_000), width=st.integers(1, 20_000))
def test_no_frame_is_more_work_than_the_limit(height, width):
    rows, columns = work_size(height, width)
    padded = [side + -side % 16 for side in (rows, columns)]
    assert 1 <= rows <= max(height, 2) and 1 <= columns <= max(width, 2)
    assert padded[0] * padded[1] <= 2.1 * WORK_PIXELS  # of frames a few pixels high; of others about the limit
    if (height + -height % 16) * (width + -width % 16) <= WORK_PIXELS:
        assert (rows, columns) == (height, width)


def test_a_clip_that_is_too_long_is_refused_with_its_length_and_the_limit(frames, tmp_path):
    write_video(tmp_path / "long.mp4", many(frames, 60), 6)
    with pytest.raises(PyraTokError, match=r"^The clip is 10\.0 s long, and the limit is 4 s: tick the box"):
        read_clip(str(tmp_path / "long.mp4"))


def test_the_beginning_of_a_long_clip_is_taken_if_asked_for(frames, tmp_path):
    write_video(tmp_path / "long.mp4", many(frames, 60), 6)
    taken = read_clip(str(tmp_path / "long.mp4"), beginning=True)
    assert (len(taken.frames), taken.is_cut) == (round(6 * MAX_SECONDS), True)
    assert torch.equal(taken.frames, read_video(tmp_path / "long.mp4", 24)[0])


@pytest.mark.parametrize("name", ["many.mp4", "many.mkv"])  # mkv does not say how many frames it has
def test_too_many_frames_are_refused(name, frames, tmp_path):
    write_video(tmp_path / name, many(frames, MAX_FRAMES + 1), 100)
    with pytest.raises(PyraTokError, match=f"the limit (is|of) {MAX_FRAMES}"):
        read_clip(str(tmp_path / name))
    assert len(read_clip(str(tmp_path / name), beginning=True).frames) == MAX_FRAMES


def test_an_hour_is_refused_before_anything_but_the_first_frame_is_decoded(frames, tmp_path, monkeypatch):
    write_video(tmp_path / "hours.mp4", frames, Fraction(1, 7200))
    monkeypatch.setattr(clip_reading, "_read_frames", lambda *_: pytest.fail("frames were read"))
    with pytest.raises(PyraTokError, match=r"The clip is \d\d min long"):
        read_clip(str(tmp_path / "hours.mp4"))


def test_a_large_file_is_refused_unread(tmp_path):
    with open(tmp_path / "large.mp4", "wb") as file:
        file.truncate(60 * 2**20)
    with pytest.raises(PyraTokError, match=r"The file has 60 MB, and the limit is 50 MB\."):
        read_clip(str(tmp_path / "large.mp4"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.mp4", b"no video at all\n" * 9),
        ("empty.mp4", b""),
        ("<b>.gif", b"GIF89a"),
        ("list.mp4", b"#EXTM3U\n/etc/passwd\n"),
    ],
)
def test_what_is_no_video_is_refused_without_its_path(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VideoReadError) as caught:
        read_clip(str(tmp_path / name))
    assert str(caught.value).startswith("The file ")
    assert name not in str(caught.value) and str(tmp_path) not in str(caught.value)


def test_a_picture_that_would_fill_the_memory_is_refused_before_it_does(tmp_path):
    bomb = huge_picture(tmp_path / "bomb.png")
    assert bomb.stat().st_size < 2_000_000
    code = f"""
import resource
from clip_reading import read_clip
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
try:
    read_clip({str(bomb)!r})
except Exception as problem:
    print(type(problem).__name__, problem)
print(peak() - before)
"""
    folder = clip_reading.__file__.rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    message, megabytes = done.stdout.splitlines()
    assert message.startswith("VideoReadError The file ") and "9,437,184 pixels" in message
    assert int(megabytes) < 60  # decoded it has 256
