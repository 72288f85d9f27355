"""Which pixels a training clip goes without: a pure function of the clip's own seed.

A clip's mask does not depend on its place in a batch or on the process that reads it, so a resumed run repeats it.
"""

import math
from collections.abc import Iterable

import numpy as np
import torch

MASK_STREAM = 0
"""Name of this random stream under a clip's seed; the levels that are left out draw from another one."""


def clip_mask(
    seed: int, num_frames: int, height: int, width: int, frame_share: float = 0.3, patch: int = 16
) -> torch.Tensor:
    """Hidden pixels, (T, H, W) bool: round(frame_share * T) frames, a share cos(pi/2 u) of the patches of each.

    u is uniform in [0, 1] per frame: the cosine schedule of MaskGIT (Chang et al. 2022). Patches are `patch` pixels wide;
    those at the bottom and at the right are cut where the patch does not divide the size.
    """
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(MASK_STREAM,)))
    rows, columns = math.ceil(height / patch), math.ceil(width / patch)
    hidden = np.zeros((num_frames, rows * columns), dtype=bool)
    for frame in generator.permutation(num_frames)[: round(frame_share * num_frames)]:
        share = math.cos(math.pi / 2 * generator.random())
        hidden[frame, generator.permutation(rows * columns)[: round(share * rows * columns)]] = True
    grid = torch.from_numpy(hidden).view(num_frames, rows, columns)
    return grid.repeat_interleave(patch, 1).repeat_interleave(patch, 2)[:, :height, :width]


def apply_masks(values: torch.Tensor, seeds: Iterable[int], frame_share: float = 0.3, patch: int = 16) -> torch.Tensor:
    """`values` (B, T, C, H, W) in [-1, 1] with the hidden pixels of `clip_mask` at 0, mid grey; one seed per clip."""
    if frame_share == 0:
        return values
    frames, _, height, width = values.shape[1:]
    masks = torch.stack([clip_mask(int(seed), frames, height, width, frame_share, patch) for seed in seeds])
    return values.masked_fill(masks.unsqueeze(2).to(values.device), 0.0)
