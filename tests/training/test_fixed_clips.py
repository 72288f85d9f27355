"""Clips for validation are the centres of files spread over the data."""

import logging

import pytest
import torch
from data_examples import write_shards, write_videos

from pyratok.training.clip_buckets import ClipBucket
from pyratok.training.clip_decoding import centre_clip
from pyratok.training.data_errors import DataError
from pyratok.training.data_sources import open_rows
from pyratok.training.fixed_clips import fixed_clips

BUCKET = ClipBucket(5, 16, 16, 1)


def test_files_are_spread_evenly(tmp_path):
    names = write_videos(tmp_path, 7)
    clips = fixed_clips(open_rows(tmp_path), 3, BUCKET)
    expected = [centre_clip(str(tmp_path / names[index]), BUCKET) for index in (0, 3, 6)]
    assert torch.equal(clips, torch.stack(expected))
    assert fixed_clips(open_rows(tmp_path), 20, BUCKET).shape == (7, 5, 16, 16, 3)
    assert fixed_clips(open_rows(tmp_path), 1, BUCKET).shape == (1, 5, 16, 16, 3)


def test_shards(tmp_path):
    write_shards(tmp_path, [3, 3])
    rows = list(open_rows(tmp_path).rows)
    clips = fixed_clips(open_rows(tmp_path), 2, BUCKET)
    assert torch.equal(clips, torch.stack([centre_clip(rows[index]["media"], BUCKET) for index in (0, 5)]))


def test_unreadable_files_are_left_out(tmp_path, caplog):
    names = write_videos(tmp_path, 3)
    (tmp_path / names[2]).write_bytes(b"this is no video")
    with caplog.at_level(logging.WARNING):
        clips = fixed_clips(open_rows(tmp_path), 3, BUCKET)
    assert len(clips) == 2 and f"left out of validation: {names[2]}" in caplog.text
    for name in names:
        (tmp_path / name).write_bytes(b"this is no video")
    with pytest.raises(DataError, match="none of the 3 files"):
        fixed_clips(open_rows(tmp_path), 3, BUCKET)
