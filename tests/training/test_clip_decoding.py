"""Clips are stretches of the frames that are there, whatever the kind of file, and the same for the same seed."""

import numpy as np
import pytest
import torch
from clip_examples import clip_bytes, smooth_frames
from data_examples import small_picture, small_video, starts_in
from hypothesis import given, settings
from hypothesis import strategies as st

from pyratok.modeling_pyratok.errors import VideoReadError
from pyratok.modeling_pyratok.token_grids import reflected_indices
from pyratok.modeling_pyratok.video_reading import read_video
from pyratok.training.clip_buckets import ClipBucket
from pyratok.training.clip_decoding import UNREADABLE, centre_clip, random_clip
from pyratok.training.clip_windows import ClipVariation, centre_window, random_window, resized

PLAIN = ClipVariation()
VARIED = ClipVariation(resized_share=0.5, minimum_scale=0.5, flip_share=0.5)


def clip_of(media, bucket, seed=0, variation=PLAIN):
    return random_clip(media, bucket, variation, np.random.default_rng(seed))


@pytest.mark.parametrize("name", ["bunny", "city", "dog", "earth", "park"])
def test_a_clip_is_a_window_of_the_video(clips, name):
    frames = read_video(clips[name])[0]
    bucket = ClipBucket(5, frames.shape[1], frames.shape[2], 1)  # all of the frame, so that only time is drawn
    starts = set()
    for seed in range(6):
        clip = clip_of(str(clips[name]), bucket, seed)
        assert torch.equal(clip, clip_of(clips[name].read_bytes(), bucket, seed))
        (start,) = starts_in(frames.numpy(), clip.numpy())
        starts.add(start)
    assert len(starts) > 2


def test_a_clip_is_a_window_of_the_frames(clip):
    frames = read_video(clip)[0]
    found = clip_of(str(clip), ClipBucket(33, 20, 30, 1), seed=1)
    windows = frames.unfold(1, 20, 1).unfold(2, 30, 1)[0]  # (y, x, 3, 20, 30)
    matches = (windows == found[0].permute(2, 0, 1)).flatten(2).all(-1).nonzero()
    assert any(torch.equal(frames[:, y : y + 20, x : x + 30], found) for y, x in matches.tolist())


@pytest.mark.parametrize(
    ("container", "options"),
    [
        ("mp4", {}),
        ("matroska", {}),
        ("mpegts", {}),
        ("h264", {}),  # neither times nor a length
        ("avi", {"codec": "ffv1"}),
        ("gif", {"codec": "gif", "pix_fmt": "rgb8"}),
        ("matroska", {"times": np.cumsum(np.random.default_rng(0).uniform(0.01, 0.2, 12))}),
    ],
)
def test_every_stretch_can_come_out(container, options):
    media = clip_bytes(container, smooth_frames(12, 16, 16), **options)
    frames = read_video(media)[0]
    assert len(frames) == 12
    bucket = ClipBucket(9, 16, 16, 1)
    starts = {start for seed in range(60) for start in starts_in(frames.numpy(), clip_of(media, bucket, seed).numpy())}
    assert {0, 3} <= starts <= {0, 1, 2, 3}
    assert starts == {0, 1, 2, 3} or "times" in options  # at a variable rate some are rarer


def test_a_header_that_announces_too_many_frames(clips):
    frames = read_video(clips["park"])[0]  # 17 where 18 are announced
    bucket = ClipBucket(17, 480, 640, 1)
    for seed in range(4):
        assert torch.equal(clip_of(str(clips["park"]), bucket, seed), frames)
    assert torch.equal(centre_clip(str(clips["park"]), bucket), frames)


