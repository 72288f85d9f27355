"""The losses of language: likelihood of the tokens (L_AR), and what pulls tokens towards their captions."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import PreTrainedModel

from ..configuration.configuration_prior import PyraTokPriorConfig
from ..configuration.configuration_pyratok import PyraTokConfig
from ..configuration.configuration_text_alignment import PyraTokTextAlignmentConfig
from ..modeling_pyratok.binary_codebook import quantize_straight_through
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.prior import PyraTokPrior
from ..modeling_pyratok.text_alignment import PyraTokTextAlignment
from ..modeling_pyratok.text_encoding import TextEncoder
from ..modeling_pyratok.token_grids import padded_size
from ..pipelines.bundled_model import resolve_model
from ..pipelines.model_loading import load_component
from ..pipelines.text_to_video_loading import ALIGNMENT, PRIOR, component_folder
from .objective import StepView
from .settings import SettingsError, TrainingSettings

logger = logging.getLogger(__name__)


class PriorTerm(nn.Module):
    """L_AR, in nats per token. The gradient reaches the tokenizer through the tokens that others are predicted from.

    side: of the square, in pixels, whose tokens the prior sees, at another place in each step; None for the whole frame.
    """

    def __init__(self, prior: PyraTokPrior, side: int | None):
        super().__init__()
        self.prior, self.side = prior, side

    def forward(self, view: StepView) -> torch.Tensor:
        frames, _, height, width = view.values.shape[1:]
        logits, size = view.output.bit_logits, (frames, height, width)
        if self.side is not None:
            logits, size = token_window(logits, size, view.model.config, self.side, view.generator())
        bits = [quantize_straight_through(level) for level in logits]
        text = {} if view.text is None else {"text_embeds": view.text.embeds, "text_mask": view.text.mask}
        return self.prior(video_bits=bits, video_size=size, **text).loss

    def components(self) -> dict[str, PreTrainedModel]:
        return {PRIOR: self.prior}


def token_window(
    levels: Sequence[torch.Tensor],
    size: tuple[int, int, int],
    config: PyraTokConfig,
    side: int,
    generator: torch.Generator,
) -> tuple[list[torch.Tensor], tuple[int, int, int]]:
    """The part of the tokens (B, T_l, H_l, W_l, ...) that lies in a square of at most `side` pixels, and its (T, H, W).

    It begins where tokens of all levels do, so it is itself the tokens of a video of that size.
    """
    _, height, width = padded_size(size, config.spatial_multiple)
    step = config.spatial_multiple
    kept = [min(length, max(side // step, 1) * step) for length in (height, width)]
    starts = [
        step * int(torch.randint((length - part) // step + 1, (), generator=generator))
        for length, part in zip((height, width), kept, strict=True)
    ]
    rows, columns = zip(starts, kept, strict=True)
    parts = [
        level[:, :, rows[0] // s : (rows[0] + rows[1]) // s, columns[0] // s : (columns[0] + columns[1]) // s]
        for level, (_, s) in zip(levels, config.level_strides, strict=True)
    ]
    return parts, (size[0], *kept)


class AlignmentTerm(nn.Module):
    """A loss of `PyraTokTextAlignment`, the mean over all clips; one without a caption counts as 0.

    So each clip has the same weight, however the clips are spread over processes and micro-batches.
    """

    def __init__(self, alignment: PyraTokTextAlignment):
        super().__init__()
        self.alignment = alignment

    def forward(self, view: StepView) -> torch.Tensor:
        described = view.text.mask.any(dim=1)
        logits = [level[described] for level in view.output.bit_logits]
        if not described.any():
            # With a gradient, of zero: the tokenizer may be frozen, and this the only term.
            return 0.0 * sum(weight.sum() for weight in self.alignment.parameters() if weight.requires_grad)
        return self.losses(view, logits, view.text.pooled()[described]).sum() / len(described)

    def losses(self, view: StepView, logits: list[torch.Tensor], pooled_text: torch.Tensor) -> torch.Tensor:
        """Of clips that all have a caption, (B,). logits: per level (B, T_l, H_l, W_l, d)."""
        raise NotImplementedError

    def components(self) -> dict[str, PreTrainedModel]:
        return {ALIGNMENT: self.alignment}


class ContrastiveTerm(AlignmentTerm):
    """Each level, from its tokens alone, tells the clip's caption from others (an option beyond the paper)."""

    def __init__(self, alignment: PyraTokTextAlignment, others: torch.Tensor):
        super().__init__(alignment)
        self.register_buffer("others", others, persistent=False)

    def losses(self, view: StepView, logits: list[torch.Tensor], pooled_text: torch.Tensor) -> torch.Tensor:
        bits = [quantize_straight_through(level) for level in logits]
        return self.alignment.contrastive_loss(bits, pooled_text, self.others)


class TextConditionedTerm(AlignmentTerm):
    """KL(q_i || e_t) of Eq. 2."""

    def losses(self, view: StepView, logits: list[torch.Tensor], pooled_text: torch.Tensor) -> torch.Tensor:
        return self.alignment.text_conditioned_loss(logits, pooled_text, view.model.config.temperature)


