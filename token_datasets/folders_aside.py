"""Folders in which a dataset lies while it is written. One that a killed process left is removed by the next."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: what a killed process left stays there
    fcntl = None

TEMPORARY = ".pyratok-dataset-"


@contextlib.contextmanager
def folder_aside(place: Path) -> Iterator[Path]:
    """A temporary folder in `place`, removed at the end; those there that no process uses any more are removed first."""
    _remove_leftovers(place)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=place) as folder, contextlib.ExitStack() as stack:
        _lock(Path(folder), stack)
        yield Path(folder)


def _remove_leftovers(place: Path) -> None:
    for path in place.glob(f"{TEMPORARY}*"):
        if path.is_dir() and not path.is_symlink():
            with contextlib.ExitStack() as stack:
                if _lock(path, stack):
                    shutil.rmtree(path, ignore_errors=True)


def _lock(folder: Path, stack: contextlib.ExitStack) -> bool:
    """Lock a folder until `stack` ends, or this process; False if another has it, or the file system knows no locks."""
    if fcntl is None:
        return False
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        stack.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
