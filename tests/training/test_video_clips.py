"""Clips are a pure function of their number, and hold what they should."""

import dataclasses
import logging

import numpy as np
import pytest
import torch

from pyratok.modeling_pyratok import video_reading
from pyratok.training.media_files import DataError, DecodedFiles, MediaFile, list_images, list_videos
from pyratok.training.video_clips import (
    ClipSampler,
    ClipShape,
    centre_video_clip,
    moving_image_clip,
    random_video_clip,
)

LONGEST = 7 * 48 * 64 * 3
"""Bytes of the longest video, decoded."""

SHAPE = ClipShape(5, 24, 32, resized_share=0.5, minimum_scale=0.5, flip_share=0.5)


@pytest.fixture
def videos(data_folder) -> list[MediaFile]:
    return list_videos(str(data_folder / "video"), "train")


def test_files_and_captions_are_listed(data_folder, videos):
    assert len(videos) == 5
    assert {file.caption for file in videos} == {"nothing", *(f"pattern {number}" for number in range(4))}
    assert [file.caption for file in list_images(str(data_folder / "images"), "train")] == [None, None]
    with pytest.raises(DataError, match="cannot list the videos of split 'test'"):
        list_videos(str(data_folder / "video"), "test")
    with pytest.raises(DataError, match="cannot list"):
        list_videos(str(data_folder / "nowhere"), "train")


@pytest.mark.parametrize("clips_per_decode", [1, 3])
def test_clips_depend_on_their_number_alone(data_folder, videos, clips_per_decode):
    def sampler(cache_bytes: float, seed: int = 3) -> ClipSampler:
        images = DecodedFiles(list_images(str(data_folder / "images"), "train"), cache_bytes)
        decoded = DecodedFiles(videos, cache_bytes)
        return ClipSampler(decoded, SHAPE, seed, images, 0.4, clips_per_decode, decode_pool=2)

    forwards, backwards = sampler(1e9), sampler(LONGEST)
    there = [forwards.clip(number) for number in range(24)]
    back = [backwards.clip(number) for number in reversed(range(24))][::-1]
    for (clip, caption), (again, caption_again) in zip(there, back, strict=True):
        assert torch.equal(clip, again) and caption == caption_again
    assert not torch.equal(sampler(1e9, seed=4).batch(range(8)).frames, forwards.batch(range(8)).frames)


def test_every_video_comes_once_per_pass(videos):
    readable = [file for file in videos if "broken" not in file.path]
    sampler = ClipSampler(DecodedFiles(readable, 1e9), SHAPE, seed=0)
    passes = [[sampler.clip(4 * epoch + place)[1] for place in range(4)] for epoch in range(6)]
    assert all(len(set(captions)) == 4 for captions in passes)
    assert len({tuple(captions) for captions in passes}) > 1


def test_several_clips_per_decode_alternate_between_videos(videos):
    readable = [file for file in videos if "broken" not in file.path]
    sampler = ClipSampler(DecodedFiles(readable, 1e9), SHAPE, seed=0, clips_per_decode=3, decode_pool=2)
    captions = [sampler.clip(number)[1] for number in range(12)]
    assert captions[0] == captions[2] == captions[4] != captions[1] == captions[3] == captions[5]
    assert set(captions[:6]).isdisjoint(captions[6:])


def test_an_unreadable_file_is_named_counted_and_skipped(videos, caplog):
    decoded = DecodedFiles(videos, 1e9)
    with caplog.at_level(logging.WARNING):
        batch = ClipSampler(decoded, SHAPE, seed=0).batch(range(15))
    assert batch.frames.shape == (15, 5, 24, 32, 3) and batch.frames.dtype == torch.uint8
    assert "nothing" not in batch.captions
    assert len(decoded.unreadable) == 1 and "broken.mp4" in next(iter(decoded.unreadable))
    assert sum("skipped unreadable file" in record.message for record in caplog.records) == 1
    broken = [file for file in videos if "broken" in file.path]
    with pytest.raises(DataError, match="none of the 1 files can be read"):
        DecodedFiles(broken, 1e9).frames(0)


@pytest.mark.parametrize("announced", [True, False])
def test_a_file_larger_than_the_cache_is_named_counted_and_skipped(data_folder, videos, monkeypatch, announced):
    describe = video_reading._describe
    if not announced:  # as in many a webm
        monkeypatch.setattr(
            video_reading, "_describe", lambda *of: dataclasses.replace(describe(*of), num_frames=None)
        )
    decoded = DecodedFiles([file for file in videos if "broken" not in file.path], LONGEST - 1)
    for index in range(4):
        assert decoded.frames(index)[0].caption != "pattern 3"
    ((path, reason),) = decoded.unreadable.items()
    assert "train_3.mp4" in path and "more than the 6 frames of 64x48" in reason and "cache_gigabytes" in reason


def test_the_cache_makes_room(videos):
    readable = [file for file in videos if "broken" not in file.path]
    decoded = DecodedFiles(readable, LONGEST)
    first = decoded.frames(0)[1]
    assert decoded.frames(0)[1] is first
    for index in (1, 2, 3):
        decoded.frames(index)
    assert decoded.frames(0)[1] is not first


def test_a_clip_without_resizing_is_a_window():
    frames = torch.randint(0, 256, (9, 40, 50, 3), dtype=torch.uint8)
    clip = random_video_clip(frames, ClipShape(4, 16, 24), np.random.default_rng(0))
    windows = frames.unfold(0, 4, 1).unfold(1, 16, 1).unfold(2, 24, 1)  # (t, y, x, 3, 4, 16, 24)
    matches = (windows == clip.permute(3, 0, 1, 2)).flatten(3).all(-1)
    assert matches.sum() == 1
    assert torch.equal(centre_video_clip(frames, ClipShape(4, 16, 24)), frames[2:6, 12:28, 13:37])


@pytest.mark.parametrize("size", [(1, 10, 12), (3, 200, 30), (7, 24, 32)])
def test_small_and_short_videos_fill_the_clip(size):
    frames = torch.randint(0, 256, (*size, 3), dtype=torch.uint8)
    for clip in (random_video_clip(frames, SHAPE, np.random.default_rng(1)), centre_video_clip(frames, SHAPE)):
        assert clip.shape == (5, 24, 32, 3)
        if size[0] < 5:
            assert torch.equal(clip[-1], clip[size[0] - 1])


@pytest.mark.parametrize("size", [(96, 128), (24, 32), (12, 500)])
def test_image_clips_stay_inside_the_image(size):
    rows, columns = torch.meshgrid(torch.linspace(50, 200, size[0]), torch.linspace(50, 200, size[1]), indexing="ij")
    image = torch.stack((rows, columns, torch.full_like(rows, 90)), dim=-1).to(torch.uint8)
    moved = 0
    for seed in range(12):
        clip = moving_image_clip(image, SHAPE, np.random.default_rng(seed))
        assert clip.shape == (5, 24, 32, 3) and clip.dtype == torch.uint8
        assert (clip[..., 2].int() - 90).abs().max() <= 1
        steps = clip[..., 1].float().mean(dim=(1, 2)).diff()
        assert (steps >= -1).all() or (steps <= 1).all()  # straight on, no turning back
        moved += not torch.equal(clip[0], clip[-1])
    assert moved >= 6
