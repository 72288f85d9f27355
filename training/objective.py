"""What a training step minimises: the tokenizer's own losses, and terms that look at its output from outside.

One module, so that a distributed run wraps it once and a learned projection inside a term is trained and saved along.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.outputs import PyraTokOutput


@dataclass(frozen=True)
class StepView:
    """What a term may look at.

    output: what the tokenizer gave for the masked clips, with `stage_features`. values: the clips themselves,
    (B, T, 3, H, W) in [-1, 1].
    """

    model: PyraTokModel
    output: PyraTokOutput
    values: torch.Tensor


class LossTerm(Protocol):
    """A module that turns a step into one number. Stages 2 and 3 add their losses of language as such terms."""

    def __call__(self, view: StepView) -> torch.Tensor: ...


class Objective(nn.Module):
    """The tokenizer with all terms of the loss.

    Args:
        model: the tokenizer; the weights of its own terms are in its configuration.
        terms: name -> (weight, term), added to the tokenizer's loss.
    """

    def __init__(self, model: PyraTokModel, terms: Mapping[str, tuple[float, nn.Module]]):
        super().__init__()
        self.model = model
        self.weights = {name: weight for name, (weight, _) in terms.items()}
        self.terms = nn.ModuleDict({name: term for name, (_, term) in terms.items()})

    def forward(
        self, masked: torch.Tensor, values: torch.Tensor, present_levels: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], tuple[torch.Tensor, ...]]:
        """One micro-batch.

        Args:
            masked: (B, T, 3, H, W) in [-1, 1], what the encoder sees.
            values: the same clips unmasked, what is to be reconstructed.
            present_levels: (B, L) bool.

        Returns:
            The weighted total, every term by itself and unweighted, and the codes of every level.
        """
        output = self.model(
            pixel_values_videos=masked,
            target_values=values,
            present_levels=present_levels,
            output_stage_features=bool(self.terms),
        )
        total, losses = output.loss, dict(output.losses)
        view = StepView(self.model, output, values)
        for name, term in self.terms.items():
            losses[name] = term(view)
            total = total + self.weights[name] * losses[name]
        return total, losses, output.video_codes

    def trained_extras(self) -> dict[str, nn.Parameter]:
        """The trainable parameters outside the tokenizer, by name: projections inside terms."""
        return {name: weight for name, weight in self.terms.named_parameters() if weight.requires_grad}
