"""The terms of the loss that look at the tokenizer from outside, as a run's settings ask for them."""

import torch
from torch import nn

from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from .drift_losses import EncoderDrift, ImageEncoderDrift, latent_regression_loss
from .objective import StepView
from .perceptual_distance import perceptual_distance
from .settings import SettingsError, TrainingSettings

OWN_ENCODER = "encoder"
"""The reference of the drift that is the tokenizer's own encoder without LoRA."""


class PerceptualTerm(nn.Module):
    """A perceptual distance between the reconstruction and the clip."""

    def __init__(self, name: str, frames: int):
        super().__init__()
        self.distance = perceptual_distance(name, frames)

    def forward(self, view: StepView) -> torch.Tensor:
        return self.distance(view.output.video_values, view.values, view.generator())


class EncoderDriftTerm(nn.Module):
    """How far the encoder's features are from those that it would give without LoRA for the clip unmasked."""

    def __init__(self, model: PyraTokModel):
        super().__init__()
        self.drift = EncoderDrift(model)

    def forward(self, view: StepView) -> torch.Tensor:
        return self.drift(view.output.stage_features, view.values)


class ImageDriftTerm(nn.Module):
    """How far the encoder's features are from those of a frozen image encoder that sees frames of the clip unmasked."""

    def __init__(self, reference: str, model: PyraTokModel):
        super().__init__()
        self.drift = ImageEncoderDrift(reference, model.config)

    def forward(self, view: StepView) -> torch.Tensor:
        return self.drift(view.output.stage_features, view.values, view.generator())


class LatentTerm(nn.Module):
    """How far the fused latent is from the one that the VAE's own encoder would have given."""

    def forward(self, view: StepView) -> torch.Tensor:
        return latent_regression_loss(view.model, view.output.latents, view.values)


def loss_terms(settings: TrainingSettings, model: PyraTokModel) -> dict[str, tuple[float, nn.Module]]:
    """Name -> (weight, term), without those of weight 0. Raises SettingsError for a term that the model cannot have."""
    terms: dict[str, tuple[float, nn.Module]] = {}
    if settings.perceptual is not None and settings.perceptual_loss_weight:
        term = PerceptualTerm(settings.perceptual, settings.perceptual_frames)
        terms["perceptual"] = (settings.perceptual_loss_weight, term)
    if settings.drift is not None and settings.drift_loss_weight:
        terms["drift"] = (settings.drift_loss_weight, _drift_term(settings.drift, model))
    if settings.latent_loss_weight:
        if not model.config.freeze_backbone:
            raise SettingsError(
                "latent_loss_weight holds the latent to that of a frozen VAE, but this model's backbone is trained; set it to 0"
            )
        terms["latent"] = (settings.latent_loss_weight, LatentTerm())
    return terms


def _drift_term(reference: str, model: PyraTokModel) -> nn.Module:
    if reference != OWN_ENCODER:
        return ImageDriftTerm(reference, model)
    if not model.config.lora_rank:
        raise SettingsError(
            "drift=encoder compares with the encoder without LoRA, and this model has none; name an image encoder, "
            "for example drift=efficientnet-lite0"
        )
    return EncoderDriftTerm(model)
