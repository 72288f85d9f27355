"""Batches come in an order that any resumed, split or repeated run repeats."""

import itertools
import json
import logging
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import stream_examples
import torch
from data_examples import small_picture, small_video, write_shards, write_table, write_videos
from stream_examples import BUCKETS, VARIED, batches_of, one_by_one, stream_of

from pyratok.training.clip_buckets import ClipBucket, bucket_of_batch
from pyratok.training.clip_stream import ClipBatch, ClipLoader, ClipStream, sample_seed
from pyratok.training.data_errors import DataError
from pyratok.training.data_sources import open_rows


def names_of(stream: ClipStream, count: int) -> list[str]:
    """The names of the first `count` clips."""
    names = itertools.chain.from_iterable(batch.names for batch in ClipLoader(stream, 0))
    return list(itertools.islice(names, count))


def are_equal(first: ClipBatch, second: ClipBatch) -> bool:
    return (
        torch.equal(first.frames, second.frames)
        and torch.equal(first.seeds, second.seeds)
        and (first.captions, first.names, first.unreadable) == (second.captions, second.names, second.unreadable)
    )


@pytest.fixture(scope="module")
def seven(tmp_path_factory) -> Path:
    """A folder of seven videos."""
    folder = tmp_path_factory.mktemp("seven")
    write_videos(folder, 7)
    return folder


@pytest.fixture(scope="module")
def sources(tmp_path_factory, seven) -> dict[str, Path]:
    """The same kind of data in every form; the folder has an unreadable file."""
    base = tmp_path_factory.mktemp("sources")
    write_videos(base / "folder", 5)
    (base / "folder" / "video_1.mp4").write_bytes(b"this is no video")
    write_shards(base / "tar", [3, 1, 2, 2])
    videos = [{"bytes": small_video(n), "path": f"v{n}.mp4"} for n in range(7)]
    write_table(base / "table" / "train.parquet", {"video": videos, "text": list("abcdefg")})
    return {name: base / name for name in ("folder", "tar", "table")}


# --- what is in a batch


def test_a_batch(seven):
    batches = batches_of(stream_of(seven), 12)
    shapes = {tuple(batch.frames.shape) for batch in batches}
    assert shapes == {(2, 5, 16, 16, 3), (3, 1, 16, 24, 3)}
    for batch in batches:
        assert batch.frames.dtype == torch.uint8 and batch.seeds.dtype == torch.int64 and batch.unreadable == ()
        assert len(batch.captions) == len(batch.names) == len(batch.seeds) == len(batch.frames)
        assert all(caption == f"caption of {name}" for caption, name in zip(batch.captions, batch.names, strict=True))


def test_captions_are_dropped_in_their_share(seven):
    def captions(share):
        stream = stream_of(seven, buckets=one_by_one(10), caption_dropout=share)
        return [caption for batch in batches_of(stream, 20) for caption in batch.captions]

    assert None not in captions(0.0) and set(captions(1.0)) == {None}
    dropped = captions(0.3)
    assert 30 < dropped.count(None) < 90
    kept = [caption for caption in dropped if caption is not None]
    assert set(kept) == set(captions(0.0))


def test_sources_are_mixed_by_weight(seven, tmp_path):
    (tmp_path / "picture.png").write_bytes(small_picture(0))
    sources = [(open_rows(seven), 3.0), (open_rows(tmp_path), 1.0)]
    names = names_of(ClipStream(sources, one_by_one(20), VARIED, 0), 200)
    assert 30 < names.count("picture.png") < 70
    videos = [name for name in names if name != "picture.png"]
    assert all(len(set(videos[n : n + 7])) == 7 for n in range(0, len(videos) - 7, 7))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_number_of_a_batch_decides_its_size(seven, workers):
    batches = batches_of(stream_of(seven), 12, workers)
    sizes = [tuple(batch.frames.shape[:4]) for batch in batches]
    drawn = [bucket_of_batch(BUCKETS, 5, number) for number in range(12)]
    assert sizes == [(b.batch_size, b.num_frames, b.height, b.width) for b in drawn]


# --- order


@pytest.mark.parametrize("kind", ["tar", "table", "seven"])
def test_every_sample_once_per_pass_in_changing_order(sources, seven, kind):
    source = seven if kind == "seven" else sources[kind]
    count = 8 if kind == "tar" else 7
    names = names_of(stream_of(source, buckets=one_by_one(1)), 6 * count)
    passes = [tuple(names[start : start + count]) for start in range(0, 6 * count, count)]
    assert all(len(set(names)) == count for names in passes)
    assert len(set(passes)) > 3
    assert names == names_of(stream_of(source, buckets=one_by_one(1)), 6 * count)
    assert names != names_of(stream_of(source, buckets=one_by_one(1), seed=6), 6 * count)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("kind", ["tar", "table", "seven"])
