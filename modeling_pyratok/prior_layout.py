"""Where the tokens of a video stand in the prior's sequence, and which tokens before it a token lies next to.

The sequence is `text <SOI> level <Q-SEP> level <Q-SEP> ...` without the text here: position 0 is SOI, and each position
predicts the token after it. All of it follows from sizes alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch

NONE = -1
"""A neighbour that is not there, or not there yet."""


@dataclass(frozen=True)
class PriorLayout:
    """The tokens of a video of one size, N of them, in the order of prediction.

    level: (N,), 0 .. L-1. place: (N, 3), the token's centre in (frames, rows, columns), in frames and pixels.
    neighbours: (N, 2 + L), indices of earlier tokens, or NONE: the token above, the one in the frame before, and of every level
        that was predicted before, the token at the same place.
    grids: (T_l, H_l, W_l) of each level of `order`. order: the levels, 1 .. L. extent: padded (T, H, W) of the video.
    """

    level: torch.Tensor
    place: torch.Tensor
    neighbours: torch.Tensor
    grids: tuple[tuple[int, int, int], ...]
    order: tuple[int, ...]
    extent: tuple[int, int, int]

    @property
    def bounds(self) -> tuple[tuple[int, int], ...]:
        """(start, end) of the tokens of each level of `order`."""
        found, start = [], 0
        for frames, height, width in self.grids:
            found.append((start, start + frames * height * width))
            start = found[-1][1]
        return tuple(found)

    def to(self, device: torch.device) -> "PriorLayout":
        """The same with its tensors on the device."""
        tensors = (self.level, self.place, self.neighbours)
        return PriorLayout(*(tensor.to(device) for tensor in tensors), self.grids, self.order, self.extent)


@lru_cache(maxsize=64)
def prior_layout(
    grids: tuple[tuple[int, int, int], ...], strides: tuple[tuple[int, int], ...], order: tuple[int, ...]
) -> PriorLayout:
    """The layout of tokens on `grids` (one per level, as `level_grids` gives them), predicted level by level in `order`."""
    levels, places, neighbours = [], [], []
    starts: dict[int, int] = {}
    total = 0
    for level in order:
        (frames, height, width), (temporal, spatial) = grids[level - 1], strides[level - 1]
        t, h, w = (
            axis.flatten() for axis in torch.meshgrid(*map(torch.arange, (frames, height, width)), indexing="ij")
        )
        own = total + torch.arange(len(t))
        found = torch.full((len(t), 2 + len(grids)), NONE)
        found[:, 0] = torch.where(h > 0, own - width, NONE)
        found[:, 1] = torch.where(t > 0, own - height * width, NONE)
        last = t * temporal  # the last frame that the token covers: the first frame stands alone
        for other, start in starts.items():
            found[:, 1 + other] = start + _at(last, h, w, spatial, grids[other - 1], strides[other - 1])
        levels.append(torch.full((len(t),), level - 1))
        places.append(torch.stack([last, (h + 0.5) * spatial, (w + 0.5) * spatial], dim=1))
        neighbours.append(found)
        starts[level] = total
        total += len(t)
    chosen: Sequence[tuple[int, int, int]] = [grids[level - 1] for level in order]
    (frames, height, width), (temporal, spatial) = grids[order[0] - 1], strides[order[0] - 1]
    extent = (1 + (frames - 1) * temporal, height * spatial, width * spatial)
    return PriorLayout(
        torch.cat(levels), torch.cat(places).float(), torch.cat(neighbours), tuple(chosen), order, extent
    )


def _at(
    frame: torch.Tensor,
    row: torch.Tensor,
    column: torch.Tensor,
    spatial: int,
    grid: tuple[int, int, int],
    stride: tuple[int, int],
) -> torch.Tensor:
    """Index within a level of the token that covers a frame and the middle of a token of side `spatial`."""
    _, height, width = grid
    t = (frame + stride[0] - 1) // stride[0]
    h, w = ((2 * at + 1) * spatial // (2 * stride[1]) for at in (row, column))
    return (t * height + h) * width + w
