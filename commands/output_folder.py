"""Several files that belong together: all of them are written, or none."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..modeling_pyratok.errors import PyraTokError, system_reason


@contextlib.contextmanager
def output_folder(folder: str | os.PathLike[str], names: Sequence[str]) -> Iterator[Path]:
    """Yield an empty folder to write the files `names` into; they move into `folder` together if the block ends well.

    Both are on one disk, so moving is renaming. If the block fails in any way, Ctrl-C included, nothing is left: no
    file, no folder that was not there before, and files of these names that were there before stay as they were.

    Raises PyraTokError if `folder` cannot be made or written to, or if one of `names` is there and no regular file.
    Messages of PyraTokErrors from the block name the final folder instead of the one to write into.
    """
    folder = Path(folder)
    created = _make_folder(folder)
    stage = folder / f".pyratok-{secrets.token_hex(8)}"
    try:
        _check_targets(folder, names)
        with _said_for_people(folder):
            stage.mkdir()
        try:
            yield stage
        except PyraTokError as problem:
            raise type(problem)(str(problem).replace(str(stage), str(folder))) from problem
        with _said_for_people(folder):
            _publish(stage, folder, names)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        for path in created:
            with contextlib.suppress(OSError):  # somebody else may have put something there
                path.rmdir()
        raise
    shutil.rmtree(stage, ignore_errors=True)


def _make_folder(folder: Path) -> list[Path]:
    """Create the folder and those above it; returns the created ones, innermost first."""
    if folder.exists() and not folder.is_dir():
        raise PyraTokError(f"the output {str(folder)!r} is a file; give the name of a folder")
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    with _said_for_people(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return missing


def _check_targets(folder: Path, names: Sequence[str]) -> None:
    for path in (folder / name for name in names):
        if os.path.lexists(path) and not path.is_file():
            raise PyraTokError(f"cannot write {str(path)!r}: something is there that is not a regular file")


def _publish(stage: Path, folder: Path, names: Sequence[str]) -> None:
    """Rename the files into place; if one cannot be, those before it go back, and what they replaced returns."""
    replaced = stage / "replaced"
    replaced.mkdir()
    started: list[str] = []
    try:
        for name in names:
            started.append(name)
            if os.path.lexists(folder / name):
                os.replace(folder / name, replaced / name)
            os.replace(stage / name, folder / name)
    except BaseException:
        for name in started:
            if not os.path.lexists(stage / name):
                (folder / name).unlink(missing_ok=True)
            if os.path.lexists(replaced / name):
                os.replace(replaced / name, folder / name)
        raise


@contextlib.contextmanager
def _said_for_people(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise PyraTokError(f"cannot write into the folder {str(folder)!r}: {system_reason(problem)}") from problem
