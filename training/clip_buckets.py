"""The sizes of training clips: buckets, of which each batch takes one, the same in every process.

A batch holds clips of one size. Sorting videos into queues by size would make it a matter of chance when a queue is full,
and processes would wait for each other; here the number of the batch decides its size, and clips are cut to it.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.token_grids import TEMPORAL_STRIDE

BUCKET_STREAM = 0
"""Name of the random stream, under the run's seed, that picks buckets."""


class BucketError(PyraTokError):
    """Sizes of clips that make no bucket."""


@dataclass(frozen=True)
class ClipBucket:
    """One size of clips, in frames and pixels; how many of them are a batch; how often it comes (weights are relative)."""

    num_frames: int
    height: int
    width: int
    batch_size: int
    weight: float = 1.0

    def __post_init__(self) -> None:
        sizes = (self.num_frames, self.height, self.width, self.batch_size)
        if min(sizes) < 1 or not 0 < self.weight < math.inf:
            raise BucketError(
                f"a bucket needs at least 1 frame, row, column and clip and a weight above 0, got {self.num_frames} x "
                f"{self.height} x {self.width}, {self.batch_size} clips, weight {self.weight}"
            )


def bucket_of_batch(buckets: Sequence[ClipBucket], seed: int, number: int) -> ClipBucket:
    """The bucket of batch `number`, drawn by weight: a function of the seed and the number alone."""
    if len(buckets) == 1:
        return buckets[0]
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(BUCKET_STREAM, number)))
    weights = np.array([bucket.weight for bucket in buckets])
    return buckets[generator.choice(len(buckets), p=weights / weights.sum())]


def buckets_for(
    sides: Sequence[int],
    aspect_ratios: Sequence[str],
    frame_counts: Sequence[int],
    pixels_per_batch: int,
    multiple: int,
) -> tuple[ClipBucket, ...]:
    """A bucket for every side, aspect ratio and number of frames, with batches of about equally many pixels.

    Args:
        sides: side**2 is the area of a frame, in pixels.
        aspect_ratios: width to height, as "16:9", or "9:16" for clips that are higher than wide.
        frame_counts: each 4k + 1.
        pixels_per_batch: frames x height x width x clips, at most, if a clip alone does not exceed it.
        multiple: heights and widths are rounded to multiples of it, and are at least that.

    Sizes that rounding makes equal are one bucket. Raises BucketError.
    """
    if multiple < 1 or pixels_per_batch < 1:
        raise BucketError(f"multiple and pixels_per_batch must be at least 1, got {multiple} and {pixels_per_batch}")
    for count in frame_counts:
        if count < 1 or count % TEMPORAL_STRIDE != 1:
            raise BucketError(f"numbers of frames are 1, 5, 9, ... (4k + 1), got {count}")
    shapes = {}  # in place of a set, for its order
    for side, ratio, frames in itertools.product(sides, map(_ratio, aspect_ratios), frame_counts):
        if side < 1:
            raise BucketError(f"a side must be at least 1 pixel, got {side}")
        height, width = (_rounded(side * ratio**power, multiple) for power in (-0.5, 0.5))
        shapes[frames, height, width] = max(1, pixels_per_batch // (frames * height * width))
    if not shapes:
        raise BucketError("no sizes of clips: give at least one side, one aspect ratio and one number of frames")
    return tuple(ClipBucket(*shape, batch_size) for shape, batch_size in shapes.items())


def _rounded(size: float, multiple: int) -> int:
    return max(1, round(size / multiple)) * multiple


def _ratio(text: str) -> float:
    width, _, height = text.partition(":")
    try:
        ratio = float(width) / float(height)
    except (ValueError, ZeroDivisionError):
        ratio = math.nan
    if not 0 < ratio < math.inf:
        raise BucketError(f"an aspect ratio is written as 16:9 (width to height), got '{text}'")
    return ratio