@pytest.mark.parametrize("container", ["mp4", "h264"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_short_video_is_played_back_and_forth(container, count):
    media = clip_bytes(container, smooth_frames(count, 16, 16))
    frames = read_video(media)[0]
    expected = frames[reflected_indices(count, 9)]
    bucket = ClipBucket(9, 16, 16, 1)
    assert torch.equal(clip_of(media, bucket), expected)
    assert torch.equal(centre_clip(media, bucket), expected)


def test_pictures(tmp_path):
    media = small_picture(0)
    (tmp_path / "a.png").write_bytes(media)
    image = read_video(media)[0]
    one = clip_of(str(tmp_path / "a.png"), ClipBucket(1, 40, 60, 1))
    assert torch.equal(one, image)
    moving = [clip_of(media, ClipBucket(5, 24, 32, 1), seed) for seed in range(8)]
    assert all(clip.shape == (5, 24, 32, 3) and clip.dtype == torch.uint8 for clip in moving)
    assert 3 < sum(not torch.equal(clip[0], clip[-1]) for clip in moving) <= 8


def test_flips_and_sizes():
    media = small_video(0)
    bucket = ClipBucket(6, 24, 32, 1)
    frames = read_video(media)[0]
    flipped = [clip_of(media, bucket, seed, ClipVariation(flip_share=0.5)) for seed in range(20)]
    assert {(torch.equal(clip, frames), torch.equal(clip, frames.flip(2))) for clip in flipped} == {
        (True, False),
        (False, True),
    }
    assert torch.equal(clip_of(media, bucket, 0, ClipVariation(flip_share=1.0)), frames.flip(2))


@pytest.mark.parametrize("container", ["mp4", "matroska", "h264"])
def test_the_centre(container):
    media = clip_bytes(container, smooth_frames(11, 20, 30))
    frames = read_video(media)[0]
    assert torch.equal(centre_clip(media, ClipBucket(5, 10, 20, 1)), frames[3:8, 5:15, 5:25])
    assert centre_clip(media, ClipBucket(5, 40, 40, 1)).shape == (5, 40, 40, 3)


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    bucket=st.builds(ClipBucket, st.just(1), st.integers(1, 128), st.integers(1, 128), st.just(1)),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None)
def test_windows_lie_in_the_frame_and_are_never_shrunk_too_much(height, width, bucket, seed):
    window = random_window(height, width, bucket, ClipVariation(0.5, 0.5), np.random.default_rng(seed))
    for top, left, box_height, box_width in (window.box, centre_window(height, width, bucket).box):
        assert top >= 0 and left >= 0 and top + box_height <= height and left + box_width <= width
        assert 1 <= box_height <= 2 * bucket.height and 1 <= box_width <= 2 * bucket.width
    assert window.cut(torch.zeros(height, width, 3, dtype=torch.uint8)).shape == (bucket.height, bucket.width, 3)


def test_a_window_is_resized_and_does_not_keep_the_frame():
    frame = torch.from_numpy(smooth_frames(1, 64, 64)[0])
    window = random_window(64, 64, ClipBucket(1, 16, 16, 1), ClipVariation(1.0, 0.5), np.random.default_rng(2))
    top, left, height, width = window.box
    assert 16 < height <= 32
    part = frame[top : top + height, left : left + width]
    assert torch.equal(window.cut(frame), resized(part[None], 16, 16)[0])
    plain = centre_window(64, 64, ClipBucket(1, 16, 16, 1)).cut(frame)
    assert plain.is_contiguous() and plain.untyped_storage().nbytes() == 16 * 16 * 3


@pytest.mark.parametrize("kind", ["text", "cut short", "missing", "address", "damaged"])
def test_unreadable(tmp_path, kind):
    path = tmp_path / "clip.mp4"
    data = small_video(0, 24)
    path.write_bytes({"text": b"this is no video", "cut short": data[: len(data) // 2]}.get(kind, data))
    media = str(path)
    if kind == "damaged":
        start = data.index(b"mdat")
        media = data[: start + 900] + bytes(400) + data[start + 1300 :]
    elif kind == "missing":
        media = str(tmp_path / "gone.mp4")
    elif kind == "address":
        media = f"file://{tmp_path}/gone.mp4"
    with pytest.raises(UNREADABLE) as caught:
        random_clip(media, ClipBucket(24, 16, 16, 1), VARIED, np.random.default_rng(0))
    assert isinstance(caught.value, VideoReadError)


def test_an_address_is_fetched(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(small_video(3))
    bucket = ClipBucket(6, 24, 32, 1)
    assert torch.equal(clip_of(f"file://{tmp_path}/clip.mp4", bucket), clip_of(str(tmp_path / "clip.mp4"), bucket))
