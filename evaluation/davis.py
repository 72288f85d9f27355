"""DAVIS 2016 (Perazzi et al., 2016) and DAVIS 2017 (Pont-Tuset et al., 2017): folders of frames and of annotated pictures.

`JPEGImages/480p/SEQUENCE/*.jpg`, `Annotations/480p/SEQUENCE/*.png`, and lists of sequences in `ImageSets`. In 2016 a
sequence has one object, every pixel that is not 0. In 2017 it has several: a pixel's value is the object's number, and 255
is void, which counts for nothing.
"""

import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ..modeling_pyratok.errors import system_reason
from ..training.data_errors import DataError
from .annotation_pictures import picture_pixels, picture_size
from .annotation_reading import existing_folder, read_text
from .referring_expressions import Expressions, read_referring_expressions
from .segmentation_data import SegmentationClip, SegmentationData, SegmentedObject

DAVIS_RATE = 24.0
"""Frames per second of all sequences."""

VOID = 255

PLAIN_MODES = ("1", "P", "L")
"""Pictures whose pixels are numbers. A few of 2016 are stored in colour, black and white."""


def read_davis(
    folder: str | os.PathLike[str],
    split: str = "val",
    year: int = 2017,
    resolution: str = "480p",
    expressions: str | os.PathLike[str] | None = None,
) -> SegmentationData:
    """The sequences of a split, in the order of its list; frames and masks are loaded when they are asked for.

    Args:
        folder: the one that holds JPEGImages, Annotations and ImageSets.
        split: "train", "val" or another list in ImageSets/YEAR; of the first release of 2016, in ImageSets/RESOLUTION.
        year: 2016 for one object in each sequence, 2017 for several.
        resolution: "480p", "1080p" or "Full-Resolution".
        expressions: a text file with a referring expression for every object (`referring_expressions`), such as
            Davis17_annot1.txt. Without it an object is called by its sequence, "car-roundabout" as "car roundabout",
            all objects of one sequence alike.

    Raises:
        PyraTokError: for a list, a sequence, a frame or an annotation that is missing, unreadable or does not fit, for an
            object without an expression, and for an expression without its object.
        ValueError: for another year.
    """
    if year not in (2016, 2017):
        raise ValueError(f"year must be 2016 or 2017, got {year!r}")
    root = existing_folder(folder, "the DAVIS folder")
    known = None if expressions is None else read_referring_expressions(expressions)
    clips = []
    for name in _sequence_names(root, split, year, resolution):
        frames, annotations = _matching_files(root, resolution, name)
        size = (len(frames), *picture_size(annotations[0]))
        numbers, has_void = _object_numbers(annotations, size[1:], year)
        objects = [
            SegmentedObject(text, None, partial(_load_masks, annotations, size, year, number))
            for number, text in _object_names(name, numbers, known).items()
        ]
        load_void = partial(_load_masks, annotations, size, year, VOID) if has_void else None
        clips.append(SegmentationClip(name, frames, size, DAVIS_RATE, tuple(objects), load_void))
    return SegmentationData(tuple(clips))


def _sequence_names(root: Path, split: str, year: int, resolution: str) -> list[str]:
    """The names in a list, which has one in a line or, in the first release, a frame and its annotation in each."""
    lists = [root / "ImageSets" / str(year) / f"{split}.txt"]
    if year == 2016:
        lists.append(root / "ImageSets" / resolution / f"{split}.txt")
    path = next((path for path in lists if path.is_file()), None)
    if path is None:
        raise DataError(f"there is no list of sequences {' or '.join(repr(str(path)) for path in lists)}")
    names: dict[str, None] = {}
    previous = None
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        words = line.split()
        if not words:
            continue
        name = Path(words[0]).parent.name if len(words) == 2 else words[0]
        if len(words) > 2 or name in ("", ".", "..") or "/" in name:
            raise DataError(
                f"{str(path)!r}, line {number}: the name of a sequence is needed, got {line.strip()!r:.80}"
            )
        if name in names and (len(words) == 1 or name != previous):
            raise DataError(f"{str(path)!r}, line {number}: the sequence {name!r} is listed twice")
        names[name] = None
        previous = name
    if not names:
        raise DataError(f"{str(path)!r} lists no sequence")
    return list(names)


