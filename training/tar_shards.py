"""Samples of WebDataset shards: tar files in which `key.mp4`, `key.txt` and `key.json` follow each other.

`datasets` reads such files too, but stops at the first damaged one, and wants the same kinds of files in every sample.
Here a damaged sample or shard becomes a row that says what is wrong with it, and the others go on.
"""

import json
import os
import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from itertools import groupby
from typing import IO

import fsspec

from ..modeling_pyratok.media_opening import MEDIA_SUFFIXES, PICTURE_SUFFIXES
from .data_rows import Row, checked_row
from .media_listing import caption_in, suffix_of

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")

DAMAGED_TAR = (tarfile.TarError, OSError, EOFError, zlib.error)


def tar_rows(paths: list[str]) -> Iterator[Row]:
    """The samples of the shards at `paths` (paths or addresses), in their order."""
    for path in paths:
        shard = posixpath.basename(path)
        try:
            with fsspec.open(path, "rb") as file:
                yield from _samples(file, shard)
        except DAMAGED_TAR as error:
            yield checked_row(b"", shard, problem=f"the shard is damaged, the rest of it is left out: {error}")


def is_empty_tar(path: str) -> bool:
    """Whether a local tar file holds nothing. Raises tarfile.TarError and OSError if it is damaged at its start."""
    if os.path.getsize(path) == 0:
        return True
    with tarfile.open(path) as archive:
        return archive.next() is None


def _samples(file: IO[bytes], shard: str) -> Iterator[Row]:
    # A stream, "|": compressed and remote shards are read once, from front to end.
    with tarfile.open(fileobj=file, mode="r|*") as archive:
        members = (member for member in archive if member.isfile())
        for key, group in groupby(members, key=lambda member: _key(member.name)):
            yield _row({member.name: archive.extractfile(member).read() for member in group}, f"{shard}/{key}")


def _key(name: str) -> str:
    """What the files of a sample have in common: all up to the first dot of the file's name."""
    folder, file_name = posixpath.split(name)
    return posixpath.join(folder, file_name.partition(".")[0])


def _row(files: dict[str, bytes], name: str) -> Row:
    media = sorted(
        (path for path in files if suffix_of(path) in MEDIA_SUFFIXES),
        key=lambda path: suffix_of(path) in PICTURE_SUFFIXES,  # of a video and its thumbnail the video
    )
    if not media:
        return checked_row(b"", name, problem=f"no video or picture among {', '.join(sorted(files))}")
    name += suffix_of(media[0])
    try:
        caption = _caption(files)
    except ValueError as error:  # of UTF-8 or JSON
        return checked_row(b"", name, problem=f"its caption cannot be read: {error}")
    return checked_row(files[media[0]], name, caption)


def _caption(files: dict[str, bytes]) -> object:
    by_suffix = {suffix_of(path): data for path, data in files.items()}
    if ".txt" in by_suffix:
        return by_suffix[".txt"].decode("utf-8").strip()
    if ".json" in by_suffix:
        entry = json.loads(by_suffix[".json"])
        return caption_in(entry) if isinstance(entry, dict) else entry
    return None
