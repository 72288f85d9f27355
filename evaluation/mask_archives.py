"""Films with masks in numpy archives: a folder with `metadata.jsonl`, films, and an archive for each object.

A line of `metadata.jsonl` has a `file_name` and either of
    `expression` and `masks`: what refers to the object, and the archive of its masks;
    `objects`: a list of {"name": ..., "masks": ...}, one for each object. Their names are the data's categories, and
        several objects may share one.
Other fields, such as captions, are not looked at. An archive (.npz) holds `shape`, the whole numbers (T, H, W) of the film,
and `masks`, uint8 (T, H, ceil(W / 8)): eight pixels of a row in each byte, the first in the highest bit, as
`numpy.packbits(masks, axis=-1)` makes them.
"""

import math
import os
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..modeling_pyratok.errors import VideoReadError
from ..modeling_pyratok.video_reading import VideoInfo, VideoReader
from ..training.data_errors import DataError
from .annotation_reading import existing_folder
from .json_entries import JsonEntry, read_json_lines
from .segmentation_data import SegmentationClip, SegmentationData, SegmentedObject

METADATA = "metadata.jsonl"

MOST_PIXELS = 2**32
"""Of all frames of a film; its masks are refused before memory is asked for."""

DAMAGED_ARCHIVE = (OSError, EOFError, KeyError, RuntimeError, SyntaxError, ValueError, zipfile.BadZipFile, zlib.error)


def read_mask_archives(folder: str | os.PathLike[str]) -> SegmentationData:
    """The films of a folder, in the order of their lines; frames and masks are loaded when they are asked for.

    Raises PyraTokError for anything missing or wrong in `metadata.jsonl`, with the line and the reason, and for a film or
    an archive that is missing, damaged or of another size than the other.
    """
    root = existing_folder(folder, "the folder of mask archives")
    lines = read_json_lines(root / METADATA)
    if not lines:
        raise DataError(f"{str(root / METADATA)!r} has no lines")
    category_names = sorted({item.words("name") for line in lines for item in _listed(line)})
    categories = dict(enumerate(category_names, start=1))
    ids = {name: identity for identity, name in categories.items()}
    names: dict[str, int] = {}
    clips = []
    for number, line in enumerate(lines):
        clip = _clip(line, root, ids)
        if clip.name in names:
            raise line.problem(f"{clip.name!r} has a line before it: {lines[names[clip.name]].place}")
        names[clip.name] = number
        clips.append(clip)
    return SegmentationData(tuple(clips), categories)


def _listed(line: JsonEntry) -> list[JsonEntry]:
    """The entries of `objects`, [] if the line describes one object by itself. Raises DataError if it does both or neither."""
    if ("objects" in line.values) == ("masks" in line.values):
        raise line.problem("either 'objects', or 'expression' and 'masks' are needed")
    return line.entries("objects") if "objects" in line.values else []


def _clip(line: JsonEntry, root: Path, ids: dict[str, int]) -> SegmentationClip:
    name = line.words("file_name")
    path = line.path_in(root, name)
    try:
        with VideoReader(path, decoder_threads=1) as reader:
            info = reader.info
    except VideoReadError as problem:
        raise line.problem(str(problem)) from problem
    listed = _listed(line)
    described = [(item, item.words("name"), ids[item.words("name")]) for item in listed] or (
        [] if "objects" in line.values else [(line, line.words("expression"), None)]
    )
    objects, size = [], None
    for item, text, category in described:
        archive = item.path_in(root, item.words("masks"))
        found = _archive_size(item, archive, info)
        if size not in (None, found):
            raise item.problem(f"the masks are {found} (frames, height, width), those of another object {size}")
        size = found
        objects.append(SegmentedObject(text, category, partial(_load_masks, archive, found)))
    size = size or (_count_frames(path), info.height, info.width)
    return SegmentationClip(name, path, size, float(info.fps), tuple(objects))


def _count_frames(path: Path) -> int:
    with VideoReader(path) as reader:
        return sum(1 for _ in reader)


def _archive_size(entry: JsonEntry, path: Path, info: VideoInfo) -> tuple[int, int, int]:
    """(T, H, W), checked against the film and against what the archive holds; nothing large is read. Raises DataError."""
    try:
        with zipfile.ZipFile(path) as archive:
            with archive.open("shape.npy") as member:
                shape, kind = _header(member)
                if shape != (3,) or kind.kind not in "iu":
                    raise ValueError(f"'shape' must be three whole numbers, but is {kind} {shape}")
            with archive.open("shape.npy") as member:
                size = tuple(int(number) for number in np.lib.format.read_array(member, allow_pickle=False))
            with archive.open("masks.npy") as member:
                found, kind = _header(member)
    except DAMAGED_ARCHIVE as problem:
        raise entry.problem(f"{str(path)!r} is no archive of masks that can be read: {problem}") from problem
    if min(size) < 1 or math.prod(size) > MOST_PIXELS:
        raise entry.problem(
            f"{str(path)!r} has the shape {size}; it must be 1 or more each, {MOST_PIXELS} pixels at most"
        )
    if size[1:] != (info.height, info.width) or size[0] > (info.num_frames or size[0]):
        film = (info.num_frames, info.height, info.width)
        raise entry.problem(f"{str(path)!r} has masks of {size} (frames, height, width), the film is {film}")
    if kind != np.uint8 or found != _packed(size):
        raise entry.problem(f"{str(path)!r} holds 'masks' of {kind} {found}, but {size} needs uint8 {_packed(size)}")
    return size


def _header(member: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    """What the array of an archive is like, without reading it. Raises ValueError for what is no array."""
    version = np.lib.format.read_magic(member)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"arrays of format {version} are not read")
    shape, _, kind = readers[version](member)
    return shape, kind


def _packed(size: tuple[int, int, int]) -> tuple[int, int, int]:
    return (*size[:2], -(-size[2] // 8))


def _load_masks(path: Path, size: tuple[int, int, int]) -> np.ndarray:
    """Bool (T, H, W). Raises DataError."""
    try:
        with zipfile.ZipFile(path) as archive:
            with archive.open("masks.npy") as member:
                if _header(member) != (_packed(size), np.dtype(np.uint8)):
                    raise ValueError("it is not what it was when it was listed")
            with archive.open("masks.npy") as member:
                packed = np.lib.format.read_array(member, allow_pickle=False)  # (T, H, ceil(W / 8))
    except DAMAGED_ARCHIVE as problem:
        raise DataError(f"{str(path)!r} is no archive of masks that can be read: {problem}") from problem
    return np.unpackbits(packed, axis=-1, count=size[2]).view(bool)
