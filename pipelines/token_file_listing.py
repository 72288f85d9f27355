"""Which token files a folder holds, and whether one has changed since it was last looked into: none is read as a whole."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..modeling_pyratok.errors import system_reason
from ..modeling_pyratok.token_files import DIGEST_BYTES, LENGTH_BYTES, MAGIC, TOKEN_FILE_SUFFIX


@dataclass(frozen=True)
class FileState:
    """What tells whether a token file has changed: bytes, time of modification in ns, and its own SHA-256 in hexadecimal."""

    size: int
    modified: int
    sha256: str


@dataclass(frozen=True)
class TokenFileListing:
    """The files NAME.safetensors under a folder; all names are paths in it, with slashes."""

    states: dict[str, FileState]
    """Of what begins as a token file does."""
    unreadable: dict[str, str]
    """Files and folders that cannot be looked into, with the reason."""
    others: tuple[str, ...]
    """What is no token file: the weights of models, pipes."""


def list_token_files(folder: Path) -> TokenFileListing:
    """The token files under a folder, subfolders included. Names that begin with a dot and linked folders are passed over."""
    states: dict[str, FileState] = {}
    unreadable: dict[str, str] = {}
    others: list[str] = []
    for path in _candidates(folder, unreadable):
        name = path.relative_to(folder).as_posix()
        try:
            state = _state_of(path)
        except OSError as problem:
            unreadable[name] = f"it cannot be read: {system_reason(problem)}"
            continue
        if state is None:
            others.append(name)
        else:
            states[name] = state
    return TokenFileListing(states, unreadable, tuple(sorted(others)))


def _candidates(folder: Path, unreadable: dict[str, str]) -> Iterator[Path]:
    """Files with the extension of token files; folders that cannot be listed are added to `unreadable`."""

    def note(problem: OSError) -> None:
        name = Path(problem.filename).relative_to(folder).as_posix()
        unreadable[name] = f"the folder cannot be listed: {system_reason(problem)}"

    for place, subfolders, names in os.walk(folder, onerror=note):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in names:
            if name.endswith(TOKEN_FILE_SUFFIX) and not name.startswith("."):
                yield Path(place, name)


def _state_of(path: Path) -> FileState | None:
    """The state of a file that begins as a token file does, None for any other. Raises OSError."""
    status = path.stat()
    # Asked before opening: opening a pipe would wait for somebody to write into it.
    if not stat.S_ISREG(status.st_mode):
        return None
    with path.open("rb", buffering=0) as file:
        if file.read(LENGTH_BYTES + len(MAGIC))[LENGTH_BYTES:] != MAGIC:
            return None
        file.seek(-DIGEST_BYTES, os.SEEK_END)
        return FileState(status.st_size, status.st_mtime_ns, file.read(DIGEST_BYTES).hex())
