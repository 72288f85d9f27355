"""A moving average of the trainable weights, which is what is validated and saved."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class WeightAverage:
    """Exponential moving average of a model's trainable parameters; frozen ones are not copied.

    The decay warms up as (1 + step) / (10 + step), so that the first, random weights are soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float):
        self._decay = decay
        self.values = {name: weight.detach().clone() for name, weight in _trainable(model)}
        """Parameter name -> averaged value."""

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after optimizer step number `step` (the first is 1)."""
        decay = min(self._decay, (1 + step) / (10 + step)) if self._decay else 0.0
        current = [weight.detach() for _, weight in _trainable(model)]
        torch._foreach_lerp_(list(self.values.values()), current, 1 - decay)

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """Inside the block the model has the averaged weights."""
        self._exchange(model)
        try:
            yield
        finally:
            self._exchange(model)

    @torch.no_grad()
    def _exchange(self, model: nn.Module) -> None:
        for name, weight in _trainable(model):
            kept = weight.detach().clone()
            weight.copy_(self.values[name])
            self.values[name].copy_(kept)


def _trainable(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)
