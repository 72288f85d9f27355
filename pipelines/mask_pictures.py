"""Masks to look at: each in a colour of its own over the frame, with a legend below."""

import colorsys
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from .pictures import BACKGROUND, LABEL_HEIGHT

OPACITY = 0.5
GOLDEN_RATIO = 0.618034


def mask_colour(index: int) -> tuple[int, int, int]:
    """The colour of mask number `index`, 0 to 255; neighbours differ much, and there are as many as one likes."""
    red, green, blue = colorsys.hsv_to_rgb((0.02 + index * GOLDEN_RATIO) % 1.0, 0.85, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def overlaid(frame: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """A frame with masks over it: tinted inside, in the full colour along the edge. Where masks overlap the later one is seen.

    Args:
        frame: uint8 (H, W, 3).
        masks: bool (K, H, W).

    Returns uint8 (H, W, 3). Raises ValueError if the sizes differ.
    """
    if masks.shape[1:] != frame.shape[:2]:
        raise ValueError(f"masks of {tuple(masks.shape[1:])} do not fit a frame of {tuple(frame.shape[:2])}")
    picture = frame.cpu().numpy().astype(np.float32)
    for index, mask in enumerate(masks.cpu().numpy()):
        colour = np.asarray(mask_colour(index), dtype=np.float32)
        picture[mask] = (1 - OPACITY) * picture[mask] + OPACITY * colour
        picture[mask & ~_inside(mask)] = colour
    return torch.from_numpy(picture.round().clip(0, 255).astype(np.uint8))


def with_legend(frame: torch.Tensor, words: Sequence[str]) -> torch.Tensor:
    """uint8 (H, W, 3) -> (H + 16, W, 3): the words below, each in the colour of its mask, as far as they fit."""
    strip = Image.new("RGB", (frame.shape[1], LABEL_HEIGHT), (BACKGROUND,) * 3)
    pen, font, left = ImageDraw.Draw(strip), ImageFont.load_default(size=11), 2
    for index, word in enumerate(words):
        pen.text((left, 1), word, fill=mask_colour(index), font=font)
        left += round(pen.textlength(word, font=font)) + 8
    return torch.cat([frame.cpu(), torch.from_numpy(np.array(strip))], dim=0)


def _inside(mask: np.ndarray) -> np.ndarray:
    """Where a pixel and its four neighbours belong to the mask; beyond the frame is not outside."""
    padded = np.pad(mask, 1, constant_values=True)
    return mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
