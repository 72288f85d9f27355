"""Moving features between grids of different strides without looking ahead.

All grids share one rule: their first frame belongs to the first frame of the video alone, later frames cover groups. Going to
a coarser grid a learned patch projection sees the whole group; going to a finer grid values are repeated. Both need no memory
between chunks, because chunks end where groups end.
"""

import torch
from torch import nn


def repeat_in_time(x: torch.Tensor, factor: int, is_first: bool) -> torch.Tensor:
    """Repeat frames of (B, C, T, H, W) `factor` times, at the start of a stream all but the first."""
    if factor == 1:
        return x
    if not is_first:
        return x.repeat_interleave(factor, dim=2)
    return torch.cat([x[:, :, :1], x[:, :, 1:].repeat_interleave(factor, dim=2)], dim=2)


def complete_first_group(x: torch.Tensor, group: int, is_first: bool) -> torch.Tensor:
    """Put copies of the first frame of a stream before it, so that it fills a group of its own."""
    if group == 1 or not is_first:
        return x
    return torch.cat([x[:, :, :1].expand(-1, -1, group - 1, -1, -1), x], dim=2)


def pool_to_grid(x: torch.Tensor, source: tuple[int, int], target: tuple[int, int], is_first: bool) -> torch.Tensor:
    """Mean over the positions that a coarser grid joins, repetition towards a finer one; without parameters.

    Args:
        x: (B, C, T, H, W) on the grid of stride `source`.
        source, target: (frames, pixels) per position.
        is_first: whether the first frame of `x` is the first of the stream.
    """
    down_time, down_space = max(target[0] // source[0], 1), max(target[1] // source[1], 1)
    up_time, up_space = max(source[0] // target[0], 1), max(source[1] // target[1], 1)
    if down_time > 1 or down_space > 1:
        x = complete_first_group(x, down_time, is_first)
        x = nn.functional.avg_pool3d(x, (down_time, down_space, down_space))
    if up_space > 1:
        x = x.repeat_interleave(up_space, dim=3).repeat_interleave(up_space, dim=4)
    return repeat_in_time(x, up_time, is_first)


class GridProjection(nn.Module):
    """A linear map from one grid to another: a patch projection where the target is coarser, repetition where it is finer.

    Args:
        source, target: (frames, pixels) per position; per axis one divides the other.
        in_channels, out_channels: widths.
    """

    def __init__(
        self, source: tuple[int, int], target: tuple[int, int], in_channels: int, out_channels: int, bias: bool = True
    ):
        super().__init__()
        self.down = (max(target[0] // source[0], 1), max(target[1] // source[1], 1))
        self.up = (max(source[0] // target[0], 1), max(source[1] // target[1], 1))
        time, space = self.down
        self.projection = nn.Linear(in_channels * time * space * space, out_channels, bias=bias)

    def forward(self, x: torch.Tensor, is_first: bool) -> torch.Tensor:
        """(B, C, T, H, W) on the source grid -> (B, out, T', H', W') on the target grid, channels last."""
        time, space = self.down
        x = complete_first_group(x, time, is_first).permute(0, 2, 3, 4, 1)  # (B, T, H, W, C)
        if time > 1 or space > 1:
            batch, frames, height, width, channels = x.shape
            x = x.reshape(batch, frames // time, time, height // space, space, width // space, space, channels)
            x = x.permute(0, 1, 3, 5, 2, 4, 6, 7).flatten(4)
        x = self.projection(x).permute(0, 4, 1, 2, 3)
        up_time, up_space = self.up
        if up_space > 1:
            x = x.repeat_interleave(up_space, dim=3).repeat_interleave(up_space, dim=4)
        return repeat_in_time(x, up_time, is_first)
