"""Videos as every browser plays them."""

from fractions import Fraction
from pathlib import Path

import torch

from pyratok import write_video

CRF = 20
"""Nearly without visible loss; what the figures are measured on has no loss at all."""


def write_shown(folder: Path, stem: str, frames: torch.Tensor, fps: Fraction | float) -> str:
    """Write uint8 frames (T, H, W, 3); returns the file's name. An odd side takes VP9: browsers know no odd H.264."""
    is_even = frames.shape[1] % 2 == 0 and frames.shape[2] % 2 == 0
    name = f"{stem}{'.mp4' if is_even else '.webm'}"
    write_video(folder / name, frames, fps, crf=CRF)
    return name


def enlarged(frames: torch.Tensor, side: int = 256) -> torch.Tensor:
    """uint8 (T, H, W, 3) with every pixel as a square, as often as the longer side stays near `side`."""
    times = max(1, side // max(frames.shape[1:3]))
    return frames.repeat_interleave(times, 1).repeat_interleave(times, 2)