def test_processes_and_workers_see_every_sample_once_per_pass(sources, seven, kind, world_size, workers):
    """Of every worker of every process one pass."""
    source = open_rows(seven if kind == "seven" else sources[kind])
    seen = []
    for rank in range(world_size):
        stream = ClipStream([(source, 1.0)], one_by_one(1), VARIED, 0, rank=rank, world_size=world_size)
        passes = {number: [] for number in range(max(workers, 1))}
        for number, batch in enumerate(batches_of(stream, 24, workers)):
            (name,), (seed,) = batch.names, batch.seeds.tolist()
            if seed == sample_seed(0, 0, name):
                passes[number % max(workers, 1)].append(name)
        seen += [name for names in passes.values() for name in names]
    assert len(seen) == len(set(seen)) == (8 if kind == "tar" else 7)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("kind", "world_size"), [("seven", 2), ("seven", 7), ("tar", 3), ("both", 2)])
def test_a_batch_has_the_same_clips_for_any_number_of_processes(sources, seven, kind, world_size, workers):
    paths = [seven, sources["table"]] if kind == "both" else [seven if kind == "seven" else sources[kind]]
    if kind == "both":  # its four shards divide evenly among two processes, so leave one out to have its rows split
        opened = [open_rows(seven), open_rows(str(sources["tar"] / "train-0000[012].tar"))]
    else:
        opened = [open_rows(path) for path in paths]

    def batches(rank: int, world_size: int, batch_size: int) -> list[ClipBatch]:
        buckets = (ClipBucket(5, 16, 16, batch_size), ClipBucket(1, 16, 24, batch_size))
        weighted = [(source, 1.0) for source in opened]
        return batches_of(ClipStream(weighted, buckets, VARIED, 3, 0.5, rank, world_size), 9, workers)

    together = batches(0, 1, 2 * world_size)
    apart = zip(*(batches(rank, world_size, 2) for rank in range(world_size)), strict=True)
    for whole, parts in zip(together, apart, strict=True):
        order = [(slot, rank) for slot in range(2) for rank in range(world_size)]
        assert whole.names == tuple(parts[rank].names[slot] for slot, rank in order)
        assert whole.captions == tuple(parts[rank].captions[slot] for slot, rank in order)
        assert torch.equal(whole.frames, torch.stack([parts[rank].frames[slot] for slot, rank in order]))
        assert torch.equal(whole.seeds, torch.stack([parts[rank].seeds[slot] for slot, rank in order]))


def test_shards_that_divide_evenly_are_read_by_one_process_each(sources):
    names = [names_of(stream_of(sources["tar"], buckets=one_by_one(1), rank=r, world_size=2), 3) for r in (0, 1)]
    shards = [{name.partition("/")[0] for name in half} for half in names]
    assert shards[0].isdisjoint(shards[1])


# --- what is random about a clip


def test_a_clip_depends_on_seed_pass_and_name_alone(sources, seven):
    def clips(workers, rank=0, world_size=1, batch_size=3, seed=5):
        stream = stream_of(
            seven,
            buckets=(ClipBucket(5, 16, 16, batch_size),),
            seed=seed,
            caption_dropout=0.5,
            rank=rank,
            world_size=world_size,
        )
        found = {}
        for batch in batches_of(stream, 14 // batch_size, workers):
            for clip, caption, name, number in zip(*_fields(batch), strict=True):
                found[name, int(number)] = (clip, caption)
        return found

    expected = clips(0)
    for options in ({"workers": 2}, {"workers": 1, "batch_size": 2}, {"workers": 0, "rank": 1, "world_size": 2}):
        other = clips(**options)
        shared = expected.keys() & other.keys()
        assert len(shared) > 4
        assert all(
            torch.equal(expected[key][0], other[key][0]) and expected[key][1] == other[key][1] for key in shared
        )
    assert clips(0, seed=6).keys().isdisjoint(expected)


def _fields(batch: ClipBatch) -> tuple:
    return batch.frames, batch.captions, batch.names, batch.seeds


def test_seeds_are_those_of_the_samples(seven):
    batch = batches_of(stream_of(seven, buckets=one_by_one(3)), 1)[0]
    assert batch.seeds.tolist() == [sample_seed(5, 0, name) for name in batch.names]
    seeds = {sample_seed(seed, epoch, name) for seed in (0, 1) for epoch in (0, 1) for name in ("a", "b", "1a")}
    assert len(seeds) == 12 and all(0 <= seed < 2**63 for seed in seeds)


# --- resuming


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["folder", "tar", "table", "both"])
def test_resuming_is_exact(sources, kind, workers):
    paths = [sources["folder"], sources["tar"]] if kind == "both" else [sources[kind]]

    def loader() -> ClipLoader:
        return ClipLoader(stream_of(*paths, caption_dropout=0.5), workers)

    whole = loader()
    iterator = iter(whole)
    positions, batches = [whole.position()], []
    for _ in range(16):  # several passes
        batches.append(next(iterator))
        positions.append(whole.position())
    for done in (0, 1, 2, 5, 11):
        resumed = loader()
        resumed.go_to(json.loads(json.dumps(positions[done])))
        again = itertools.islice(resumed, 5)
        assert all(are_equal(a, b) for a, b in zip(again, batches[done : done + 5], strict=True))
        assert resumed.position() == positions[done + 5]


