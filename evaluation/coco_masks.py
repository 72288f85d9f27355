"""Masks of one frame as the COCO formats write them: run lengths as a list or as a text, or polygons."""

from collections.abc import Sequence
from numbers import Real
from types import ModuleType
from typing import Any

import numpy as np

from ..modeling_pyratok.optional_libraries import needs_extra

StoredMask = np.ndarray | str | list[list[float]] | None
"""Run lengths as uint32 (n,) or as a compressed text, polygons, or None for a frame without the object."""

CHARACTER_OFFSET, CONTINUATION, SIGN = 48, 0x20, 0x10
"""A character, less 48, has five bits of a number, the lowest first, and a sixth bit if more follow; the last one's
fifth bit is the sign."""

MOST_POLYGON_PIXELS = 2**25
"""Of a frame. pycocotools reserves six characters for a run length and none for the zero that ends the text. In smaller frames
two run lengths at most need six, so that others leave room; a text of one or two has the 24 bytes that any allocation has."""

NUMBERS_AT_ONCE = 2**16
"""Are turned into characters, which bounds memory."""


def mask_functions() -> ModuleType:
    """`pycocotools.mask`. Raises PyraTokError if it is not installed."""
    with needs_extra("evaluate"):
        from pycocotools import mask
    return mask


def checked_mask(value: Any, height: int, width: int) -> StoredMask:
    """A frame's entry in a small form. Raises ValueError with the reason if it is none of this size.

    A text of run lengths is checked when `decoded_mask` reads it.
    """
    if value is None:
        return None
    if isinstance(value, list):
        _check_polygons(value, height, width)
        return value
    if not isinstance(value, dict):
        raise ValueError(f"run lengths, polygons or null are needed, got {value!r:.80}")
    if value.get("size") != [height, width]:
        raise ValueError(f"the mask's 'size' is {value.get('size')!r:.80}, the video's [{height}, {width}]")
    counts = value.get("counts")
    if isinstance(counts, str):
        return counts
    if not isinstance(counts, list) or any(type(count) is not int or count < 0 for count in counts):
        raise ValueError("the mask's 'counts' must be a list of whole numbers from 0 on, or a text")
    _check_sum(counts, height, width)
    return np.array(counts, np.uint32)


def decoded_mask(stored: StoredMask, height: int, width: int) -> np.ndarray:
    """Bool (H, W). Raises ValueError if a text of run lengths is damaged."""
    if stored is None or isinstance(stored, list) and not stored:
        return np.zeros((height, width), bool)
    if isinstance(stored, list):
        functions = mask_functions()
        stored = functions.merge(functions.frPyObjects(stored, height, width))["counts"].decode("ascii")
    if isinstance(stored, str):
        stored = run_lengths(stored)
        _check_sum(stored, height, width)
    # Down the columns, without and with the object in turn.
    pixels = np.repeat(np.arange(len(stored)) % 2 == 1, stored)
    return pixels.reshape(width, height).T


def run_lengths(text: str) -> list[int]:
    """The numbers in a compressed text of run lengths.

    From the fourth on a number is stored less the one two before it. Raises ValueError if the text is damaged.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - CHARACTER_OFFSET
        if not 0 <= bits < 2 * CONTINUATION:
            raise ValueError(f"the mask's 'counts' hold {character!r}, which no compressed run length has")
        value |= (bits & (CONTINUATION - 1)) << shift
        shift += 5
        if bits & CONTINUATION:
            continue
        if bits & SIGN:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift or any(count < 0 for count in counts):
        raise ValueError("the mask's 'counts' are damaged: a run length is cut short or below 0")
    return counts


def run_length_text(counts: np.ndarray) -> bytes:
    """The compressed text of run lengths, integers (n,) below 2**32: what `run_lengths` reads.

    pycocotools' own writer is not asked: where runs are long it writes past the memory that it has reserved.
    """
    numbers = counts.astype(np.int64)
    numbers[3:] -= counts[1:-2]
    blocks = range(0, len(numbers), NUMBERS_AT_ONCE)
    return b"".join(_characters(numbers[start : start + NUMBERS_AT_ONCE]) for start in blocks)


def _characters(left: np.ndarray) -> bytes:
    """Of some numbers, int64 (n,)."""
    is_open = np.ones(len(left), bool)
    characters, are_used = [], []
    while is_open.any():
        digits = (left & (CONTINUATION - 1)).astype(np.uint8)
        left = left >> 5
        are_used.append(is_open)
        is_open = is_open & (left != np.where(digits & SIGN, -1, 0))
        characters.append(digits + (CONTINUATION * is_open + CHARACTER_OFFSET).astype(np.uint8))
    return np.stack(characters, 1)[np.stack(are_used, 1)].tobytes()


def _check_sum(counts: Sequence[int], height: int, width: int) -> None:
    if sum(counts) != height * width:
        raise ValueError(
            f"the mask's run lengths add up to {sum(counts)} pixels, {height} x {width} are {height * width}"
        )


def _check_polygons(polygons: list[Any], height: int, width: int) -> None:
    if polygons and height * width >= MOST_POLYGON_PIXELS:
        raise ValueError(
            f"polygons are read in frames below {MOST_POLYGON_PIXELS} pixels, {height} x {width} are {height * width}; "
            "write run lengths"
        )
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"a polygon is a list of at least three pairs x, y, got {polygon!r:.80}")
        if any(
            not isinstance(number, Real) or isinstance(number, bool) or not abs(number) <= 1e6 for number in polygon
        ):
            raise ValueError(f"a polygon holds finite numbers within a million pixels, got {polygon!r:.80}")
