"""Tokens of all levels on one grid, each place seen with those around it and before it.

A token alone is a few bits about a patch of pixels; what is to be seen there tells only the neighbourhood.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ..configuration.configuration_text_alignment import PyraTokTextAlignmentConfig
from .grid_resampling import GridProjection

TIME_KERNEL, SPACE_KERNEL = 2, 5
"""Feature frames, this one and those before it, and places in each direction of space that a layer looks at."""


class ContextLayer(nn.Module):
    """A residual block: a convolution per channel, causal in time, then two layers at each place (as in ConvNeXt, Liu et al.
    2022)."""

    def __init__(self, width: int):
        super().__init__()
        self.depthwise = nn.Conv3d(width, width, (TIME_KERNEL, SPACE_KERNEL, SPACE_KERNEL), groups=width)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, T, H, W) -> the same shape; beyond the borders is zero."""
        margin = SPACE_KERNEL // 2
        seen = self.depthwise(F.pad(x, (margin, margin, margin, margin, TIME_KERNEL - 1, 0)))
        return x + self.mix(self.norm(seen.permute(0, 2, 3, 4, 1))).permute(0, 4, 1, 2, 3)


class TokenContext(nn.Module):
    """Embedded levels, any subset of them, to features on the grid of `feature_stride`."""

    def __init__(self, config: PyraTokTextAlignmentConfig):
        super().__init__()
        width = config.context_size
        self.to_grid = nn.ModuleList(
            GridProjection(stride, config.feature_stride, config.codebook_size, width)
            for stride in config.level_strides
        )
        self.missing = nn.Embedding(config.num_levels, width)
        self.layers = nn.ModuleList(ContextLayer(width) for _ in range(config.context_layers))
        self.norm = nn.LayerNorm(width)

    @property
    def past(self) -> int:
        """Feature frames before a feature that it depends on."""
        return (TIME_KERNEL - 1) * len(self.layers)

    def forward(self, embedded: Sequence[torch.Tensor | None], is_first: bool = True) -> torch.Tensor:
        """Per level (B, T_l, H_l, W_l, codebook_size) or None -> (B, T', H', W', context_size).

        A level that is not there is stood in for by a learned embedding. is_first: whether the first frame is the video's.
        """
        found = [
            None if level is None else project(level.permute(0, 4, 1, 2, 3), is_first)
            for project, level in zip(self.to_grid, embedded, strict=True)
        ]
        x = sum(level for level in found if level is not None)  # (B, C, T', H', W')
        absent = [index for index, level in enumerate(found) if level is None]
        x = x + self.missing.weight[absent].sum(dim=0)[:, None, None, None]
        for layer in self.layers:
            x = layer(x)
        return self.norm(x.permute(0, 2, 3, 4, 1))
