"""Which files of a folder are evaluated: its videos and pictures, in an order that depends on their names alone."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.media_opening import MEDIA_SUFFIXES


def evaluation_files(folder: str | os.PathLike[str], max_clips: int | None = None) -> list[Path]:
    """The videos and pictures under `folder`, subfolders included, sorted by their path in it; a split of a
    `videofolder` or `imagefolder` is such a folder.

    Args:
        folder: where to look. Names that begin with a dot are passed over.
        max_clips: take no more than this many, spread evenly over the sorted list. None for all.

    Raises:
        PyraTokError: if the folder is none, or holds no video and no picture.
        OSError: if it, or a folder in it, cannot be listed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file; give the folder that it is in" if folder.exists() else "does not exist"
        raise PyraTokError(f"the data folder {str(folder)!r} {what}")
    files = sorted(_media(folder), key=lambda path: path.relative_to(folder).as_posix())
    if not files:
        raise PyraTokError(
            f"the data folder {str(folder)!r} holds no videos or pictures, such as NAME.mp4 or NAME.png"
        )
    count = len(files) if max_clips is None else min(max_clips, len(files))
    return [files[index * len(files) // count] for index in range(count)]


def _media(folder: Path) -> Iterator[Path]:
    for place, subfolders, names in os.walk(folder, onerror=_raise, followlinks=False):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in MEDIA_SUFFIXES:
                yield Path(place, name)


def _raise(problem: OSError) -> NoReturn:
    raise problem
