"""A visitor's files: in a folder with a random name, gone when the session is, under names that no upload decides."""

import re
import shutil
import tempfile
from pathlib import Path

PREFIX = "pyratok-space-"
LONGEST_STEM = 40


def new_folder() -> Path:
    """An empty folder that nobody can guess and only this process's user can read."""
    return Path(tempfile.mkdtemp(prefix=PREFIX))


def remove_folder(folder: str | None) -> None:
    """Remove a folder that `new_folder` made; anything else, an example's folder for instance, stays."""
    if folder and Path(folder).parent == Path(tempfile.gettempdir()) and Path(folder).name.startswith(PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def safe_stem(upload: str) -> str:
    """What a download is called after an upload: ASCII letters, digits, `-` and `_` of its name alone."""
    stem = Path(upload.replace("\\", "/")).stem
    return re.sub(r"[^A-Za-z0-9-]+", "_", stem).strip("_-")[:LONGEST_STEM] or "clip"
