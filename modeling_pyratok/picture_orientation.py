"""Which way up a single picture is, from its EXIF data.

Pillow reads it, because PyAV cannot list a frame's side data when EXIF is among it (it has no name for that kind).
"""

import warnings
from typing import BinaryIO

from PIL import Image

EXIF_ORIENTATION = 0x0112

UPRIGHT = (1, 0, 0, 1)

MATRICES = {
    2: (-1, 0, 0, 1),  # mirrored left to right
    3: (-1, 0, 0, -1),  # upside down
    4: (1, 0, 0, -1),  # mirrored top to bottom
    5: (0, 1, 1, 0),  # mirrored at the main diagonal
    6: (0, 1, -1, 0),  # to be turned clockwise
    7: (0, -1, -1, 0),  # mirrored at the other diagonal
    8: (0, -1, 1, 0),  # to be turned counterclockwise
}
"""EXIF's orientations as the signs that `video_frames.upright` takes."""


def exif_matrix(file: BinaryIO) -> tuple[int, int, int, int]:
    """The signs (a, b, c, d) that turn the picture in the seekable `file` upright; its position is kept."""
    position = file.tell()
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged EXIF data, which counts as none
            orientation = Image.open(file).getexif().get(EXIF_ORIENTATION)
    except Exception:  # the picture is decoded elsewhere, and its damage is reported there
        return UPRIGHT
    finally:
        file.seek(position)
    return MATRICES.get(orientation, UPRIGHT)
