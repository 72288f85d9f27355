"""A visitor's files: in a folder with a random name, gone when the session is, under names that no upload decides."""

import contextlib
import re
import shutil
import tempfile
import time
from pathlib import Path

from clip_limits import SESSION_SECONDS

PREFIX = "pyratok-space-"
LONGEST_STEM = 40


def new_folder() -> Path:
    """An empty folder that nobody can guess and only this process's user can read.

    Folders that were forgotten, because a visitor left while they were filled or the app was killed, are removed.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > 2 * SESSION_SECONDS:
                remove_folder(str(folder))
    return Path(tempfile.mkdtemp(prefix=PREFIX))


def remove_folder(folder: str | None) -> None:
    """Remove a folder that `new_folder` made; anything else, an example's folder for instance, stays."""
    if folder and Path(folder).parent == Path(tempfile.gettempdir()) and Path(folder).name.startswith(PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def safe_stem(upload: str) -> str:
    """What a download is called after an upload: ASCII letters, digits, `-` and `_` of its name alone."""
    stem = Path(upload.replace("\\", "/")).stem
    return re.sub(r"[^A-Za-z0-9-]+", "_", stem).strip("_-")[:LONGEST_STEM] or "clip"
