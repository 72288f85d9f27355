"""What the shards of a dataset hold, measured from their columns; the tokens themselves are not read for it."""

import functools
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ..hub_cards.dataset_facts import DatasetFacts, ExampleRow, SplitFacts, TokenKind
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.optional_libraries import needs_extra
from .parquet_shards import DATA_FOLDER, shards_by_split
from .token_kinds import KIND_KEY, difference, kind_from_json

EXAMPLES = 3
SUMMED = ("caption", "fps", "num_frames", "height", "width", "num_tokens")
SHOWN = ("name", "caption", "num_frames", "height", "width", "num_tokens")

OpenShard = Callable[[str], BinaryIO]
"""Opens a shard by its path, which may be on the Hub."""

open_local: OpenShard = functools.partial(open, mode="rb")


def local_shards(folder: str | os.PathLike[str]) -> dict[str, list[str]]:
    """The shards of a dataset in a folder, by split; a folder that is named as one is none."""
    found = Path(folder, DATA_FOLDER).glob("*.parquet")
    return shards_by_split([str(path) for path in found if not path.is_dir()])


def dataset_facts(shards: Mapping[str, Sequence[str]], open_shard: OpenShard = open_local) -> DatasetFacts:
    """Measure a dataset, given as the paths of the shards of each split.

    Raises PyraTokError for a file that is no shard of tokens, and for splits of different tokenizers.
    """
    sums = {split: _SplitSums() for split in shards}
    first: tuple[str, TokenKind] | None = None
    for split, path in ((split, path) for split, paths in shards.items() for path in paths):
        kind = sums[split].add_shard(path, open_shard)
        first = first or (path, kind)
        if found := difference(first[1], kind):
            raise PyraTokError(f"a dataset holds tokens of one tokenizer; {first[0]!r} and {path!r} differ: {found}")
    if first is None:
        raise PyraTokError("the dataset has no shards")
    return DatasetFacts(first[1], tuple(found.facts(split) for split, found in sums.items()))


@dataclass
class _SplitSums:
    """Figures of a split, shard by shard."""

    shards: int = 0
    bytes: int = 0
    captions: int = 0
    frames: int = 0
    pixels: int = 0
    seconds: float = 0.0
    lengths: list[int] = field(default_factory=list)
    examples: list[ExampleRow] = field(default_factory=list)

    def add_shard(self, path: str, open_shard: OpenShard) -> TokenKind:
        """Add a shard's rows; returns the kind of its tokens. Raises PyraTokError."""
        with needs_extra("train"):
            import pyarrow
            from pyarrow import parquet
        with open_shard(path) as file:
            try:
                table = parquet.ParquetFile(file)
                metadata = table.schema_arrow.metadata or {}
                if KIND_KEY not in metadata:
                    raise PyraTokError(f"{path!r} is no shard of tokens; a dataset of tokens holds nothing else")
                kind = kind_from_json(metadata[KIND_KEY])
                for row in _rows(table, SUMMED):
                    self._add_row(row)
                for row in itertools.islice(_rows(table, SHOWN), EXAMPLES - len(self.examples)):
                    self.examples.append(ExampleRow(**row))
            except (pyarrow.ArrowException, KeyError, TypeError, ZeroDivisionError) as problem:
                raise PyraTokError(f"the shard {path!r} cannot be read: {problem}") from problem
            self.shards += 1
            self.bytes += file.seek(0, os.SEEK_END)
        return kind

    def _add_row(self, row: Mapping[str, Any]) -> None:
        self.captions += row["caption"] is not None
        self.frames += row["num_frames"]
        self.pixels += row["num_frames"] * row["height"] * row["width"]
        self.seconds += row["num_frames"] / row["fps"]
        self.lengths.append(row["num_tokens"])

    def facts(self, split: str) -> SplitFacts:
        """The sums of the split with this name. Raises PyraTokError if it has no rows."""
        if not self.lengths:
            raise PyraTokError(f"the split {split!r} has no rows")
        return SplitFacts(
            name=split,
            shards=self.shards,
            bytes=self.bytes,
            clips=len(self.lengths),
            captions=self.captions,
            frames=self.frames,
            pixels=self.pixels,
            seconds=self.seconds,
            tokens=sum(self.lengths),
            shortest=min(self.lengths),
            longest=max(self.lengths),
            examples=tuple(self.examples),
        )


def _rows(table: Any, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of an open Parquet file, in some columns, a row group at a time."""
    for group in range(table.num_row_groups):
        yield from table.read_row_group(group, columns=list(columns)).to_pylist()
