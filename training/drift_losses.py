"""Losses that keep a training encoder near a frozen reference (the paper's drift term), and the latents where a decoder reads.

The drift is the KL divergence from the reference's features to the encoder's: at every position both are turned into
distributions over channels by a softmax. The paper's main text takes the frozen encoder itself as the reference, see
`EncoderDrift`, its appendix an image encoder, DINOv3, see `ImageEncoderDrift`. All losses are float32 also under autocast.
"""

import torch
import torch.nn.functional as F
from torch import nn

from ..configuration.configuration_pyratok import PyraTokConfig
from ..modeling_pyratok.backbone import encode_features, encode_posterior
from ..modeling_pyratok.chunks import pad_chunk
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from .frame_choice import spread_frames
from .frozen_network import UsesFrozenNetwork
from .image_encoders import load_image_encoder
from .lora_switching import lora_switched_off


class EncoderDrift(nn.Module):
    """Drift from the model's own encoder as it is without LoRA; it has no parameters, and no second copy of the weights.

    Args:
        model: the model that is trained, not wrapped for distributed training.

    Raises:
        PyraTokError: if the model has no LoRA: then there is no frozen encoder to compare with.
    """

    def __init__(self, model: PyraTokModel):
        super().__init__()
        if not model.config.lora_rank:
            raise PyraTokError(
                "EncoderDrift compares LoRA with the frozen encoder under it, so it needs lora_rank > 0, got lora_rank=0; "
                "use ImageEncoderDrift instead"
            )
        # In a tuple, so that the model's weights do not become this module's.
        self._models = (model,)

    def forward(self, stage_features: tuple[torch.Tensor, ...], video: torch.Tensor) -> torch.Tensor:
        """The mean over the stages that levels tap; exactly 0 while LoRA is at its start and the features are of `video`.

        Args:
            stage_features: per encoder stage (B, C_k, T_k, H_k, W_k), as `PyraTokModel.forward` returns them.
            video: (B, T, C, H, W) in [-1, 1]; the clean one, if the features are of masked frames.

        Raises:
            PyraTokError: if LoRA is merged.
        """
        (model,) = self._models
        padded = pad_chunk(video.detach().to(model.dtype), True, model.config.spatial_multiple)
        # In the caller's gradient mode, not under no_grad: without gradients other kernels run, and their rounding would look
        # like drift. There is nothing to differentiate, so no graph is kept.
        with lora_switched_off(model.backbone):
            reference, _ = encode_features(model.backbone, padded, None, max(model.config.level_stages))
        stages = sorted({stage - 1 for stage in model.config.level_stages})
        return torch.stack(
            [channel_divergence(stage_features[stage], reference[stage].detach()) for stage in stages]
        ).mean()


class ImageEncoderDrift(UsesFrozenNetwork):
    """Drift from a frozen image encoder's features of a few frames, which a learned projection carries the encoder's to.

    The projection is trained along and is all that the state dict holds.

    Args:
        reference: see `load_image_encoder`.
        config: of the model that is trained; its deepest tapped stage is what is compared.
        frames: how many of that stage's frames are compared, one of each of that many equal parts.
        temperature: the softmaxes are of features of zero mean and unit variance over channels, divided by this.
        generator: draws the projection's first weights.

    Raises:
        PyraTokError: if the encoder cannot be loaded.
    """

    def __init__(
        self,
        reference: str,
        config: PyraTokConfig,
        frames: int = 2,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ):
        encoder, width = load_image_encoder(reference)
        super().__init__(encoder)
        self.frames, self.temperature = frames, temperature
        self.stage = max(config.level_stages) - 1
        self.frame_stride = config.stage_strides[self.stage][0]
        self.spatial_multiple = config.spatial_multiple
        channels = config.stage_channels[self.stage]
        self.projection = nn.utils.skip_init(nn.Conv2d, channels, width, 1)
        nn.init.normal_(self.projection.weight, std=channels**-0.5, generator=generator)
        nn.init.zeros_(self.projection.bias)

    def forward(
        self,
        stage_features: tuple[torch.Tensor, ...],
        video: torch.Tensor,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """A scalar, at least 0.

        Args:
            stage_features: per encoder stage (B, C_k, T_k, H_k, W_k), as `PyraTokModel.forward` returns them.
            video: (B, T, 3, H, W) in [-1, 1]; the clean one, if the features are of masked frames.
            generator: draws the frame of each part, the same for all clips; without it it is the middle one.
        """
        features = stage_features[self.stage]
        chosen = spread_frames(features.shape[2], min(self.frames, features.shape[2]), generator).to(video.device)
        # A feature has seen the frames up to the last one of its group, and that is the one it is compared with.
        images = pad_chunk(video.detach(), True, self.spatial_multiple)[:, chosen * self.frame_stride].flatten(0, 1)
        with torch.no_grad():
            reference = self.network(images)  # (B n, width, h, w)
        with torch.autocast(features.device.type, enabled=False):
            compared = features[:, :, chosen].transpose(1, 2).flatten(0, 1).float()  # (B n, C_k, H_k, W_k)
            projected = self.projection(compared)
            grid = [min(sides) for sides in zip(projected.shape[-2:], reference.shape[-2:], strict=True)]
            return channel_divergence(
                _standardized(F.adaptive_avg_pool2d(projected, grid)) / self.temperature,
                _standardized(F.adaptive_avg_pool2d(reference.float(), grid)) / self.temperature,
            )


def channel_divergence(features: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Mean over positions of KL(softmax(reference) || softmax(features)) over the channels of two tensors (N, C, ...)."""
    with torch.autocast(features.device.type, enabled=False):
        log_q = F.log_softmax(features.float(), dim=1)
        log_p = F.log_softmax(reference.float(), dim=1)
        return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=1).mean()


def latent_regression_loss(model: PyraTokModel, latents: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Mean squared error between the fused latents and the mean of the VAE's own posterior, computed without LoRA.

    A pretrained decoder was trained on these means, so this leads the latents to where it decodes well.

    Args:
        model: with a frozen backbone.
        latents: (B, z_dim, T', H', W'), as `PyraTokModel.forward` returns them.
        values: the video (B, T, C, H, W) in [-1, 1].

    Raises:
        PyraTokError: if the backbone is trained, so that its posterior means nothing, or LoRA is merged.
    """
    if not model.config.freeze_backbone:
        raise PyraTokError(
            "the latents can follow the posterior of a pretrained VAE only: freeze_backbone has to be True, got False"
        )
    padded = pad_chunk(values.to(model.dtype), True, model.config.spatial_multiple)
    with torch.no_grad(), lora_switched_off(model.backbone):
        features, _ = encode_features(model.backbone, padded, None, len(model.config.stage_strides))
        posterior, _ = encode_posterior(model.backbone, features[-1], None)
    mean, _ = posterior.chunk(2, dim=1)
    with torch.autocast(latents.device.type, enabled=False):
        return F.mse_loss(latents.float(), mean.float())


def _standardized(features: torch.Tensor) -> torch.Tensor:
    """Zero mean and unit variance over the channels of every position (N, C, H, W)."""
    return F.layer_norm(features.movedim(1, -1), features.shape[1:2]).movedim(-1, 1)
