"""Rows of a source for ever: pass after pass, each in another order, with a position that can be stored."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
from datasets import IterableDataset
from datasets.distributed import split_dataset_by_node

from .data_rows import Row, checked_row
from .data_sources import RowSource

ORDER_STREAM = 1
"""Name of the random stream, under the run's seed, that orders the shards of a pass."""


class EndlessRows:
    """The rows of a source, passes without end; the order of a pass depends on the seed and the number of the pass.

    In a worker process of a data loader they are those of the worker's shards. If `is_split`, they are also those of one of
    `world_size` processes, by whole shards; otherwise each process sees all rows, and has to leave out those of the others.
    Which it is: whole shards where they divide evenly, except in a listing, where passing over a row costs nothing and
    the rows of a batch are then the same for any number of processes.
    """

    def __init__(self, source: RowSource, seed: int, rank: int, world_size: int):
        self.is_split = world_size > 1 and not source.is_listing and source.num_shards % world_size == 0
        self.num_shards = source.num_shards // world_size if self.is_split else source.num_shards
        """Among how many worker processes of this process the rows can be split."""
        self.epoch = 0
        """The pass that the last row belongs to, from 0."""
        self._source = source
        self._seed = seed
        self._place = (rank, world_size)
        self._rows: IterableDataset | None = None
        self._resumed: dict[str, Any] | None = None

    def __iter__(self) -> Iterator[Row]:
        while True:
            is_empty = self._resumed is None
            self._rows = self._pass(self.epoch)
            if self._resumed is not None:
                self._rows.load_state_dict(self._resumed)
                self._resumed = None
            with _no_warning_of_lost_buffers():
                rows = iter(self._rows)
                row = next(rows, None)
            while row is not None:
                is_empty = False
                yield row
                row = next(rows, None)
            if is_empty:  # a caller who wants a readable row would wait for it for ever
                yield checked_row(b"", self._source.name, problem="it holds no samples")
            self.epoch += 1

    def state_dict(self) -> dict[str, Any]:
        """The position after the last row, for `load_state_dict`, as JSON can hold it."""
        return {"epoch": self.epoch, "rows": self._resumed if self._rows is None else self._rows.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration go on from a position."""
        self.epoch, self._resumed, self._rows = state["epoch"], state["rows"], None

    def _pass(self, epoch: int) -> IterableDataset:
        # Not `set_epoch`: it sets the pass of all worker processes at once, and these are not in the same one.
        seed = np.random.SeedSequence(self._seed, spawn_key=(ORDER_STREAM, epoch)).generate_state(1)[0]
        # A buffer of more than one row would be lost on resuming: rows are shuffled when shards are written.
        rows = self._source.rows.shuffle(seed=int(seed), buffer_size=1, max_buffer_input_shards=1)
        return split_dataset_by_node(rows, *self._place, strategy="shards") if self.is_split else rows


@contextlib.contextmanager
def _no_warning_of_lost_buffers() -> Iterator[None]:
    """Silence a warning of `datasets` that is right for shuffle buffers of more than one row."""
    logger = logging.getLogger("datasets.iterable_dataset")

    def is_another(record: logging.LogRecord) -> bool:
        return "shuffle buffer" not in record.getMessage()

    logger.addFilter(is_another)
    try:
        yield
    finally:
        logger.removeFilter(is_another)
