"""Rows of tokens in Parquet files of a bounded size, `data/train-00000-of-00004.parquet`, as the Hub names and shows them."""

import re
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.optional_libraries import needs_extra

DATA_FOLDER = "data"
SHARD_NAME = re.compile(r"(?P<split>[A-Za-z]\w*)-\d{5,}-of-\d{5,}\.parquet", re.ASCII)
GROUP_BYTES = 2**24
"""Bytes of token files in a row group, which a reader takes into memory at a time; at least one row."""

GROUP_ROWS = 256
TOKENS = "tokens"


def shard_name(split: str, index: int, count: int) -> str:
    """The name of a shard, which says how many there are."""
    return f"{split}-{index:05d}-of-{count:05d}.parquet"


def check_split(split: str) -> None:
    """Raise PyraTokError unless `split` is a name that `datasets` takes for one."""
    if not re.fullmatch(r"[A-Za-z]\w*", split, re.ASCII) or split == "all":
        raise PyraTokError(f"a split is named train, validation or the like, in letters, digits and _; got {split!r}")


def shards_by_split(paths: list[str]) -> dict[str, list[str]]:
    """Of these paths those that are named as shards, sorted, by the name of their split."""
    found: dict[str, list[str]] = {}
    for path in sorted(paths):
        if named := SHARD_NAME.fullmatch(Path(path).name):
            found.setdefault(named["split"], []).append(path)
    return found


class ShardWriter:
    """Writes rows into numbered Parquet files; equal rows give equal bytes under one version of pyarrow.

    Args:
        folder: where the files go; it has to be there.
        metadata: of each file, beside the columns.
        shard_bytes: a new file is begun for a row whose token file would make this one hold more bytes of them.

    Used with `with`: what is written is complete when the block has ended. Raises PyraTokError without pyarrow.
    """

    def __init__(self, folder: Path, metadata: dict[bytes, bytes], shard_bytes: int) -> None:
        with needs_extra("train"):
            import pyarrow
            from pyarrow import parquet
        columns = [("name", pyarrow.string()), ("caption", pyarrow.string()), ("fps", pyarrow.float64())]
        columns += [(name, pyarrow.int64()) for name in ("num_frames", "height", "width", "num_tokens")]
        self._schema = pyarrow.schema([*columns, (TOKENS, pyarrow.binary())], metadata)
        self._pyarrow, self._parquet = pyarrow, parquet
        self._folder, self._shard_bytes = folder, shard_bytes
        self._file: Any = None
        self._bytes = self._group_bytes = 0
        self._rows: list[dict[str, Any]] = []
        self.paths: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._end_file()
        elif self._file is not None:
            self._file.close()

    def add(self, row: dict[str, Any]) -> None:
        """Add a row with every column."""
        size = len(row[TOKENS])
        if self._file is not None and self._bytes + size > self._shard_bytes:
            self._end_file()
        if self._rows and (self._group_bytes + size > GROUP_BYTES or len(self._rows) == GROUP_ROWS):
            self._end_group()
        if self._file is None:
            self._begin_file()
        self._rows.append(row)
        self._bytes += size
        self._group_bytes += size

    def _begin_file(self) -> None:
        self.paths.append(self._folder / f"{len(self.paths)}.parquet")
        small = [name for name in self._schema.names if name != TOKENS]
        # Tokens have hardly anything left to compress, and their least and greatest say nothing.
        self._file = self._parquet.ParquetWriter(
            self.paths[-1],
            self._schema,
            compression={**dict.fromkeys(small, "zstd"), TOKENS: "none"},
            use_dictionary=False,
            write_statistics=small,
            write_page_index=True,
        )
        self._bytes = 0

    def _end_group(self) -> None:
        if self._rows:
            self._file.write_table(self._pyarrow.Table.from_pylist(self._rows, self._schema))
        self._rows, self._group_bytes = [], 0

    def _end_file(self) -> None:
        if self._file is not None:
            self._end_group()
            self._file.close()
            self._file = None
