"""A clip made from a photograph: a window that pans and zooms over it, straight and at even speed."""

import math

import numpy as np
import torch
from torch.nn import functional

from .clip_buckets import ClipBucket
from .clip_windows import resized

STILL_IMAGE_SHARE = 0.25
"""Image clips without any motion: videos have still stretches too."""

LARGEST_PAN = 0.3
"""How far an image clip's window moves over the whole clip at most, as a share of its size."""

LARGEST_ZOOM = 1.2
"""By how much an image clip's window grows or shrinks over the whole clip at most."""


def moving_image_clip(image: torch.Tensor, bucket: ClipBucket, generator: np.random.Generator) -> torch.Tensor:
    """Pan and zoom over a uint8 image (H, W, 3), straight and at even speed: uint8 (num_frames, height, width, 3)."""
    smallest = max(bucket.height / image.shape[0], bucket.width / image.shape[1])
    scale = max(smallest, math.exp(generator.uniform(math.log(min(smallest, 1.0)), 0.0)))
    # Shrunk first, with antialiasing, so that the window below samples about one pixel per pixel.
    height = max(bucket.height, round(image.shape[0] * scale))
    width = max(bucket.width, round(image.shape[1] * scale))
    image = resized(image[None], height, width)[0]
    moving = generator.random() >= STILL_IMAGE_SHARE
    zoom = math.exp(generator.uniform(-1.0, 1.0) * math.log(LARGEST_ZOOM) * moving)
    pan = generator.uniform(-LARGEST_PAN, LARGEST_PAN, size=2) * moving
    progress = np.linspace(-0.5, 0.5, bucket.num_frames) if bucket.num_frames > 1 else np.zeros(1)
    sizes = np.minimum(zoom**progress, min(height / bucket.height, width / bucket.width))  # (T,)
    centres = []
    for axis, (window, full) in enumerate(((bucket.height, height), (bucket.width, width))):
        half = window * sizes / 2
        middle = generator.uniform(window / 2, full - window / 2) + pan[axis] * window * progress
        centres.append(np.clip(middle, half, full - half))  # (T,)
    return _windows(image, np.stack(centres, axis=1), sizes, bucket)


def _windows(image: torch.Tensor, centres: np.ndarray, sizes: np.ndarray, bucket: ClipBucket) -> torch.Tensor:
    """Bicubic windows of image (H, W, 3): centres (T, 2) in pixels, `sizes` (T,) times the clip's."""
    full_height, full_width, _ = image.shape
    axes = []
    for axis, (window, full) in enumerate(((bucket.height, full_height), (bucket.width, full_width))):
        offsets = np.arange(window) + 0.5 - window / 2  # (window,)
        positions = centres[:, axis, None] + offsets * sizes[:, None]  # (T, window)
        axes.append(torch.from_numpy(2 * positions / full - 1).float())
    rows = axes[0][:, :, None].expand(-1, -1, bucket.width)
    columns = axes[1][:, None, :].expand(-1, bucket.height, -1)
    grid = torch.stack((columns, rows), dim=-1)  # (T, height, width, 2)
    source = image.permute(2, 0, 1).float().expand(len(grid), -1, -1, -1)  # (T, 3, H, W)
    windows = functional.grid_sample(source, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return windows.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
