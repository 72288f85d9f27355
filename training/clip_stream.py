"""Batches of training clips without end, and the loader that makes them in worker processes and resumes exactly.

What is random about a clip (its window, whether it is mirrored, whether it keeps its caption) depends on the seed, the pass
and the clip's name alone. The order of the clips depends on the seed and on the numbers of processes and workers.

All processes walk through the same sequence of slots; slot t belongs to process t modulo their number, and each takes the
slots that are its own. So one process with batches of 2B clips and two with batches of B train on the same ones, as long as
all files can be read and the source is not split by whole shards (see `EndlessRows`).
"""

import hashlib
import json
import logging
import signal
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info
from torchdata.stateful_dataloader import StatefulDataLoader

from ..modeling_pyratok.errors import VideoReadError
from .clip_buckets import ClipBucket, bucket_of_batch
from .clip_decoding import UNREADABLE, random_clip
from .clip_windows import ClipVariation
from .data_errors import DataError
from .data_rows import Row
from .data_sources import RowSource
from .endless_rows import EndlessRows

logger = logging.getLogger(__name__)

SOURCE_STREAM = 2
"""Name of the random stream, under the run's seed, that says which source a clip comes from."""

POSITION_FORMAT = 1

FEW_FILES = 10
"""So many different unreadable files are put up with, whatever their share."""


@dataclass(frozen=True)
class ClipBatch:
    """Clips of one size.

    frames: uint8 (B, T, H, W, 3) RGB. captions: None where there is none, or it was left out. names: which samples they are.
    seeds: int64 (B,), of what else is random about a clip (masks, for example). unreadable: (name, reason) of the samples
    that could not be read since the batch before. B is 0 if a whole pass over the data gave nothing that can be read.
    """

    frames: torch.Tensor
    captions: tuple[str | None, ...]
    names: tuple[str, ...]
    seeds: torch.Tensor
    unreadable: tuple[tuple[str, str], ...]


