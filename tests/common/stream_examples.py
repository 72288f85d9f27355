"""Streams of small clips."""

import itertools

from pyratok.training.clip_buckets import ClipBucket
from pyratok.training.clip_stream import ClipBatch, ClipLoader, ClipStream
from pyratok.training.clip_windows import ClipVariation
from pyratok.training.data_sources import open_rows

VARIED = ClipVariation(resized_share=0.5, minimum_scale=0.5, flip_share=0.5)

BUCKETS = (ClipBucket(5, 16, 16, 2), ClipBucket(1, 16, 24, 3))


def one_by_one(batch_size: int) -> tuple[ClipBucket, ...]:
    return (ClipBucket(1, 8, 8, batch_size),)


def stream_of(*sources, buckets=BUCKETS, seed=5, **options) -> ClipStream:
    return ClipStream([(open_rows(source), 1.0) for source in sources], buckets, VARIED, seed, **options)


def batches_of(stream: ClipStream, count: int, workers: int = 0) -> list[ClipBatch]:
    return list(itertools.islice(ClipLoader(stream, workers), count))
