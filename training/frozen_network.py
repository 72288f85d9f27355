"""Modules that use a frozen network without owning it: it moves with them, but is neither trained nor saved."""

from collections.abc import Callable

import torch
from torch import nn


class UsesFrozenNetwork(nn.Module):
    """A module whose `network` follows it to devices, but is not in its parameters, its state dict, or its training mode.

    So checkpoints do not carry weights that are at hand anyway, and optimizers and DDP do not see them.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        # Modules register what is assigned to them, but not what lies in a tuple.
        self._frozen = (network.requires_grad_(False).eval(),)

    @property
    def network(self) -> nn.Module:
        return self._frozen[0]

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> nn.Module:
        self.network._apply(fn, recurse)
        return super()._apply(fn, recurse)
