"""Reading the files that annotate a benchmark: what is wrong with one is said with its name, the place in it and the reason."""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from ..modeling_pyratok.errors import PyraTokError, system_reason


def read_text(path: str | os.PathLike[str]) -> str:
    """The whole file as text, UTF-8 with or without a mark at its start. Raises PyraTokError."""
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except OSError as problem:
        raise PyraTokError(f"cannot read {os.fspath(path)!r}: {system_reason(problem)}") from problem
    except UnicodeDecodeError as problem:
        line = problem.object[: problem.start].count(b"\n") + 1
        raise PyraTokError(f"{os.fspath(path)!r}, line {line}: it is not text in UTF-8; save it as such") from problem


def read_table(path: str | os.PathLike[str], columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(number of the line a row ends in, its columns by name) of a CSV file whose first line names them, a row at a time.

    Raises PyraTokError if the file cannot be read, one of `columns` is missing, a row has more or fewer fields than there are
    names, or is not text in UTF-8.
    """
    name = os.fspath(path)
    try:
        # What is not UTF-8 comes as lone surrogates, so that the row it is in is known.
        with open(name, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            absent = [column for column in columns if column not in header]
            if absent:
                raise PyraTokError(
                    f"{name!r}, line 1: it has no column {', '.join(map(repr, absent))}, but {', '.join(header) or 'none'}"
                )
            for row in rows:
                if row:
                    _check_row(row, header, f"{name!r}, line {rows.line_num}")
                    yield rows.line_num, dict(zip(header, row, strict=True))
    except OSError as problem:
        raise PyraTokError(f"cannot read {name!r}: {system_reason(problem)}") from problem
    except csv.Error as problem:
        raise PyraTokError(f"{name!r}, line {rows.line_num}: it is not a CSV table: {problem}") from problem


def _check_row(row: list[str], header: list[str], place: str) -> None:
    try:
        "".join(row).encode()
    except UnicodeEncodeError as problem:
        raise PyraTokError(f"{place}: it is not text in UTF-8; save it as such") from problem
    if len(row) != len(header):
        raise PyraTokError(f"{place}: {len(row)} fields where line 1 names {len(header)} columns")


def path_inside(name: str, place: str) -> PurePosixPath:
    """`name`, a file within a benchmark's folder, as a path. Raises PyraTokError, with `place` first, if it leads out."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise PyraTokError(f"{place}: {name!r} is not the name of a file inside the benchmark's folder")
    return path


def existing_folder(folder: str | os.PathLike[str], what: str) -> Path:
    """`folder` as a path. Raises PyraTokError, which calls it `what`, if there is none."""
    path = Path(folder)
    if not path.is_dir():
        problem = "is a file; give the folder that it is in" if path.exists() else "does not exist"
        raise PyraTokError(f"{what} {str(path)!r} {problem}")
    return path
