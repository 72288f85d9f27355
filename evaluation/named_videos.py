"""Finding the videos of a benchmark, which its annotations name without an extension, in a folder."""

import os
from collections.abc import Collection
from pathlib import Path

from ..modeling_pyratok.errors import PyraTokError, system_reason
from ..modeling_pyratok.token_files import TOKEN_FILE_SUFFIX
from .annotation_reading import existing_folder

SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", TOKEN_FILE_SUFFIX)
"""What the name of a benchmark's video may end with. Where a name is there twice the first of these counts. Tokens are
enough for all that is evaluated, so a folder of token files stands in for the videos."""


def named_videos(folder: str | os.PathLike[str]) -> dict[str, Path]:
    """Name without extension -> path, of the videos and token files that lie directly in `folder`.

    Raises PyraTokError if that is no folder, or cannot be listed.
    """
    folder = existing_folder(folder, "the folder of videos")
    try:
        names = os.listdir(folder)
    except OSError as problem:
        raise PyraTokError(f"cannot list the folder of videos {str(folder)!r}: {system_reason(problem)}") from problem
    found: dict[str, Path] = {}
    for suffix in reversed(SUFFIXES):
        found |= {Path(name).stem: folder / name for name in sorted(names) if Path(name).suffix.lower() == suffix}
    return found


def none_found(missing: Collection[str], folder: str | os.PathLike[str], example: str) -> PyraTokError:
    """The error for annotations of which no video is there; `example` is the file name that one of them would have."""
    return PyraTokError(
        f"none of the {len(missing)} annotated videos is in {os.fspath(folder)!r}, {example} for one "
        f"(also read: {', '.join(SUFFIXES[1:])})"
    )