def _matching_files(root: Path, resolution: str, name: str) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The frames of a sequence and their annotations, in order. Raises DataError if one is without the other."""
    frames = _files(root / "JPEGImages" / resolution / name, ".jpg")
    annotations = _files(root / "Annotations" / resolution / name, ".png")
    shown, annotated = ({path.stem for path in files} for files in (frames, annotations))
    if missing := sorted(shown - annotated):
        raise DataError(f"{str(annotations[0].parent)!r} has no annotation for the frame {missing[0]!r}")
    if missing := sorted(annotated - shown):
        raise DataError(f"{str(frames[0].parent)!r} has no frame for the annotation {missing[0]!r}")
    return frames, annotations


def _files(folder: Path, suffix: str) -> tuple[Path, ...]:
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == suffix and not path.name.startswith("."))
    except OSError as problem:
        raise DataError(f"the folder {str(folder)!r} cannot be read: {system_reason(problem)}") from problem
    if not files:
        raise DataError(f"the folder {str(folder)!r} holds no {suffix} files")
    return tuple(files)


def _object_numbers(annotations: Sequence[Path], size: tuple[int, int], year: int) -> tuple[list[int], bool]:
    """The numbers of the objects of a sequence, ascending, [1] in 2016; and whether it has void. Raises DataError."""
    if year == 2016:
        for path in annotations:
            _check_size(path, size)
        return [1], False
    seen = np.zeros(256, bool)
    for path in annotations:
        seen |= np.bincount(_numbers(path, size, year).ravel(), minlength=256) > 0
    numbers = [int(number) for number in np.flatnonzero(seen) if number not in (0, VOID)]
    if not numbers:
        what = f"nothing but 0 and {VOID}, as those of 2016: read them with year=2016" if seen[VOID] else "no object"
        raise DataError(f"the annotations in {str(annotations[0].parent)!r} hold {what}")
    return numbers, bool(seen[VOID])


def _object_names(sequence: str, numbers: Sequence[int], expressions: Expressions | None) -> dict[int, str]:
    """Number -> what to ask for. Raises DataError if expressions and objects do not fit."""
    if expressions is None:
        return dict.fromkeys(numbers, re.sub(r"\d+$", "", sequence).replace("-", " ").strip() or sequence)
    texts = expressions.of(sequence)
    for number in numbers:
        if number not in texts:
            raise DataError(f"{expressions.file!r} has no expression for object {number} of the sequence {sequence!r}")
    for number, expression in texts.items():
        if number not in numbers:
            raise DataError(
                f"{expressions.file!r}, line {expression.line}: the sequence {sequence!r} has no object {number}"
            )
    return {number: texts[number].text for number in numbers}


def _load_masks(annotations: Sequence[Path], size: tuple[int, int, int], year: int, number: int) -> np.ndarray:
    """Bool (T, H, W): where the annotation is `number`. Raises DataError."""
    masks = np.empty(size, bool)
    for frame, path in enumerate(annotations):
        masks[frame] = _numbers(path, size[1:], year) == number
    return masks


def _numbers(path: Path, size: tuple[int, int], year: int) -> np.ndarray:
    """uint8 (H, W): 0 and the numbers of the objects, of 2016 always 1. Raises DataError."""
    _check_size(path, size)
    mode, pixels = picture_pixels(path)
    if mode not in PLAIN_MODES:
        if year == 2017 or pixels.dtype != np.uint8:
            raise DataError(f"{str(path)!r} must be a grey or palette picture of 8 bits, but is {mode}")
        pixels = pixels.reshape(*size, -1)
        pixels = (pixels[..., :-1] if mode.endswith("A") else pixels).max(axis=-1)  # whatever is not black
    return (pixels > 0).astype(np.uint8) if year == 2016 else pixels.astype(np.uint8)


def _check_size(path: Path, expected: tuple[int, int]) -> None:
    found = picture_size(path)
    if found != expected:
        raise DataError(
            f"{str(path)!r}: (height, width) is {found}, but that of the sequence's first annotation is {expected}"
        )
