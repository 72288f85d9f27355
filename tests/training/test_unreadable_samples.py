"""What cannot be read is left out, told, and put up with as long as it is little."""

import logging

import pytest
import torch
from data_examples import damage_table, small_video, write_metadata, write_shards, write_table, write_tar, write_videos
from stream_examples import batches_of, one_by_one, stream_of

from pyratok.training.clip_stream import ClipBatch, UnreadableFiles
from pyratok.training.data_errors import DataError


def test_unreadable_samples_travel_with_the_next_batch(tmp_path, caplog):
    names = write_videos(tmp_path, 12)
    (tmp_path / names[0]).write_bytes(b"this is no video")
    data = (tmp_path / names[1]).read_bytes()
    (tmp_path / names[1]).write_bytes(data[: len(data) // 2])
    (tmp_path / names[2]).unlink()
    captions = [{"file_name": name, "text": 3 if name == names[3] else name} for name in names]
    write_metadata(tmp_path, captions)
    unreadable = UnreadableFiles()
    with caplog.at_level(logging.WARNING):
        for batch in batches_of(stream_of(tmp_path, buckets=one_by_one(4)), 6, workers=2):
            assert set(batch.names) <= set(names[4:]) and len(batch.names) == 4
            unreadable.add(batch)
    assert unreadable.names.keys() == set(names[:4])
    for name, reason in zip(names, ("not a video", "cut short", "does not exist", "of type int: 3"), strict=False):
        assert reason in unreadable.names[name]
        assert caplog.text.count(f"skipped unreadable sample {name}") == 1


def test_a_damaged_shard_does_not_stop_the_stream(tmp_path):
    write_shards(tmp_path, [2, 2])
    shard = tmp_path / "train-00000.tar"
    data = shard.read_bytes()
    shard.write_bytes(data[: data.index(b"v1.mp4") + 1000])
    batches = batches_of(stream_of(tmp_path, buckets=one_by_one(3)), 3)
    assert {name for batch in batches for name in batch.names} == {
        "train-00000.tar/v0.mp4",
        "train-00001.tar/v2.mp4",
        "train-00001.tar/v3.mp4",
    }
    assert {name for batch in batches for name, _ in batch.unreadable} == {"train-00000.tar"}


def test_a_damaged_row_group_is_named_once_and_does_not_stop_the_stream(tmp_path, caplog):
    videos = [{"bytes": small_video(n), "path": f"v{n}.mp4"} for n in range(6)]
    write_table(tmp_path / "train.parquet", {"video": videos})
    damage_table(tmp_path / "train.parquet", row_group=1)
    unreadable = UnreadableFiles()
    with caplog.at_level(logging.WARNING):
        for batch in batches_of(stream_of(tmp_path, buckets=one_by_one(3)), 6, workers=2):
            assert set(batch.names) <= {"v0.mp4", "v1.mp4", "v4.mp4", "v5.mp4"}
            unreadable.add(batch)
    assert unreadable.names.keys() == {"train.parquet, row group 1"}
    assert caplog.text.count("skipped unreadable sample train.parquet, row group 1 ") == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pass_that_gives_nothing(tmp_path, workers):
    for number in range(3):
        (tmp_path / f"{number}.mp4").write_bytes(b"this is no video")
    batch = batches_of(stream_of(tmp_path), 1, workers)[0]
    assert batch.names == () and batch.frames.shape[0] == 0 and batch.unreadable
    with pytest.raises(DataError, match="a whole pass over the data gave nothing that can be read; .*not a video"):
        UnreadableFiles().add(batch)


def test_a_small_source_that_cannot_be_read_beside_one_that_can(tmp_path):
    write_videos(tmp_path / "good", 7)
    write_tar(tmp_path / "bad" / "a.tar", {"x.mp4": b"this is no video"})
    batches = batches_of(stream_of(tmp_path / "good", tmp_path / "bad", buckets=one_by_one(3)), 10)
    assert all(len(batch.names) == 3 for batch in batches)


def batch_with(readable: int, unreadable: list[str]) -> ClipBatch:
    frames = torch.zeros(readable, 1, 1, 1, 3, dtype=torch.uint8)
    names = tuple(f"good {number}" for number in range(readable))
    reasons = tuple((name, "is damaged") for name in unreadable)
    return ClipBatch(frames, (None,) * readable, names, torch.zeros(readable, dtype=torch.int64), reasons)


def test_too_many_unreadable_files():
    unreadable = UnreadableFiles(0.1)
    for number in range(9):
        unreadable.add(batch_with(1, [f"bad {number}"]))  # half of them, but few
    with pytest.raises(DataError, match="10 of 20 samples .* more than the share of 0.1 .* bad 9: is damaged"):
        unreadable.add(batch_with(1, ["bad 9"]))


def test_a_small_share_of_unreadable_files_is_put_up_with():
    unreadable = UnreadableFiles(0.1)
    for number in range(100):
        unreadable.add(batch_with(9, [f"bad {number}"]))
    assert len(unreadable.names) == 100
    with pytest.raises(DataError, match="more than the share"):
        unreadable.add(batch_with(1, ["bad", "bad", "bad"]))
