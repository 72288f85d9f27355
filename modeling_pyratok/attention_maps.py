"""Which words the tokens look at: the weights of the text attention, which the model computes and does not keep."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from .lapq import LaPQPyramid
from .residual_quantizer import ResidualQuantizer


@contextmanager
def recorded_attention(pyramid: LaPQPyramid | ResidualQuantizer) -> Iterator[list[list[torch.Tensor]]]:
    """Inside the block every pass through the pyramid adds, per level, the weights (B, S, N) of its tokens to the list."""
    record: list[list[torch.Tensor]] = [[] for _ in pyramid.attentions]

    def keep(level: int) -> Callable[[nn.Module, tuple], None]:
        return lambda attention, arguments: record[level].append(attention.weights(*arguments))

    with ExitStack() as hooks:
        for level, attention in enumerate(pyramid.attentions):
            hooks.callback(attention.register_forward_pre_hook(keep(level)).remove)
        yield record


def maps_on_grids(
    record: Sequence[Sequence[torch.Tensor]], grids: Sequence[tuple[int, int, int]]
) -> tuple[torch.Tensor, ...]:
    """What was recorded chunk by chunk, per level as (B, S, T_l, H_l, W_l)."""
    return tuple(
        torch.cat([weights.unflatten(-1, (-1, *grid[1:])) for weights in chunks], dim=2)
        for chunks, grid in zip(record, grids, strict=True)
    )
