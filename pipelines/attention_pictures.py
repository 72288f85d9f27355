"""A picture of which parts of a video the words of a caption are looked at from."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont

from .pictures import BACKGROUND, GAP, LABEL_HEIGHT

CELL_HEIGHT = 96


def attention_picture(frame: torch.Tensor, maps: Sequence[torch.Tensor], words: Sequence[str]) -> Image.Image:
    """A row for each level, a column for each word: the frame, brighter and redder where the word is looked at more.

    Args:
        frame: uint8 (H, W, 3).
        maps: per level (S, H_l, W_l), the weights of S words at one moment, as `attention_maps` gives them.
        words: S names.

    Each map is scaled to its own range, and its range is written under it: maps that hardly vary say little. Raises ValueError
    if words and maps are not the same number.
    """
    for level in maps:
        if level.shape[0] != len(words):
            raise ValueError(f"there are {len(words)} words, but a map of {level.shape[0]}")
    height, width = frame.shape[:2]
    size = (max(round(width * CELL_HEIGHT / height), 1), CELL_HEIGHT)
    picture = Image.fromarray(frame.cpu().numpy()).resize(size, Image.Resampling.LANCZOS)
    pixels = np.asarray(picture, dtype=np.float32)
    row, column = CELL_HEIGHT + LABEL_HEIGHT + GAP, size[0] + GAP
    sheet = Image.new("RGB", (len(words) * column + GAP, LABEL_HEIGHT + len(maps) * row), (BACKGROUND,) * 3)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    for index, word in enumerate(words):
        pen.text((GAP + index * column, 1), word, fill=(230,) * 3, font=font)
        for level, weights in enumerate(maps):
            left, top = GAP + index * column, LABEL_HEIGHT + level * row
            sheet.paste(_overlaid(pixels, weights[index]), (left, top))
            low, high = float(weights[index].min()), float(weights[index].max())
            label = f"level {level + 1}: {low:.3f} to {high:.3f}"
            pen.text((left, top + CELL_HEIGHT), label, fill=(170,) * 3, font=font)
    return sheet


def _overlaid(pixels: np.ndarray, weights: torch.Tensor) -> Image.Image:
    """Float (H, W, 3) of 0 to 255, darkened and reddened by weights (h, w)."""
    low, high = weights.min(), weights.max()
    scaled = (weights - low) / (high - low).clamp_min(1e-12)
    strength = (
        F.interpolate(scaled[None, None].float(), pixels.shape[:2], mode="bilinear")[0, 0].cpu().numpy()[..., None]
    )
    red = np.array([255.0, 60.0, 30.0], dtype=np.float32)
    mixed = pixels * (0.35 + 0.35 * strength) + red * 0.3 * strength
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))
