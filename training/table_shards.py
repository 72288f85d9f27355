"""Rows of Parquet files: a column of videos or pictures and, where there is one, one of captions.

`datasets` reads such files too, but stops at the first damaged row group. Here that becomes a row that says what is wrong
with it, and the next row groups go on.
"""

import hashlib
import posixpath
from collections.abc import Iterator, Sequence
from typing import Any

import fsspec
import pyarrow
from pyarrow import parquet

from .data_errors import DataError
from .data_rows import Row, checked_row
from .media_listing import CAPTION_COLUMNS, caption_in

TABLE_SUFFIX = ".parquet"

FEW_TABLES = 64
"""So many files are split further, at their row groups, for more even and better shuffled shards; each has to be opened."""

ROWS_AT_ONCE = 16
"""A row group may hold many videos; they are unpacked in such steps."""

DAMAGED_TABLE = (pyarrow.ArrowException, OSError, ValueError)
"""ValueError is that of a text that is not UTF-8."""

RowGroup = tuple[str, int | None]
"""The path or address of a file and the number of one of its row groups, from 0; None for all of them."""


def list_row_groups(paths: Sequence[str]) -> list[RowGroup]:
    """The parts of Parquet files that are shards: row groups of a few files, or whole files where there are many.

    Raises DataError if a file is empty, or damaged at its end, where the list of its row groups is. Of many files only
    local ones are opened.
    """
    is_split = len(paths) <= FEW_TABLES
    parts: list[RowGroup] = []
    for path in paths:
        if not is_split:
            parts.append((path, None))
            if "://" in path:
                continue
        footer = read_footer(path)
        if footer.num_rows == 0:
            raise DataError(f"the shard {path} is empty (no rows); copy it again, or remove it")
        if is_split:
            parts += [(path, number) for number in range(footer.num_row_groups)]
    return parts


def read_footer(path: str) -> parquet.FileMetaData:
    """What the end of a Parquet file says of its columns and row groups. Raises DataError."""
    try:
        with fsspec.open(path, "rb") as file:
            return parquet.read_metadata(file)
    except DAMAGED_TABLE as error:
        raise DataError(f"the shard {path} is damaged ({error}); copy it again, or remove it") from error


def table_rows(row_groups: list[RowGroup], column: str) -> Iterator[Row]:
    """The rows of row groups, in their order; `column` holds the videos or pictures."""
    for path, number in row_groups:
        shard = posixpath.basename(path)
        try:
            with fsspec.open(path, "rb") as file:
                table = parquet.ParquetFile(file)
                if column not in table.schema_arrow.names:
                    raise ValueError(f"it has no column '{column}'")
                for chosen in range(table.num_row_groups) if number is None else (number,):
                    yield from _rows_of_group(table, chosen, column, shard)
        except DAMAGED_TABLE as error:
            yield checked_row(b"", shard, problem=f"the shard cannot be read: {error}")


def _rows_of_group(table: parquet.ParquetFile, number: int, column: str, shard: str) -> Iterator[Row]:
    kept = [name for name in table.schema_arrow.names if name == column or name in CAPTION_COLUMNS]
    try:
        # Without threads: data workers are processes, as many as there is work for.
        for batch in table.iter_batches(ROWS_AT_ONCE, row_groups=[number], columns=kept, use_threads=False):
            for row in batch.to_pylist():
                yield _row(row, column)
    except DAMAGED_TABLE as error:
        problem = f"the row group is damaged, the rest of it is left out: {error}"
        yield checked_row(b"", f"{shard}, row group {number}", problem=problem)


def _row(row: dict[str, Any], column: str) -> Row:
    media = row[column]
    content, path = (media.get("bytes"), media.get("path")) if isinstance(media, dict) else (media, None)
    if isinstance(content, str):
        content, path = None, content
    if content is None and path is None:
        return checked_row(b"", f"row without {column}", problem=f"its {column} is null")
    # Without a path only the content can tell what sample this is, in every run.
    name = path or f"sha256:{hashlib.sha256(content).hexdigest()[:16]}"
    return checked_row(path if content is None else content, name, caption_in(row))
