"""The tokenizers that the ablation compares: one backbone, one number of bits, different quantizers between its halves.

A batch of clips of 9 x 64 x 64 pixels has about 7,680 bits a clip in every one of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from short_training import CLIP
from torch import nn
from vector_quantize_pytorch import FSQ, LFQ, GroupedResidualLFQ, VectorQuantize

from pyratok import PyraTokConfig, PyraTokModel
from pyratok.configuration.configuration_pyratok import TINY_VAE
from pyratok.modeling_pyratok.backbone import decode_latents, encode_features, unpatchify
from pyratok.modeling_pyratok.binary_codebook import quantize_straight_through
from pyratok.modeling_pyratok.codebook_losses import commitment_loss, entropy_loss
from pyratok.modeling_pyratok.token_grids import level_grids

BACKBONE: dict[str, Any] = {**TINY_VAE, "base_dim": 32, "z_dim": 48, "num_res_blocks": 2}
"""That of the bundled model, with two thirds of its channels."""

LATENT_STRIDE = (4, 16)
"""(frames, pixels) per latent."""

BITS_PER_LATENT = 160
"""7,680 bits over the 48 latents of a clip."""

GROUPS, GROUP_BITS = 16, 10
"""How quantizers without a stored table share them: so many groups, so many bits each."""

HEADS, HEAD_BITS = 32, 5
"""With a stored table: a step of 8 clips has 384 latents, which cannot keep tables of 1,024 entries alive."""

WIDTH = 96


@dataclass(frozen=True)
class Variant:
    """A tokenizer to be trained: forward gives the reconstruction and the loss beside that of reconstruction."""

    build: Callable[[], nn.Module]
    bits_per_clip: int


class PyramidTokenizer(nn.Module):
    """A `PyraTokModel`, without one of its parts if so asked."""

    def __init__(
        self,
        strides: tuple,
        stages: tuple,
        bits: int,
        feedback: bool = True,
        laterals: bool = True,
        hierarchical: float = 0.0,
        level_dropout: float = 0.0,
    ):
        super().__init__()
        self.model = PyraTokModel(
            PyraTokConfig(
                backbone_config=dict(BACKBONE),
                level_stages=stages,
                level_strides=strides,
                codebook_bits=bits,
                hidden_size=WIDTH,
                num_attention_heads=4,
                text_hidden_size=8,
                text_encoder=None,
                lora_rank=0,
                freeze_backbone=False,
                level_dropout=level_dropout,
                l1_loss_weight=0.0,
                ssim_loss_weight=0.0,
                hierarchical_loss_weight=hierarchical,
            )
        )
        if not feedback:
            for block in self.model.pyramid.blocks:
                block.feedback = None
        if not laterals:
            self.model.fusion.laterals = nn.ModuleDict()

    def forward(
        self, video: torch.Tensor, present_levels: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        output = self.model(video, target_values=video, present_levels=present_levels)
        return output.video_values, output.loss


class OneLatentTokenizer(nn.Module):
    """The backbone with a quantizer of another kind on its latent's grid, as other tokenizers have it.

    `quantizer` maps (B, N, width) to (B, N, width) and the loss that it wants.
    """

    def __init__(self, quantizer: nn.Module, width: int):
        super().__init__()
        self.backbone = AutoencoderKLWan(**BACKBONE)
        channels = BACKBONE["base_dim"] * BACKBONE["dim_mult"][-1]
        self.to_quantizer = nn.Sequential(
            nn.Linear(channels, WIDTH), nn.GELU(), nn.Linear(WIDTH, width), nn.LayerNorm(width)
        )
        self.quantizer = quantizer
        self.to_latent = nn.Sequential(nn.Linear(width, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, BACKBONE["z_dim"]))

    def forward(self, video: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = encode_features(self.backbone, video, None, 3)[0][-1].movedim(1, -1)  # (B, T, H, W, C)
        continuous = self.to_quantizer(features).flatten(1, 3)
        with torch.autocast(video.device.type, enabled=False):  # in full precision, as PyraTok's own quantizer
            quantized, loss = self.quantizer(continuous.float())
        latents = self.to_latent(quantized).unflatten(1, features.shape[1:4]).movedim(-1, 1)
        patches, _ = decode_latents(self.backbone, latents, {}, None)
        return unpatchify(patches, BACKBONE["patch_size"]), loss


class Library(nn.Module):
    """A quantizer of vector-quantize-pytorch, whose return values differ in number and order."""

    def __init__(self, quantizer: nn.Module):
        super().__init__()
        self.quantizer = quantizer

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        quantized, *rest = self.quantizer(x)
        losses = [value.sum() for value in rest if isinstance(value, torch.Tensor) and value.is_floating_point()]
        return quantized, sum(losses, x.new_zeros(()))


class PlainSigns(nn.Module):
    """LaPQ's quantizer and its losses, with their weights, on the latent alone: what is left without the pyramid."""

    def __init__(self, bits: int):
        super().__init__()
        self.code_bits = 16
        self.codes = bits // self.code_bits
        self.config = PyraTokConfig()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = x.unflatten(-1, (self.codes, self.code_bits))
        config = self.config
        entropies = sum(entropy_loss(code, config.temperature, config.entropy_diversity) for code in logits.unbind(-2))
        loss = (
            config.commitment_loss_weight * self.codes * commitment_loss(logits)
            + config.entropy_loss_weight * entropies
        )
        return quantize_straight_through(x), loss


