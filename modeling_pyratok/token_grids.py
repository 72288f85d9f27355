"""Sizes: how a video of any length and size maps to the token grids of the levels, and how it is padded to fit them.

A video of T frames is padded to 4k + 1 by repeating its last frame; its height and width are padded at the bottom and at the
right by reflection to a multiple that every grid divides. A level with stride (t, s) then has
1 + (T_padded - 1) / t frames of (H_padded / s) x (W_padded / s) tokens: the first frame alone, then groups of t.
"""

import math
from collections.abc import Sequence

import torch

TEMPORAL_STRIDE = 4
"""Frames per latent frame of the causal video VAE, after the first frame."""


def spatial_multiple_of(level_strides: Sequence[Sequence[int]], backbone_stride: int = 1) -> int:
    """The number that a padded height and width are multiples of: the least common multiple of all spatial strides."""
    return math.lcm(backbone_stride, *(spatial for _, spatial in level_strides))


def padded_frames(frames: int) -> int:
    """The smallest 4k + 1 that is at least `frames`."""
    if frames < 1:
        raise ValueError(f"a video needs at least one frame, got {frames}")
    return 1 + math.ceil((frames - 1) / TEMPORAL_STRIDE) * TEMPORAL_STRIDE


def padded_size(video_size: Sequence[int], spatial_multiple: int) -> tuple[int, int, int]:
    """(T, H, W) after padding. Raises ValueError if a size is below 1."""
    frames, height, width = video_size
    if height < 1 or width < 1:
        raise ValueError(f"a video needs at least one row and one column, got {height} x {width}")
    return (
        padded_frames(frames),
        math.ceil(height / spatial_multiple) * spatial_multiple,
        math.ceil(width / spatial_multiple) * spatial_multiple,
    )


def level_grids(
    video_size: Sequence[int], level_strides: Sequence[Sequence[int]], spatial_multiple: int | None = None
) -> tuple[tuple[int, int, int], ...]:
    """The token grid (T_l, H_l, W_l) of every level for a video of true size (T, H, W).

    `spatial_multiple` defaults to the least common multiple of the levels' spatial strides; a model whose backbone has a
    coarser stride than all of its levels passes its own (`PyraTokConfig.spatial_multiple`).
    """
    multiple = spatial_multiple or spatial_multiple_of(level_strides)
    frames, height, width = padded_size(video_size, multiple)
    return tuple((1 + (frames - 1) // t, height // s, width // s) for t, s in level_strides)


def reflected_indices(size: int, target: int, device: torch.device | None = None) -> torch.Tensor:
    """Indices (target,) that extend 0..size-1 by repeated reflection: 0 1 2 -> 0 1 2 1 0 1 2 ...; size 1 repeats.

    torch's own reflection padding refuses to pad by more than the size itself, which small frames need.
    """
    positions = torch.arange(target, device=device)
    if size == 1:
        return torch.zeros_like(positions)
    period = 2 * (size - 1)
    positions = positions % period
    return torch.where(positions < size, positions, period - positions)


def pad_space(video: torch.Tensor, spatial_multiple: int) -> torch.Tensor:
    """Pad (..., H, W) at the bottom and right by reflection to multiples of `spatial_multiple`; the input itself if it fits."""
    height, width = video.shape[-2:]
    _, padded_height, padded_width = padded_size((1, height, width), spatial_multiple)
    if padded_height != height:
        video = video.index_select(-2, reflected_indices(height, padded_height, video.device))
    if padded_width != width:
        video = video.index_select(-1, reflected_indices(width, padded_width, video.device))
    return video
