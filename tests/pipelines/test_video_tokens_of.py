"""Tokens of whatever a pipeline is given."""

import dataclasses

import numpy as np
import pytest
import torch
from clip_examples import smooth_frames, write_clip

from pyratok import PyraTokError, PyraTokVideoProcessor, VideoReader, VideoReadError, read_video
from pyratok.pipelines.video_tokens_of import tokens_from


def test_a_file_an_array_and_its_tokens_are_the_same(tiny_model, clip, tmp_path):
    processor = PyraTokVideoProcessor()
    tokens = tokens_from(tiny_model, processor, clip)
    frames, info = read_video(clip)
    assert tokens.video_size == tuple(frames.shape[:3]) and tokens.fps == info.fps
    for other in (frames.numpy(), (frames.movedim(-1, 1) / 255).float()):
        found = tokens_from(tiny_model, processor, other, fps=info.fps)
        pairs = zip(found.video_codes, tokens.video_codes, strict=True)
        assert all(torch.equal(one, two) for one, two in pairs) and found.fps == info.fps
    encoded = tiny_model.encode(processor(frames.numpy())["pixel_values_videos"]).video_codes
    assert all(torch.equal(one, two) for one, two in zip(encoded, tokens.video_codes, strict=True))
    assert tokens_from(tiny_model, processor, frames[:1].numpy()).fps == 24


def test_tokens_are_taken_as_they_are_if_they_are_this_models(tiny_model, clip, tmp_path):
    processor = PyraTokVideoProcessor()
    made = tokens_from(tiny_model, processor, clip)
    assert made.weights_fingerprint == tiny_model.weights_fingerprint()
    assert tokens_from(tiny_model, processor, made) is made
    with pytest.raises(PyraTokError, match="made by other weights"):
        tokens_from(tiny_model, processor, dataclasses.replace(made, weights_fingerprint="0" * 64))
    made.save(tmp_path / "clip.safetensors")
    assert tokens_from(tiny_model, processor, tmp_path / "clip.safetensors") == made
    with pytest.raises(ValueError, match="tokens are taken as they are"):
        tokens_from(tiny_model, processor, made, start=1.0)


def test_a_part_of_a_file(tiny_model, clip):
    processor = PyraTokVideoProcessor()
    frames, info = read_video(clip)
    step = 1 / float(info.fps)
    part = tokens_from(tiny_model, processor, clip, start=3 * step - 1e-4, end=9 * step - 1e-4)
    expected = tokens_from(tiny_model, processor, frames[3:9].numpy())
    assert part.video_size[0] == 6
    assert all(torch.equal(one, two) for one, two in zip(part.video_codes, expected.video_codes, strict=True))
    with pytest.raises(VideoReadError, match="no frame from 100 s to its end"):
        tokens_from(tiny_model, processor, clip, start=100)
    wrongs = ({"start": -1}, "from 0 up"), ({"start": 2, "end": 2}, "end comes after start"), ({"end": 0}, "after")
    for wrong, message in wrongs:
        with pytest.raises(ValueError, match=message):
            tokens_from(tiny_model, processor, clip, **wrong)
    with pytest.raises(ValueError, match="seconds of a video file"):
        tokens_from(tiny_model, processor, np.zeros((2, 8, 8, 3), np.uint8), start=0)


def test_an_uneven_rate_is_averaged(tiny_model, tmp_path):
    times = [0, 0.1, 0.2, 1.7, 3.2]
    write_clip(tmp_path / "uneven.mkv", smooth_frames(5, 32, 32), times=times)
    with VideoReader(tmp_path / "uneven.mkv") as reader:
        assert len(list(reader)) == 5
        average = reader.frame_rate.average
    assert tokens_from(tiny_model, PyraTokVideoProcessor(), tmp_path / "uneven.mkv").fps == average
    assert float(average) == pytest.approx(4 / 3.2, rel=0.01)


def test_what_is_no_video_is_refused(tiny_model, tmp_path):
    processor = PyraTokVideoProcessor()
    with pytest.raises(VideoReadError):
        tokens_from(tiny_model, processor, tmp_path / "missing.mp4")
    with pytest.raises(TypeError, match="a video is a path"):
        tokens_from(tiny_model, processor, 5)
    with pytest.raises(ValueError, match="divide by 255"):
        tokens_from(tiny_model, processor, torch.full((2, 3, 8, 8), 200.0))
