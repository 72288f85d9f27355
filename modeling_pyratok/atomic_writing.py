"""Writing a file whole or not at all: write aside, then rename."""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from .errors import PyraTokError, system_reason

LONGEST_SUFFIX = 32
"""Characters of the target's extension that the temporary name repeats: a file name may have 255 bytes in all."""

WRITING_FAILED = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO, errno.EROFS})
"""Errors of the disk, not of the program: full, file too large, over quota, broken, read-only."""


@contextlib.contextmanager
def atomic_path(target: str | os.PathLike[str], error: type[PyraTokError] = PyraTokError) -> Iterator[Path]:
    """Yield a temporary path beside `target`; it takes the target's place on success and is removed on any failure.

    ```python
    with atomic_path("clip.mp4", error=VideoWriteError) as path:
        write_video(path)  # write to `path` and close it before the block ends
    ```

    The temporary file exists (empty) when the block starts and has the target's extension, so that a library which
    picks the format by the name picks the right one. What stood at the target stays untouched until the rename, and
    stays for good if the block raises anything, KeyboardInterrupt included. A symbolic link is followed: the file it
    points to is replaced. A file that is replaced hands its permissions on.

    Raises `error` (a `PyraTokError`) with one sentence if the folder is missing or not writable, if the target is
    write-protected or something else than a regular file (a folder, a device, a pipe), or if the disk is full.
    Everything else that the block raises passes through as it is.
    """
    temporary = None
    try:
        final = _checked_target(target, error)
        temporary = final.with_name(f".pyratok-{secrets.token_hex(8)}{final.suffix[:LONGEST_SUFFIX]}")
        _create(temporary, final, target, error)
        yield temporary
        with _os_errors_as(error, target):
            _flush_to_disk(temporary)
            os.replace(temporary, final)
    except OSError as problem:
        if problem.errno not in WRITING_FAILED:
            raise
        raise error(
            f"cannot write {os.fspath(target)!r}: {system_reason(problem)}; no part of it is kept"
        ) from problem
    finally:
        # After the rename there is nothing of that name any more, so this is a no-op on success.
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _checked_target(target: str | os.PathLike[str], error: type[PyraTokError]) -> Path:
    """The path that will be replaced, links followed. Raises `error` if it could not be, before any work is done."""
    name = os.fspath(target)
    if not isinstance(name, str) or not name or "\0" in name:
        raise error(f"cannot write {name!r}: that is not a file name")
    with _os_errors_as(error, target):
        final = Path(os.path.realpath(name))
        if not final.parent.exists():
            raise error(f"cannot write {name!r}: the folder {str(final.parent)!r} does not exist; create it first")
        if not final.parent.is_dir():
            raise error(f"cannot write {name!r}: {str(final.parent)!r} is not a folder")
        try:
            mode = final.stat().st_mode
        except FileNotFoundError:
            return final
    if stat.S_ISDIR(mode):
        raise error(f"cannot write {name!r}: that is a folder; give a file name")
    if not stat.S_ISREG(mode):
        raise error(
            f"cannot write {name!r}: that is not a regular file (a device, a pipe or a link); give another name"
        )
    if not os.access(final, os.W_OK):
        raise error(f"cannot write {name!r}: the file is write-protected")
    return final


def _create(temporary: Path, final: Path, target: str | os.PathLike[str], error: type[PyraTokError]) -> None:
    """Create `temporary`, empty, with the permissions of `final` if that exists, else with the user's usual ones."""
    with _os_errors_as(error, target):
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        if final.exists():
            temporary.chmod(stat.S_IMODE(final.stat().st_mode))


def _flush_to_disk(path: Path) -> None:
    """Put the contents on the disk before the name: some file systems report a full disk only then."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _os_errors_as(error: type[PyraTokError], target: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an OSError of the block into `error` with one sentence."""
    try:
        yield
    except OSError as problem:
        raise error(f"cannot write {os.fspath(target)!r}: {system_reason(problem)}") from problem
