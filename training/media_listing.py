"""The videos and pictures of a folder, with their captions: laid out as `videofolder` and `imagefolder` of `datasets`.

Those builders read captions too, but refuse a whole folder for one caption of another type, and leave out webm. Which
files there are, and in which split, `datasets` says (`data_sources`).
"""

import csv
import io
import json
import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import fsspec
import pyarrow
from pyarrow import parquet

from ..modeling_pyratok.media_opening import MEDIA_SUFFIXES
from .data_errors import DataError

METADATA_FILES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
CAPTION_COLUMNS = ("text", "caption")
"""Where captions stand, the first of them that there is."""


@dataclass(frozen=True)
class MediaFile:
    """A video or picture: its path or address, its name (the path within the data), and its caption.

    caption: what the metadata say, which may be of a wrong type; None if nothing. caption_path: a text file of the same
    name, for a file that the metadata do not name.
    """

    path: str
    name: str
    caption: object = None
    caption_path: str | None = None

    def read_caption(self) -> object:
        """The caption, from the text file if it stands there. Raises OSError and UnicodeDecodeError."""
        if self.caption is not None or self.caption_path is None:
            return self.caption
        with fsspec.open(self.caption_path, "rb") as file:
            return file.read().decode("utf-8").strip()


def list_media(paths: Sequence[str], root: str) -> list[MediaFile]:
    """The videos and pictures among `paths`, by name; names are relative to `root`, which ends in a slash.

    What a metadata file names and `paths` lack is listed too, so that it is reported when it cannot be read. A file
    without an entry in the metadata, and without a text file of its name, has no caption. Raises DataError.
    """
    captions = {}
    for path in paths:
        if posixpath.basename(path) in METADATA_FILES:
            captions |= _captions(path)
    sidecars = {path for path in paths if path.lower().endswith(".txt")}
    media = {path for path in paths if suffix_of(path) in MEDIA_SUFFIXES} | captions.keys()
    files = []
    for path in sorted(media):
        sidecar = f"{posixpath.splitext(path)[0]}.txt"
        caption_path = sidecar if sidecar in sidecars and path not in captions else None
        files.append(MediaFile(path, path.removeprefix(root), captions.get(path), caption_path))
    return files


def suffix_of(path: str) -> str:
    """The last suffix, in small letters and with its dot."""
    return posixpath.splitext(path)[1].lower()


def caption_in(entry: dict[str, Any]) -> object:
    """The caption in a row of metadata, whatever its type; None if it has none."""
    return next((entry[column] for column in CAPTION_COLUMNS if entry.get(column) is not None), None)


def _captions(metadata_path: str) -> dict[str, object]:
    """Path -> caption, for every entry of a metadata file."""
    folder = posixpath.dirname(metadata_path.replace(os.sep, "/"))
    captions = {}
    try:
        for entry in _entries(metadata_path):
            name = entry.get("file_name") if isinstance(entry, dict) else None
            if not isinstance(name, str):
                raise DataError(f"{metadata_path} has an entry without a 'file_name': {str(entry)[:80]}; add it")
            relative = posixpath.normpath(name)
            if posixpath.isabs(relative) or relative.startswith("..") or "://" in name:
                raise DataError(f"{metadata_path} names '{name}', which is outside its folder; move the file there")
            captions[posixpath.join(folder, relative)] = caption_in(entry)
    except (OSError, UnicodeDecodeError, csv.Error, pyarrow.ArrowException) as error:
        raise DataError(f"{metadata_path} cannot be read: {error}") from error
    return captions


def _entries(metadata_path: str) -> Iterator[Any]:
    with fsspec.open(metadata_path, "rb") as file:
        if metadata_path.endswith(".parquet"):
            yield from parquet.read_table(file).to_pylist()
            return
        text = file.read().decode("utf-8")
    if metadata_path.endswith(".csv"):
        yield from csv.DictReader(io.StringIO(text, newline=""))
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except ValueError as error:
            raise DataError(f"line {number} of {metadata_path} is not valid JSON: {error}") from error
