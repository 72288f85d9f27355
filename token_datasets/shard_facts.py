"""What the shards of a dataset hold, measured from their columns; the tokens themselves are not read for it."""

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

from ..hub_cards.dataset_facts import DatasetFacts, ExampleRow, SplitFacts, TokenKind
from ..modeling_pyratok.errors import PyraTokError, system_reason
from ..modeling_pyratok.optional_libraries import needs_extra
from ..modeling_pyratok.token_fields import check_caption, checked_fps
from ..modeling_pyratok.token_layout import MAX_TOKENS, whole_number
from .parquet_shards import DATA_FOLDER, shards_by_split
from .token_kinds import KIND_KEY, difference, kind_from_json

EXAMPLES = 3
COUNTED = ("num_frames", "height", "width", "num_tokens")
SUMMED = ("name", "caption", "fps", *COUNTED)
OF_THE_HUB = (HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled)
"""Errors that say nothing of the shard, though they are kinds of OSError."""

OpenShard = Callable[[str], BinaryIO]
"""Opens a shard by its path, which may be on the Hub."""

open_local: OpenShard = functools.partial(open, mode="rb")


def local_shards(folder: str | os.PathLike[str]) -> dict[str, list[str]]:
    """The shards of a dataset in a folder, by split; a folder that is named as one is none."""
    found = Path(folder, DATA_FOLDER).glob("*.parquet")
    return shards_by_split([str(path) for path in found if not path.is_dir()])


def dataset_facts(shards: Mapping[str, Sequence[str]], open_shard: OpenShard = open_local) -> DatasetFacts:
    """Measure a dataset, given as the paths of the shards of each split.

    Raises PyraTokError for a file that is no shard of tokens, for one that is damaged or holds what no video has, no frames or
    no height for example, and for splits of different tokenizers; and what huggingface_hub raises.
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
        """Add a shard's rows; returns the kind of its tokens. Raises PyraTokError, and what huggingface_hub raises."""
        with needs_extra("train"):
            import pyarrow
        try:
            with open_shard(path) as file:
                kind = self._add_file(file)
                self.bytes += file.seek(0, os.SEEK_END)
        except OF_THE_HUB:
            raise
        except PyraTokError as problem:
            raise PyraTokError(f"the shard {path!r} cannot be used: {problem}") from problem
        except (pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError) as problem:
            reason = system_reason(problem) if isinstance(problem, OSError) else str(problem)
            raise PyraTokError(f"the shard {path!r} cannot be read: {' '.join(reason.split())}") from problem
        self.shards += 1
        return kind

    def _add_file(self, file: BinaryIO) -> TokenKind:
        from pyarrow import parquet

        table = parquet.ParquetFile(file)
        metadata = table.schema_arrow.metadata or {}
        if KIND_KEY not in metadata:
            raise PyraTokError("it is no shard of tokens; a dataset of tokens holds nothing else")
        for row in _rows(table, SUMMED):
            self._add_row(row)
        return kind_from_json(metadata[KIND_KEY])

    def _add_row(self, row: Mapping[str, Any]) -> None:
        name, caption = row["name"], row["caption"]
        if not isinstance(name, str):
            raise PyraTokError(f"the name of a row is text, got {name!r:.200}")
        check_caption(caption)
        counts = {column: whole_number(row[column], column, 1, MAX_TOKENS * 2) for column in COUNTED}
        frames = counts["num_frames"]
        self.captions += caption is not None
        self.frames += frames
        self.pixels += frames * counts["height"] * counts["width"]
        self.seconds += float(frames / checked_fps(row["fps"]))
        self.lengths.append(counts["num_tokens"])
        if len(self.examples) < EXAMPLES:
            self.examples.append(ExampleRow(name, caption, **counts))

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