class TextCodebookTerm(AlignmentTerm):
    """KL(c || e_t) of Eq. 2."""

    def losses(self, view: StepView, logits: list[torch.Tensor], pooled_text: torch.Tensor) -> torch.Tensor:
        return self.alignment.text_codebook_loss([quantize_straight_through(level) for level in logits], pooled_text)


def language_terms(
    settings: TrainingSettings, model: PyraTokModel, text_encoder: TextEncoder | None, captions: Sequence[str]
) -> dict[str, tuple[float, nn.Module]]:
    """Name -> (weight, term), without those of weight 0.

    Args:
        captions: different ones of training clips, which the contrastive term has a clip's own told from.

    Raises SettingsError for a term that needs a text encoder where there is none, or settings that do not fit the tokenizer.
    """
    weights = {
        "contrastive": settings.contrastive_loss_weight,
        "text_conditioned": settings.text_conditioned_loss_weight,
        "text_codebook": settings.text_codebook_loss_weight,
    }
    terms: dict[str, tuple[float, nn.Module]] = {}
    if settings.prior_loss_weight:
        terms["prior"] = (settings.prior_loss_weight, PriorTerm(_prior(settings, model), settings.prior_side))
    if any(weights.values()):
        if text_encoder is None:
            named = ", ".join(f"{name}_loss_weight" for name, weight in weights.items() if weight)
            raise SettingsError(f"{named} compares with captions: give text_encoder, for example text_encoder=pyratok")
        alignment = _alignment(settings, model)
        if weights["text_conditioned"] and not weights["text_codebook"]:
            raise SettingsError(
                "text_conditioned_loss_weight pulls tokens to a map of captions that text_codebook_loss_weight trains: set both"
            )
        if weights["contrastive"] and not captions:
            logger.warning(
                "contrastive_loss_weight has no effect: the first clips of %s have no captions", settings.data
            )
            weights["contrastive"] = 0.0
        modules = {
            "contrastive": lambda: ContrastiveTerm(alignment, text_encoder(captions).pooled()),
            "text_conditioned": lambda: TextConditionedTerm(alignment),
            "text_codebook": lambda: TextCodebookTerm(alignment),
        }
        terms |= {name: (weight, modules[name]()) for name, weight in weights.items() if weight}
    return terms


def _prior(settings: TrainingSettings, model: PyraTokModel) -> PyraTokPrior:
    """That of the stage before, or a new one; with the tokenizer's codebook projection."""
    config = model.config
    fixed = {"level_strides": config.level_strides, "spatial_multiple": config.spatial_multiple}
    if settings.text_encoder is not None:
        fixed["text_encoder"] = settings.text_encoder

    def new(options: dict[str, Any]) -> PyraTokPrior:
        if settings.prior_body is None:
            made = PyraTokPrior(PyraTokPriorConfig(**options))
            made.check_causal()
            return made
        return PyraTokPrior.from_body(settings.prior_body, **options).float()

    wanted = settings.prior_config or {}
    return _component(settings, model, PRIOR, PyraTokPrior, PyraTokPriorConfig, new, fixed, wanted)


def _alignment(settings: TrainingSettings, model: PyraTokModel) -> PyraTokTextAlignment:
    """The same of what compares tokens with captions."""

    def new(options: dict[str, Any]) -> PyraTokTextAlignment:
        return PyraTokTextAlignment(PyraTokTextAlignmentConfig(**options))

    kinds = (PyraTokTextAlignment, PyraTokTextAlignmentConfig)
    return _component(settings, model, ALIGNMENT, *kinds, new, {"level_strides": model.config.level_strides}, {})


def _component(
    settings: TrainingSettings,
    model: PyraTokModel,
    name: str,
    kind: type[PreTrainedModel],
    config_kind: type,
    new: Callable[[dict[str, Any]], PreTrainedModel],
    fixed: dict[str, Any],
    wanted: dict[str, Any],
) -> Any:
    """A model that lies beside the one that the stage starts from, or what `new` makes of its settings.

    It has the sizes and the codebook projection of the tokenizer, and what is `fixed`; `wanted` may name none of these.
    """
    config = model.config
    fixed = {
        **fixed,
        "codebook_bits": config.codebook_bits,
        "codebook_size": config.hidden_size,
        "text_hidden_size": config.text_hidden_size,
    }
    component = _found_or_new(settings, name, kind, config_kind, new, fixed, wanted)
    component.share_codebook(model.codebook)
    return component


def _found_or_new(
    settings: TrainingSettings,
    name: str,
    kind: type[PreTrainedModel],
    config_kind: type,
    new: Callable[[dict[str, Any]], PreTrainedModel],
    fixed: dict[str, Any],
    wanted: dict[str, Any],
) -> Any:
    """See `_component`."""
    if taken := sorted(fixed.keys() & wanted.keys()):
        raise SettingsError(f"{name}_config names {', '.join(taken)}, which the tokenizer decides; leave it out")
    start = settings.start_model
    folder = None if start is None else component_folder(Path(resolve_model(start)), name)
    try:
        if folder is None:
            return new({**fixed, **wanted})
        logger.info("going on with the %s in %s", name, folder)
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
    for key, value in wanted.items():
        if getattr(config, key, value) != value:
            raise SettingsError(
                f"the {name} in {folder} has another {key} than {name}_config asks for; give {name}_config=null to go on with "
                "it, or a model_folder that has none beside it"
            )
    return load_component(kind, folder)