class ClipStream(IterableDataset):
    """Yields `ClipBatch`es for ever.

    Args:
        sources: where clips come from, and how many of them, as weights.
        buckets: sizes of clips; a batch has one, the same in all processes.
        caption_dropout: how many of the captions are left out.
        rank, world_size: this process, of how many.
    """

    def __init__(
        self,
        sources: Sequence[tuple[RowSource, float]],
        buckets: Sequence[ClipBucket],
        variation: ClipVariation,
        seed: int,
        caption_dropout: float = 0.0,
        rank: int = 0,
        world_size: int = 1,
    ):
        weights = np.array([weight for _, weight in sources])
        self._shares = weights / weights.sum()
        self._rows = [EndlessRows(source, seed, rank, world_size) for source, _ in sources]
        self._buckets = tuple(buckets)
        self._variation = variation
        self._caption_dropout = caption_dropout
        self._rank = rank
        self.world_size = world_size
        self.seed = seed
        self._batches = 0
        self._slots = 0

    @property
    def most_workers(self) -> int:
        """Among how many worker processes the data can be split: each needs a shard of every source."""
        return min(rows.num_shards for rows in self._rows)

    def __iter__(self) -> Iterator[ClipBatch]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        iterators = [iter(rows) for rows in self._rows]
        while True:
            bucket = bucket_of_batch(self._buckets, self.seed, self._batches * workers + number)
            batch = self._batch(bucket, iterators, number)
            self._batches += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """The position after the last batch, as JSON can hold it."""
        rows = [rows.state_dict() for rows in self._rows]
        return {"batches": self._batches, "slots": self._slots, "rows": rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration go on from a position."""
        self._batches, self._slots = state["batches"], state["slots"]
        for rows, position in zip(self._rows, state["rows"], strict=True):
            rows.load_state_dict(position)

    def _batch(self, bucket: ClipBucket, iterators: list[Iterator[Row]], worker: int) -> ClipBatch:
        clips, captions, names, seeds, unreadable = [], [], [], [], []
        started = [rows.epoch for rows in self._rows]
        while len(clips) < bucket.batch_size:
            source = self._source_of_slot(self._slots, worker)
            is_own = self._slots % self.world_size == self._rank
            self._slots += 1
            rows = self._rows[source]
            if rows.is_split and not is_own:
                continue
            row = next(iterators[source])
            if not is_own:
                continue
            seed = sample_seed(self.seed, rows.epoch, row["name"])
            try:
                clip, caption = self._clip(row, bucket, seed)
            except UNREADABLE as error:
                unreadable.append((row["name"], str(error)))
                if all(rows.epoch > epoch + 1 for rows, epoch in zip(self._rows, started, strict=True)):
                    # A whole pass over everything went by without a clip, and so would the next.
                    clips, captions, names, seeds = [], [], [], []
                    break
                continue
            started = [rows.epoch for rows in self._rows]
            clips.append(clip)
            captions.append(caption)
            names.append(row["name"])
            seeds.append(seed)
        empty = torch.empty(0, bucket.num_frames, bucket.height, bucket.width, 3, dtype=torch.uint8)
        return ClipBatch(
            torch.stack(clips) if clips else empty,
            tuple(captions),
            tuple(names),
            torch.tensor(seeds, dtype=torch.int64),
            tuple(unreadable),
        )

    def _source_of_slot(self, slot: int, worker: int) -> int:
        if len(self._rows) == 1:
            return 0
        sequence = np.random.SeedSequence(self.seed, spawn_key=(SOURCE_STREAM, worker, slot))
        return int(np.random.default_rng(sequence).choice(len(self._rows), p=self._shares))

    def _clip(self, row: Row, bucket: ClipBucket, seed: int) -> tuple[torch.Tensor, str | None]:
        if row["problem"] is not None:
            raise VideoReadError(row["problem"])
        generator = np.random.default_rng(seed)
        is_dropped = generator.random() < self._caption_dropout
        return random_clip(row["media"], bucket, self._variation, generator), None if is_dropped else row["caption"]


def sample_seed(seed: int, epoch: int, name: str) -> int:
    """The seed of all that is random about a sample in a pass, in [0, 2**63)."""
    digest = hashlib.blake2b(json.dumps([seed, epoch, name]).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class ClipLoader(StatefulDataLoader):
    """Batches of a `ClipStream`, made in `num_workers` processes (0: in this one), with a position that can be stored.

    Fewer workers are started, with a warning, where the data have not as many shards. The generators of torch, numpy and
    python are left alone.
    """

    def __init__(self, stream: ClipStream, num_workers: int):
        workers = min(num_workers, stream.most_workers)
        if workers < num_workers:
            logger.warning(
                "%d data workers instead of %d, because each reads shards of its own and there are %d for this process "
                "(one of %d); write the data into more shards for more workers",
                workers,
                num_workers,
                stream.most_workers,
                stream.world_size,
            )
        self._stream = stream
        # A generator of its own, for the loader draws a seed from it; by default that would be the training's.
        generator = torch.Generator().manual_seed(stream.seed)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'set_vital' is deprecated")  # a call of torchdata's own
            super().__init__(
                stream, batch_size=None, num_workers=workers, generator=generator, worker_init_fn=_ignore_interrupts
            )

    def position(self) -> str:
        """JSON that `go_to` takes: after it come the batches that would have come next."""
        position = {
            "format": POSITION_FORMAT,
            "workers": self.num_workers,
            "world_size": self._stream.world_size,
            "loader": self.state_dict(),
        }
        return json.dumps(position)

    def go_to(self, position: str) -> None:
        """Let the next iteration go on from a position.

        Raises DataError if that is damaged, or of a run with other numbers of workers or processes, whose batches differ.
        """
        try:
            stored = json.loads(position)
            there = (stored["format"], stored["workers"], stored["world_size"])
            state = stored["loader"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"the stored position in the data is damaged: {error!r}") from error
        here = (POSITION_FORMAT, self.num_workers, self._stream.world_size)
        if there != here:
            names = ("format", "data workers", "processes")
            differing = [f"{a} {name}, now {b}" for name, a, b in zip(names, there, here, strict=True) if a != b]
            raise DataError(f"the position in the data is that of a run with {', '.join(differing)}; use as many")
        self.load_state_dict(state)


def _ignore_interrupts(_worker: int) -> None:
    """A terminal sends Ctrl-C to the workers too; the training process still needs them for its last step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class UnreadableFiles:
    """Counts the samples that could not be read, and logs each by name, once.

    Raises DataError, from `add`, when more than `largest_share` of the samples seen so far, and of ten or more
    different ones, could not be read, or when a whole pass gave nothing.
    """

    def __init__(self, largest_share: float = 0.1):
        self._largest_share = largest_share
        self._seen = 0
        self._unreadable = 0
        self.names: dict[str, str] = {}
        """Name -> what is wrong with it."""

    def state_dict(self) -> dict[str, Any]:
        """The counts so far, as JSON can hold them."""
        return {"seen": self._seen, "unreadable": self._unreadable, "names": self.names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the counts of a `state_dict`."""
        self._seen, self._unreadable, self.names = state["seen"], state["unreadable"], dict(state["names"])

    def add(self, batch: ClipBatch) -> None:
        """Take in a batch."""
        for name, reason in batch.unreadable:
            if name not in self.names:
                self.names[name] = reason
                logger.warning("skipped unreadable sample %s (%d so far): %s", name, len(self.names), reason)
        self._unreadable += len(batch.unreadable)
        self._seen += len(batch.unreadable) + len(batch.names)
        examples = "; ".join(f"{name}: {reason}" for name, reason in list(self.names.items())[-3:])
        if not batch.names:
            raise DataError(f"a whole pass over the data gave nothing that can be read; {examples}")
        if len(self.names) >= FEW_FILES and self._unreadable > self._largest_share * self._seen:
            raise DataError(
                f"{self._unreadable} of {self._seen} samples so far could not be read, more than the share of "
                f"{self._largest_share:g} that is put up with; the last are {examples}"
            )
