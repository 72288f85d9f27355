"""The part of a frame that a clip shows: where it lies, how large it is, and how it is brought to the clip's size."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from .clip_buckets import ClipBucket


@dataclass(frozen=True)
class ClipVariation:
    """How clips are varied.

    resized_share: how many of them are shrunk, by a factor drawn log-uniformly from [minimum_scale, 1].
    minimum_scale: see above; a clip never needs more of the video than there is.
    flip_share: how many are mirrored left to right.
    """

    resized_share: float = 0.0
    minimum_scale: float = 1.0
    flip_share: float = 0.0


@dataclass(frozen=True)
class Window:
    """`box`: (top, left, height, width) in a frame, in pixels; `size`: (height, width) that it is brought to."""

    box: tuple[int, int, int, int]
    size: tuple[int, int]

    def cut(self, frame: torch.Tensor) -> torch.Tensor:
        """uint8 (H, W, 3) -> uint8 (height, width, 3); it does not keep the frame in memory."""
        top, left, height, width = self.box
        part = frame[None, top : top + height, left : left + width]
        return resized(part, *self.size)[0].clone(memory_format=torch.contiguous_format)


def random_window(
    height: int, width: int, bucket: ClipBucket, variation: ClipVariation, generator: np.random.Generator
) -> Window:
    """A random place and scale in frames of height x width. A frame smaller than the clip is enlarged."""
    scale = 1.0
    if generator.random() < variation.resized_share:
        scale = math.exp(generator.uniform(math.log(variation.minimum_scale), 0.0))
    box_height, box_width = _box_size(height, width, bucket, scale)
    top = int(generator.integers(height - box_height + 1))
    left = int(generator.integers(width - box_width + 1))
    return Window((top, left, box_height, box_width), (bucket.height, bucket.width))


def centre_window(height: int, width: int, bucket: ClipBucket) -> Window:
    """The middle of frames of height x width, not shrunk."""
    box_height, box_width = _box_size(height, width, bucket, 1.0)
    top, left = (height - box_height) // 2, (width - box_width) // 2
    return Window((top, left, box_height, box_width), (bucket.height, bucket.width))


def _box_size(height: int, width: int, bucket: ClipBucket, scale: float) -> tuple[int, int]:
    scale = max(scale, bucket.height / height, bucket.width / width)
    return (
        min(height, max(1, round(bucket.height / scale))),
        min(width, max(1, round(bucket.width / scale))),
    )


def resized(frames: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """uint8 (T, H, W, 3) at another size, with antialiasing; the frames themselves if they have it already."""
    if frames.shape[1:3] == (height, width):
        return frames
    planes = frames.permute(0, 3, 1, 2)  # (T, 3, H, W), channels last in memory, for which torch has a fast uint8 path
    return functional.interpolate(planes, (height, width), mode="bicubic", antialias=True).permute(0, 2, 3, 1)