class ResidualSigns(nn.Module):
    """What the authors' code has: sign quantizers one after the other on what is left, scaled by 2^-i."""

    def __init__(self, count: int):
        super().__init__()
        self.count = count

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        total, rest = torch.zeros_like(x), x
        for step in range(self.count):
            signs = quantize_straight_through(rest * 2**step) / 2**step
            total, rest = total + signs, rest - signs.detach()
        return total, 0.25 * F.mse_loss(x, total.detach())


def _pyramid(strides: tuple, stages: tuple, bits: int, **parts: bool | float) -> Variant:
    tokens = sum(frames * height * width for frames, height, width in level_grids(CLIP, strides, 16))
    return Variant(lambda: PyramidTokenizer(strides, stages, bits, **parts), tokens * bits)


def _one_latent(quantizer: Callable[[], nn.Module], width: int, bits: int = BITS_PER_LATENT) -> Variant:
    ((frames, height, columns),) = level_grids(CLIP, (LATENT_STRIDE,), 16)
    return Variant(lambda: OneLatentTokenizer(quantizer(), width), frames * height * columns * bits)


FOUR = (((4, 8), (4, 8), (4, 16), (4, 16)), (1, 1, 2, 3))

VARIANTS: dict[str, Variant] = {
    "LaPQ, 4 levels": _pyramid(*FOUR, 16),
    "LaPQ, 3 levels": _pyramid(((4, 8), (4, 8), (4, 16)), (1, 1, 3), 18),
    "LaPQ, 2 levels": _pyramid(((2, 8), (4, 16)), (1, 3), 21),
    "LaPQ, 4 levels, no feedback": _pyramid(*FOUR, 16, feedback=False),
    "LaPQ, 4 levels, no decoder laterals": _pyramid(*FOUR, 16, laterals=False),
    "LaPQ, 4 levels, hierarchical 0.002": _pyramid(*FOUR, 16, hierarchical=0.002),
    "two codes of 20 bits, both on the finest grid": _pyramid(((4, 8), (4, 8)), (1, 1), 20),
    "signs on the latent, PyraTok's losses": _one_latent(lambda: PlainSigns(BITS_PER_LATENT), BITS_PER_LATENT),
    "vector quantization": _one_latent(
        lambda: Library(
            VectorQuantize(
                dim=8 * HEADS,
                codebook_size=2**HEAD_BITS,
                heads=HEADS,
                codebook_dim=8,
                separate_codebook_per_head=True,
                decay=0.99,
                kmeans_init=True,
                threshold_ema_dead_code=0.1,
            )
        ),
        8 * HEADS,
    ),
    "LFQ": _one_latent(
        lambda: Library(LFQ(dim=BITS_PER_LATENT, codebook_size=2**GROUP_BITS, num_codebooks=GROUPS)), BITS_PER_LATENT
    ),
    "FSQ": _one_latent(lambda: Library(FSQ(levels=[4] * 5, num_codebooks=GROUPS, dim=5 * GROUPS)), 5 * GROUPS),
    "residual LFQ": _one_latent(
        lambda: Library(GroupedResidualLFQ(dim=40, groups=4, num_quantizers=4, codebook_size=2**GROUP_BITS)), 40
    ),
    "residual signs (the authors' code)": _one_latent(lambda: ResidualSigns(4), BITS_PER_LATENT // 4),
}