def test_resuming_in_the_middle_of_processes(sources):
    for rank, kind in itertools.product(range(2), ("folder", "tar")):
        stream = stream_of(sources[kind], rank=rank, world_size=2)
        loader = ClipLoader(stream, 0)
        iterator = iter(loader)
        for _ in range(3):
            next(iterator)
        resumed = ClipLoader(stream_of(sources[kind], rank=rank, world_size=2), 0)
        resumed.go_to(loader.position())
        assert all(are_equal(*pair) for pair in zip(itertools.islice(resumed, 6), iterator, strict=False))


def test_the_training_s_random_generators_are_left_alone(seven):
    torch.manual_seed(0)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    loader = ClipLoader(stream_of(seven), 1)
    next(iter(loader))
    loader.go_to(loader.position())
    next(iter(loader))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), np.random.get_state()[1].tolist())


def test_resuming_says_nothing_of_lost_buffers(sources, caplog, recwarn):
    loader = ClipLoader(stream_of(sources["tar"]), 0)
    next(iter(loader))
    resumed = ClipLoader(stream_of(sources["tar"]), 0)
    resumed.go_to(loader.position())
    library = logging.getLogger("datasets.iterable_dataset")  # which does not hand its records on
    library.addHandler(caplog.handler)
    try:
        next(iter(resumed))
    finally:
        library.removeHandler(caplog.handler)
    assert not caplog.records and not recwarn.list


@pytest.mark.parametrize(
    ("position", "message"),
    [("{", "position in the data is damaged"), ("[1]", "is damaged"), ('{"format": 1}', "is damaged")],
)
def test_a_damaged_position(seven, position, message):
    with pytest.raises(DataError, match=message):
        ClipLoader(stream_of(seven), 0).go_to(position)


def test_a_position_of_another_number_of_workers_or_processes(seven):
    position = ClipLoader(stream_of(seven), 2).position()
    with pytest.raises(DataError, match="a run with 2 data workers, now 1; use as many"):
        ClipLoader(stream_of(seven), 1).go_to(position)
    with pytest.raises(DataError, match="1 processes, now 2"):
        ClipLoader(stream_of(seven, world_size=2), 2).go_to(position)


# --- workers


INTERRUPTED = """
import signal, sys
from stream_examples import one_by_one, stream_of
from pyratok.training.clip_stream import ClipLoader

batches = iter(ClipLoader(stream_of(sys.argv[1], buckets=one_by_one(1)), 1))
next(batches)
interrupts = []
signal.signal(signal.SIGINT, lambda number, frame: interrupts.append(number))  # after the worker began: not inherited
print("started", flush=True)
while not interrupts:
    next(batches)
for _ in range(10):  # more than were made before
    next(batches)
print("went on", flush=True)
"""


def test_an_interrupt_from_the_terminal_leaves_the_workers_alone(seven):
    """It goes to all processes of the group; the one that trains still wants batches, until it has saved its state."""
    folders = [Path(stream_examples.__file__).parent, *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(seven)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "started\n", process.stderr.read()
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert (output, process.returncode) == ("went on\n", 0), errors


def test_fewer_shards_than_workers(sources, caplog):
    with caplog.at_level(logging.WARNING):
        loader = ClipLoader(stream_of(sources["tar"], world_size=2), 3)
    assert loader.num_workers == 2
    assert "2 data workers instead of 3" in caplog.text and "write the data into more shards" in caplog.text
    caplog.clear()
    assert ClipLoader(stream_of(sources["tar"], world_size=3), 4).num_workers == 4
    assert not caplog.text
