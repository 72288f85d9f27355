"""The losses of language: likelihood of the tokens (L_AR), and what pulls tokens towards their captions."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import PreTrainedModel

from ..configuration.configuration_prior import PyraTokPriorConfig
from ..configuration.configuration_text_alignment import PyraTokTextAlignmentConfig
from ..modeling_pyratok.binary_codebook import quantize_straight_through
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.prior import PyraTokPrior
from ..modeling_pyratok.text_alignment import PyraTokTextAlignment
from ..modeling_pyratok.text_encoding import TextEncoder
from ..pipelines.model_loading import load_component
from .objective import StepView
from .settings import SettingsError, TrainingSettings

PRIOR, ALIGNMENT = "prior", "alignment"
"""Folders of the two models, beside `model/` in a stage's folder."""

OTHER_CAPTIONS = 256
"""Captions of the training data that the contrastive term has beside those of the batch."""


class PriorTerm(nn.Module):
    """L_AR, in nats per token. The gradient reaches the tokenizer through the tokens that others are predicted from."""

    def __init__(self, prior: PyraTokPrior):
        super().__init__()
        self.prior = prior

    def forward(self, view: StepView) -> torch.Tensor:
        frames, _, height, width = view.values.shape[1:]
        bits = [quantize_straight_through(logits) for logits in view.output.bit_logits]
        text = {} if view.text is None else {"text_embeds": view.text.embeds, "text_mask": view.text.mask}
        return self.prior(video_bits=bits, video_size=(frames, height, width), **text).loss

    def components(self) -> dict[str, PreTrainedModel]:
        return {PRIOR: self.prior}


class AlignmentTerm(nn.Module):
    """A loss of `PyraTokTextAlignment` over the clips that have a caption; zero if none has."""

    def __init__(self, alignment: PyraTokTextAlignment):
        super().__init__()
        self.alignment = alignment

    def forward(self, view: StepView) -> torch.Tensor:
        described = view.text.mask.any(dim=1)
        logits = [level[described] for level in view.output.bit_logits]
        if not described.any():
            return sum(level.sum() for level in logits)
        return self.loss(view, logits, view.text.pooled()[described])

    def loss(self, view: StepView, logits: list[torch.Tensor], pooled_text: torch.Tensor) -> torch.Tensor:
        """Of clips that all have a caption. logits: per level (B, T_l, H_l, W_l, d)."""
        raise NotImplementedError

    def components(self) -> dict[str, PreTrainedModel]:
        return {ALIGNMENT: self.alignment}


class ContrastiveTerm(AlignmentTerm):
    """Each level, from its tokens alone, tells the clip's caption from others (an option beyond the paper)."""

    def __init__(self, alignment: PyraTokTextAlignment, others: torch.Tensor):
        super().__init__(alignment)
        self.register_buffer("others", others, persistent=False)

    def loss(self, view: StepView, logits: list[torch.Tensor], pooled_text: torch.Tensor) -> torch.Tensor:
        bits = [quantize_straight_through(level) for level in logits]
        return self.alignment.contrastive_loss(bits, pooled_text, self.others)


class TextConditionedTerm(AlignmentTerm):
    """KL(q_i || e_t) of Eq. 2."""

    def loss(self, view: StepView, logits: list[torch.Tensor], pooled_text: torch.Tensor) -> torch.Tensor:
        return self.alignment.text_conditioned_loss(logits, pooled_text, view.model.config.temperature)


class TextCodebookTerm(AlignmentTerm):
    """KL(c || e_t) of Eq. 2."""

    def loss(self, view: StepView, logits: list[torch.Tensor], pooled_text: torch.Tensor) -> torch.Tensor:
        return self.alignment.text_codebook_loss([quantize_straight_through(level) for level in logits], pooled_text)


