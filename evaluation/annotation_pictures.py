"""Single pictures of a benchmark: the size that a header says, and pixels as they are stored."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ..training.data_errors import DataError


def picture_size(path: Path) -> tuple[int, int]:
    """(height, width) as the header says; no pixels are read. Raises DataError."""
    with _opened(path) as picture:
        return picture.height, picture.width


def picture_pixels(path: Path) -> tuple[str, np.ndarray]:
    """Pillow's name of the kind of pixels, and the pixels as they are stored: (H, W) or (H, W, channels). Raises DataError."""
    with _opened(path) as picture:
        return picture.mode, np.asarray(picture)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as picture:
            yield picture
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as problem:
        raise DataError(f"{str(path)!r} is no picture that can be read: {problem}") from problem
