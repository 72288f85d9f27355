"""Clips for validation: always the same ones."""

import itertools
import logging

import torch

from .clip_buckets import ClipBucket
from .clip_decoding import UNREADABLE, centre_clip
from .data_errors import DataError
from .data_rows import Row
from .data_sources import RowSource

logger = logging.getLogger(__name__)

CANDIDATES_PER_CLIP = 8
"""Rows of shards, which have to be read to be counted, that are looked at for each clip."""


def fixed_clips(source: RowSource, count: int, bucket: ClipBucket) -> torch.Tensor:
    """The centre clips of `count` files spread evenly over the source: uint8 (N, T, H, W, 3), N <= count.

    Of shards only the first rows are looked at, eight for each clip. An unreadable file is left out rather than replaced,
    so that no clip counts twice. Raises DataError if none is left.
    """
    limit = source.num_shards if source.is_listing else CANDIDATES_PER_CLIP * count
    total = limit if source.is_listing else sum(1 for _ in itertools.islice(source.rows, limit))
    picked = min(count, total)
    wanted = {round(i * (total - 1) / max(picked - 1, 1)) for i in range(picked)}
    clips = []
    for number, row in enumerate(itertools.islice(source.rows, max(wanted, default=-1) + 1)):
        if number in wanted and (clip := _clip(row, bucket)) is not None:
            clips.append(clip)
    if not clips:
        raise DataError(f"none of the {len(wanted)} files of {source.name} for validation can be read")
    return torch.stack(clips)


def _clip(row: Row, bucket: ClipBucket) -> torch.Tensor | None:
    problem = row["problem"]
    if problem is None:
        try:
            return centre_clip(row["media"], bucket)
        except UNREADABLE as error:
            problem = str(error)
    logger.warning("left out of validation: %s: %s", row["name"], problem)
    return None