def language_terms(
    settings: TrainingSettings, model: PyraTokModel, text_encoder: TextEncoder | None, captions: Sequence[str]
) -> dict[str, tuple[float, nn.Module]]:
    """Name -> (weight, term), without those of weight 0.

    Args:
        captions: of training clips, for the contrastive term.

    Raises SettingsError for a term that needs a text encoder where there is none, or settings that do not fit the tokenizer.
    """
    weights = {
        "contrastive": settings.contrastive_loss_weight,
        "text_conditioned": settings.text_conditioned_loss_weight,
        "text_codebook": settings.text_codebook_loss_weight,
    }
    terms: dict[str, tuple[float, nn.Module]] = {}
    if settings.prior_loss_weight:
        terms["prior"] = (settings.prior_loss_weight, PriorTerm(_prior(settings, model)))
    if any(weights.values()):
        if text_encoder is None:
            named = ", ".join(f"{name}_loss_weight" for name, weight in weights.items() if weight)
            raise SettingsError(f"{named} compares with captions: give text_encoder, for example text_encoder=pyratok")
        alignment = _alignment(settings, model)
        others = text_encoder(list(dict.fromkeys(captions))[:OTHER_CAPTIONS] or [None]).pooled().float()
        modules = {
            "contrastive": lambda: ContrastiveTerm(alignment, others),
            "text_conditioned": lambda: TextConditionedTerm(alignment),
            "text_codebook": lambda: TextCodebookTerm(alignment),
        }
        terms |= {name: (weight, modules[name]()) for name, weight in weights.items() if weight}
    return terms


def _prior(settings: TrainingSettings, model: PyraTokModel) -> PyraTokPrior:
    """That of the stage before, or a new one; with the tokenizer's codebook projection."""
    config = model.config
    fixed = {
        "level_strides": config.level_strides,
        "spatial_multiple": config.spatial_multiple,
        "codebook_bits": config.codebook_bits,
        "codebook_size": config.hidden_size,
        "text_hidden_size": config.text_hidden_size,
    }
    if settings.text_encoder is not None:
        fixed["text_encoder"] = settings.text_encoder

    def new(options: dict[str, Any]) -> PyraTokPrior:
        if settings.prior_body is None:
            return PyraTokPrior(PyraTokPriorConfig(**options))
        return PyraTokPrior.from_body(settings.prior_body, **options).float()

    prior = _component(settings, PRIOR, PyraTokPrior, PyraTokPriorConfig, new, fixed, settings.prior_config or {})
    prior.share_codebook(model.codebook)
    return prior


def _alignment(settings: TrainingSettings, model: PyraTokModel) -> PyraTokTextAlignment:
    config = model.config
    fixed = {
        "num_levels": config.num_levels,
        "codebook_bits": config.codebook_bits,
        "codebook_size": config.hidden_size,
        "text_hidden_size": config.text_hidden_size,
    }

    def new(options: dict[str, Any]) -> PyraTokTextAlignment:
        return PyraTokTextAlignment(PyraTokTextAlignmentConfig(**options))

    alignment = _component(settings, ALIGNMENT, PyraTokTextAlignment, PyraTokTextAlignmentConfig, new, fixed, {})
    alignment.share_codebook(model.codebook)
    return alignment


def _component(
    settings: TrainingSettings,
    name: str,
    kind: type[PreTrainedModel],
    config_kind: type,
    new: Callable[[dict[str, Any]], PreTrainedModel],
    fixed: dict[str, Any],
    wanted: dict[str, Any],
) -> Any:
    """A model that lies beside the one that the stage starts from, or what `new` makes of its settings."""
    if taken := sorted(fixed.keys() & wanted.keys()):
        raise SettingsError(f"{name}_config names {', '.join(taken)}, which the tokenizer decides; leave it out")
    start = settings.start_model
    folder = None if start is None else Path(start).parent / name
    try:
        if folder is None or not (folder / "config.json").is_file():
            return new({**fixed, **wanted})
        config = config_kind.from_pretrained(folder)
    except (StrictDataclassError, TypeError) as error:
        raise SettingsError(f"{name}_config: {error.__cause__ or error}") from error
    except (OSError, ValueError) as error:
        raise SettingsError(f"the {name} cannot be made: {str(error).strip().splitlines()[0]}") from error
    for key, value in fixed.items():
        if getattr(config, key) != value:
            raise SettingsError(
                f"the {name} in {folder} has {key}={getattr(config, key)}, the tokenizer {value}; they do not fit"
            )
    return load_component(kind, folder)
