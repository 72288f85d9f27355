"""Captions that lie beside videos, in the `metadata.jsonl` of a `videofolder` or `imagefolder`."""

import json
import os
from pathlib import Path
from typing import Any

from ..modeling_pyratok.errors import PyraTokError, system_reason
from ..modeling_pyratok.token_fields import check_caption

METADATA_FILE = "metadata.jsonl"


class CaptionFiles:
    """The captions of the files under a folder, from every `metadata.jsonl` in it: the nearest one that names a file counts.

    A line is an object with `file_name`, a path from the folder that the `metadata.jsonl` is in, and perhaps `text`.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._known: dict[Path, dict[str, str | None]] = {}

    def caption_of(self, file: Path) -> str | None:
        """The caption of a file under the folder, None if it has none.

        Raises PyraTokError, with file, line and reason, for a `metadata.jsonl` that cannot be read.
        """
        place = file.parent
        while place.is_relative_to(self._folder):
            captions = self._captions_in(place)
            name = file.relative_to(place).as_posix()
            if name in captions:
                return captions[name]
            if place == self._folder:
                break
            place = place.parent
        return None

    def _captions_in(self, place: Path) -> dict[str, str | None]:
        """File name -> caption, as the folder's `metadata.jsonl` has it."""
        if place not in self._known:
            self._known[place] = _read(place / METADATA_FILE)
        return self._known[place]


def _read(path: Path) -> dict[str, str | None]:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as problem:
        raise PyraTokError(f"{str(path)!r} is not UTF-8: {problem}") from problem
    except OSError as problem:
        raise PyraTokError(f"{str(path)!r} cannot be read: {system_reason(problem)}") from problem
    captions: dict[str, str | None] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                name, caption = _name_and_caption(json.loads(line))
                if name in captions:
                    raise ValueError(f"{name!r} is named before")
            except (ValueError, RecursionError) as problem:
                raise PyraTokError(f"line {number} of {str(path)!r} cannot be used: {problem}") from problem
            captions[name] = caption
    return captions


def _name_and_caption(entry: Any) -> tuple[str, str | None]:
    """Raises ValueError."""
    if not isinstance(entry, dict):
        raise ValueError(f"it is no object: {entry!r:.80}")
    name, caption = entry.get("file_name"), entry.get("text")
    if not isinstance(name, str) or not name:
        raise ValueError(f"it has no 'file_name': {entry!r:.80}")
    if caption is not None and not isinstance(caption, str):
        raise ValueError(f"its 'text' is of the type {type(caption).__name__}")
    caption = caption.strip() if caption else None
    check_caption(caption or None)
    return os.path.normpath(name).replace(os.sep, "/"), caption or None
