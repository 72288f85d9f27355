"""Rows of a dataset back into token files, for what works on a folder of them: `pyratok decode`, `pyratok search`."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..modeling_pyratok.atomic_writing import atomic_path
from ..modeling_pyratok.errors import TokenFileError, system_reason
from ..modeling_pyratok.token_files import TOKEN_FILE_SUFFIX, is_token_file
from .token_rows import tokens_of_row


def write_token_files(rows: Iterable[Mapping[str, Any]], folder: str | os.PathLike[str]) -> list[Path]:
    """Write the token file of every row, `NAME.safetensors` in `folder`, byte for byte as it was when it became a row.

    Args:
        rows: of a dataset of tokens, `load_dataset(...)`.
        folder: is made if need be. Token files that are there are replaced, and nothing else.

    Returns the paths, in the order of the rows.

    Raises TokenFileError for a row that cannot be used, a name that comes twice or would lie outside the folder, and for a
    file that cannot be written; the files of the rows before it stay.
    """
    root = Path(folder)
    written: dict[Path, None] = {}
    for row in rows:
        tokens_of_row(row)  # what is damaged is not spread
        path = _path_of(root, row.get("name"))
        if path in written:
            raise TokenFileError(f"two rows are named {row['name']!r:.200}; a folder holds one of them")
        _write(path, row["tokens"])
        written[path] = None
    return list(written)


def _path_of(root: Path, name: object) -> Path:
    """Where the tokens of a row with this name belong."""
    parts = name.split("/") if isinstance(name, str) else [""]
    unsafe = any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts)
    if unsafe or Path(*parts).anchor:
        raise TokenFileError(f"the name {name!r:.200} is no path inside a folder; its row is not written")
    path = root.joinpath(*parts[:-1], parts[-1] + TOKEN_FILE_SUFFIX)
    if not path.resolve().is_relative_to(root.resolve()):
        raise TokenFileError(f"the name {name!r:.200} leads out of the folder over a link; its row is not written")
    return path


def _write(path: Path, contents: bytes) -> None:
    """Write a file whole or not at all."""
    try:
        if path.is_file() and path.stat().st_size and not is_token_file(path):
            raise TokenFileError(
                f"{str(path)!r} is there and is no token file; give another folder, or remove it first"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path, error=TokenFileError) as temporary:
            temporary.write_bytes(contents)
    except OSError as problem:
        raise TokenFileError(f"cannot write {str(path)!r}: {system_reason(problem)}") from problem
