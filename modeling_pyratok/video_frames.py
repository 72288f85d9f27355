"""One decoded frame (PyAV) -> one RGB picture as people see it: colour, range, bit depth, alpha, orientation.

Decisions, in one place:

- The colour matrix and the range are those the file states. Where it states none, the matrix is BT.709 for high
  definition (wider than 1279 or higher than 576) and BT.601 below, as players assume, and the range is limited
  (full for grey, RGB and JPEG pictures).
- More than 8 bits are rounded to 8. High dynamic range is not tone mapped: the numbers are taken as they are.
- Transparent pixels are laid over black, which is what a player shows behind a video.
- Rotation and mirroring metadata (phones, EXIF) are applied, so that the picture stands upright.
- Pixels are taken as they are stored: no deinterlacing, no stretching of non-square pixels.
"""

import struct

import av
import numpy as np
import torch
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from .picture_orientation import UPRIGHT

UNSPECIFIED_COLORSPACE = 2
"""AVCOL_SPC_UNSPECIFIED: the file does not say which colour matrix it uses."""

QUARTER_TURNS = {90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), -180: (-1, 0, 0, -1), -90: (0, 1, -1, 0)}
"""`frame.rotation` (degrees counterclockwise) as signs."""

CONVERSION = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
"""How chroma is brought to full size and numbers are rounded; the same code path for odd and even sizes."""


def assumed_colorspace(height: int, width: int) -> Colorspace:
    """The colour matrix of a (height, width) video that states none: BT.709 for high definition, else BT.601."""
    return Colorspace.ITU709 if width > 1279 or height > 576 else Colorspace.ITU601


def frame_to_rgb(
    frame: av.VideoFrame, reformatter: VideoReformatter, matrix: tuple[int, int, int, int] | None = None
) -> torch.Tensor:
    """A decoded frame as an upright uint8 RGB picture (H, W, 3) that owns its memory.

    `reformatter` keeps the tables of the conversion from frame to frame; one for each stream. `matrix` says how to
    turn the frame (see `upright`); None for what the frame itself says.
    """
    has_alpha = frame.format.has_palette or any(part.is_alpha for part in frame.format.components)
    source = {}
    if frame.colorspace == UNSPECIFIED_COLORSPACE and not frame.format.is_rgb:
        source["src_colorspace"] = assumed_colorspace(frame.height, frame.width)
    # One thread: frames are so small for it that more of them cost more than they win.
    target = "rgba" if has_alpha else "rgb24"
    pixels = reformatter.reformat(frame, format=target, interpolation=CONVERSION, threads=1, **source).to_ndarray()
    if has_alpha:
        pixels = over_black(pixels)
    return torch.from_numpy(np.array(upright(pixels, matrix or display_matrix(frame)), order="C"))


def over_black(pixels: np.ndarray) -> np.ndarray:
    """uint8 RGBA (H, W, 4) laid over black: uint8 RGB (H, W, 3)."""
    alpha = pixels[..., 3:]
    if (alpha == 255).all():
        return pixels[..., :3]
    return ((pixels[..., :3].astype(np.uint16) * alpha + 127) // 255).astype(np.uint8)


def display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """How the stored picture is turned for display: signs (a, b, c, d), x' = a x + c y, y' = b x + d y, y downwards.

    Only quarter turns and mirrors are expressed; a file that states none, or anything else, gives the identity.
    """
    try:
        matrices = [data for data in frame.side_data if data.type == SideDataType.DISPLAYMATRIX]
    except (
        ValueError
    ):  # PyAV cannot list side data that has a kind without a name in it, and then knows the turn alone
        return QUARTER_TURNS.get(frame.rotation, UPRIGHT)
    for data in matrices:
        numbers = struct.unpack("=9i", bytes(data))
        a, b, c, d = (int(np.sign(round(numbers[index] / 65536))) for index in (0, 1, 3, 4))
        if abs(a * d - b * c) == 1 and abs(a) + abs(b) == 1:
            return a, b, c, d
    return UPRIGHT


def upright(pixels: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """A picture (H, W, C) turned and mirrored by `display_matrix`'s signs; (W, H, C) after a quarter turn."""
    a, b, c, d = matrix
    if a == 0:
        pixels = pixels.transpose(1, 0, 2)
    flip_rows, flip_columns = (b < 0, c < 0) if a == 0 else (d < 0, a < 0)
    return pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
