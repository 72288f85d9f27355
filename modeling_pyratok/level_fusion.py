"""From codes back to what the VAE's decoder takes: a latent, and laterals for the levels that are finer than the latent.

Every level enters at its own resolution. Through the latent alone fine grids would be squeezed into the latent's channels,
which costs more than the pyramid gains; the laterals, zero-initialised so that a pretrained decoder starts undisturbed, are
what makes it pay.
"""

from collections.abc import Sequence

import torch
from torch import nn

from ..configuration.configuration_pyratok import PyraTokConfig
from .grid_resampling import GridProjection


class DecoderLateral(nn.Module):
    """A zero-initialised 1x1x1 convolution from a level's grid into the decoder stage of that resolution."""

    def __init__(self, config: PyraTokConfig, level: int, stage: int):
        super().__init__()
        self.stage = stage
        self.projection = GridProjection(
            config.level_strides[level],
            config.decoder_stage_strides[stage],
            config.hidden_size,
            config.decoder_stage_channels[stage],
        )
        self.projection.projection.starts_at_zero = True

    def forward(self, embedded: torch.Tensor, is_first: bool) -> torch.Tensor:
        return self.projection(embedded, is_first)


def lateral_stage(config: PyraTokConfig, level: int) -> int | None:
    """The first decoder stage that is at least as fine as the level in space and time; None if the latent is as fine."""
    temporal, spatial = config.level_strides[level]
    latent_temporal, latent_spatial = config.stage_strides[-1]
    if temporal >= latent_temporal and spatial >= latent_spatial:
        return None
    for stage, (stage_temporal, stage_spatial) in enumerate(config.decoder_stage_strides):
        if stage_temporal <= temporal and stage_spatial <= spatial:
            return stage
    return None


class LevelFusion(nn.Module):
    """Embedded levels -> latent (B, z_dim, T, H, W) and laterals by decoder stage."""

    def __init__(self, config: PyraTokConfig):
        super().__init__()
        width, latent_stride = config.hidden_size, config.stage_strides[-1]
        self.missing = nn.Parameter(torch.zeros(config.num_levels, width))
        self.to_latent_grid = nn.ModuleList(
            GridProjection(stride, latent_stride, width, width) for stride in config.level_strides
        )
        self.mix = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.to_latent = nn.Linear(width, config.backbone_config.get("z_dim", 16))
        stages = {level: lateral_stage(config, level) for level in range(config.num_levels)}
        self.laterals = nn.ModuleDict(
            {str(level): DecoderLateral(config, level, stage) for level, stage in stages.items() if stage is not None}
        )

    def missing_level(self, level: int, like: torch.Tensor) -> torch.Tensor:
        """The learned embedding (hidden,) that stands in for a level, in the type and on the device of `like`."""
        return self.missing[level].to(like)

    def replace_missing(self, embedded: torch.Tensor, level: int, present: torch.Tensor) -> torch.Tensor:
        """Put the learned embedding of a missing level where `present` (B,) is False. embedded: (B, hidden, T, H, W)."""
        missing = self.missing_level(level, embedded)[None, :, None, None, None]
        return torch.where(present[:, None, None, None, None], embedded, missing)

    def forward(
        self, embedded: Sequence[torch.Tensor], is_first: bool
    ) -> tuple[torch.Tensor, dict[int, torch.Tensor]]:
        """Fuse one chunk.

        Args:
            embedded: per level (B, hidden, T_l, H_l, W_l), missing levels already replaced.
            is_first: whether the chunk starts the stream.

        Returns:
            The latent (B, z_dim, T, H, W), and the sum of the laterals for each decoder stage that has any.
        """
        fused = sum(project(level, is_first) for project, level in zip(self.to_latent_grid, embedded, strict=True))
        fused = fused.permute(0, 2, 3, 4, 1)
        fused = fused + self.mix(fused)
        latent = self.to_latent(fused).permute(0, 4, 1, 2, 3)
        laterals: dict[int, torch.Tensor] = {}
        for level, lateral in self.laterals.items():
            value = lateral(embedded[int(level)], is_first)
            laterals[lateral.stage] = laterals[lateral.stage] + value if lateral.stage in laterals else value
        return latent, laterals
