"""What a training step minimises: the tokenizer's own losses, and terms that look at its output from outside.

One module, so that a distributed run wraps it once and a learned projection inside a term is trained and saved along.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn
from transformers import PreTrainedModel

from ..modeling_pyratok.binary_codebook import codes_to_bits
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.outputs import PyraTokOutput
from ..modeling_pyratok.text_encoding import EncodedText, TextEncoder


@dataclass(frozen=True)
class StepView:
    """What a term may look at.

    output: what the tokenizer gave for the masked clips, with `stage_features`; of a frozen one the codes alone, and their
    bits as `bit_logits`. values: the clips themselves, (B, T, 3, H, W) in [-1, 1]. captions: of each clip, None where there is
    none or it was left out.
    text: the captions' embeddings, if the run has a text encoder.
    seed: of what a term draws at random, another one in every step, the same in all processes.
    """

    model: PyraTokModel
    output: PyraTokOutput
    values: torch.Tensor
    captions: tuple[str | None, ...]
    text: EncodedText | None
    seed: int

    def generator(self) -> torch.Generator:
        """A new generator on the CPU, as `seed` says: all terms draw the same numbers."""
        return torch.Generator().manual_seed(self.seed)


class LossTerm(Protocol):
    """A module that turns a step into one number. Stages 2 and 3 add their losses of language as such terms."""

    def __call__(self, view: StepView) -> torch.Tensor: ...


class Objective(nn.Module):
    """The tokenizer with all terms of the loss.

    Args:
        model: the tokenizer; the weights of its own terms are in its configuration.
        terms: name -> (weight, term), added to the tokenizer's loss.
        compile_model: run the tokenizer through torch.compile; the terms are not compiled, for they see captions and seeds,
            and each new one would be compiled for.
        text_encoder: embeds the captions for the tokenizer and for the terms; without one the tokenizer sees no text. It is
            frozen, and not part of the module's weights.
    """

    def __init__(
        self,
        model: PyraTokModel,
        terms: Mapping[str, tuple[float, nn.Module]],
        compile_model: bool = False,
        text_encoder: TextEncoder | None = None,
    ):
        super().__init__()
        self.model = model
        self.text_encoder = text_encoder
        # In a tuple, so that the weights are not this module's twice. `model` stays as it is: validation runs it at other
        # sizes, which would be compiled anew.
        self._runnable = (torch.compile(model, dynamic=False) if compile_model else model,)
        self.weights = {name: weight for name, (weight, _) in terms.items()}
        self.terms = nn.ModuleDict({name: term for name, (_, term) in terms.items()})

    def forward(
        self,
        masked: torch.Tensor,
        values: torch.Tensor,
        present_levels: torch.Tensor,
        captions: tuple[str | None, ...],
        seed: int,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], tuple[torch.Tensor, ...]]:
        """One micro-batch.

        Args:
            masked: (B, T, 3, H, W) in [-1, 1], what the encoder sees.
            values: the same clips unmasked, what is to be reconstructed.
            present_levels: (B, L) bool.
            captions: one for each clip, or None.
            seed: see `StepView`.

        Returns:
            The weighted total, every term by itself and unweighted, and the codes of every level.
        """
        (run_model,) = self._runnable
        text = None if self.text_encoder is None else self.text_encoder(captions)
        given = {} if text is None else {"text_embeds": text.embeds, "text_mask": text.mask}
        if any(weight.requires_grad for weight in self.model.parameters()):
            output = run_model(
                pixel_values_videos=masked,
                **given,
                target_values=values,
                present_levels=present_levels,
                output_stage_features=bool(self.terms),
            )
            total, losses = output.loss, dict(output.losses)
        else:
            output = self._encoded(masked, given)
            total, losses = torch.zeros((), device=values.device), {}
        view = StepView(self.model, output, values, captions, text, seed)
        for name, term in self.terms.items():
            losses[name] = term(view)
            total = total + self.weights[name] * losses[name]
        return total, losses, output.video_codes

    def _encoded(self, masked: torch.Tensor, text: dict[str, torch.Tensor]) -> PyraTokOutput:
        """What terms see of a frozen tokenizer: its tokens. Nothing is decoded, for there is nothing to be learned from it."""
        codes = self.model.encode(masked, **text).video_codes
        bits = tuple(codes_to_bits(level, self.model.config.codebook_bits, self.model.dtype) for level in codes)
        return PyraTokOutput(video_codes=codes, bit_logits=bits)

    def components(self) -> dict[str, PreTrainedModel]:
        """Models inside terms that are worth having beside the tokenizer, by the name of their folder."""
        return {
            name: component
            for term in self.terms.values()
            for name, component in getattr(term, "components", dict)().items()
        }

    def trained_extras(self) -> dict[str, nn.Parameter]:
        """The trainable parameters outside the tokenizer, by name: models and projections inside terms."""
        own = set(self.model.parameters())
        return {
            name: weight
            for name, weight in self.terms.named_parameters()
            if weight.requires_grad and weight not in own
        }
