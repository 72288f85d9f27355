"""The quantizer of the authors' released checkpoint: signs of what the levels before left of the VAE's own latent.

r(0) = z; q(i) = sign(r(i)) 2^-i; r(i + 1) = r(i) - q(i); and sum q(i) is decoded, so a level that is left out adds nothing.
Channel c of the latent is bit d - 1 - c of a code: these are the indices that the authors' code stores. Attention to the
text may shift what the signs are taken of, not what is left for the next level; their code multiplies it by 0.
"""

from collections.abc import Sequence

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from ..configuration.configuration_pyratok import PyraTokConfig
from .binary_codebook import BinaryCodebook, sign_bits
from .lapq import PyramidOutput


class ResidualTextAttention(GradientCheckpointingLayer):
    """Multi-head attention from positions of the latent to the text, on as many channels as the latent has."""

    def __init__(self, width: int, text_width: int, num_heads: int):
        super().__init__()
        self.query_norm = nn.LayerNorm(width)
        self.text_norm = nn.LayerNorm(width)
        self.text_projection = nn.Linear(text_width, width)
        self.attention = nn.MultiheadAttention(width, num_heads, batch_first=True)

    def _attend(
        self, tokens: torch.Tensor, text: torch.Tensor, mask: torch.Tensor | None, with_weights: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Both of (B, N, d) and (B, N, S); 0 for a sample whose mask is empty."""
        query, context = self.query_norm(tokens), self.text_norm(self.text_projection(text))
        if mask is None:
            return self.attention(query, context, context, need_weights=with_weights)
        has_text = mask.any(dim=1)[:, None, None]  # (B, 1, 1)
        hidden = ~mask & has_text[:, 0]  # a softmax over nothing would be NaN
        values, weights = self.attention(query, context, context, key_padding_mask=hidden, need_weights=with_weights)
        return values * has_text, None if weights is None else weights * has_text

    def forward(self, tokens: torch.Tensor, text: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """What the text says to the tokens (B, N, d), given text (B, S, width) and a mask (B, S), True for text."""
        return self._attend(tokens, text, mask, with_weights=False)[0]

    def weights(self, tokens: torch.Tensor, text: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """How much each token looks at each word, (B, S, N), the mean over heads."""
        return self._attend(tokens, text, mask, with_weights=True)[1].transpose(1, 2)


class ResidualQuantizer(nn.Module):
    """All levels over one latent; stands where `LaPQPyramid` stands."""

    def __init__(self, config: PyraTokConfig):
        super().__init__()
        hidden, width = config.residual_text_sizes
        self.text_scale = config.residual_text_scale
        self.text_map = nn.Sequential(nn.Linear(config.text_hidden_size, hidden), nn.SiLU(), nn.Linear(hidden, width))
        self.attentions = nn.ModuleList(
            ResidualTextAttention(config.codebook_bits, width, config.num_attention_heads)
            for _ in range(config.num_levels)
        )

    def forward(
        self,
        codebook: BinaryCodebook,
        stage_features: Sequence[torch.Tensor],
        text_embeds: torch.Tensor | None,
        text_mask: torch.Tensor | None,
        is_first: bool,
    ) -> PyramidOutput:
        """Quantize the latent of one chunk, (B, d, T, H, W), the last of `stage_features`.

        The features before quantization of level i are r(i), with the text's share. Without text there is no such share.
        """
        residual = stage_features[-1].permute(0, 2, 3, 4, 1)  # (B, T, H, W, d)
        residual = residual.to(torch.promote_types(residual.dtype, torch.float32))
        has_effect = text_embeds is not None and self.text_scale != 0
        text = self.text_map(text_embeds) if has_effect else None
        mask = None if text_mask is None else text_mask.bool()
        logits, bits, features = [], [], []
        for level, attention in enumerate(self.attentions):
            shifted = residual
            if has_effect:
                tokens = residual.flatten(1, 3).to(text.dtype)
                shifted = residual + self.text_scale * attention(tokens, text, mask).unflatten(1, residual.shape[1:4])
            level_features = shifted.permute(0, 4, 1, 2, 3)
            level_logits = level_features.permute(0, 2, 3, 4, 1).flip(-1)  # through what is returned, for its gradient
            # In this order the sum is exactly the sign; u + (sign - u) would be rounded, and so would all that is left.
            level_bits = sign_bits(level_logits) + (level_logits - level_logits.detach())
            residual = residual - codebook(level_bits.detach()).to(residual.dtype) * 2.0**-level
            logits.append(level_logits)
            bits.append(level_bits)
            features.append(level_features)
        return PyramidOutput(tuple(logits), tuple(bits), tuple(features))


class ResidualSum(nn.Module):
    """Signs of all levels -> the latent; stands where `LevelFusion` stands, without weights and without laterals."""

    def missing_level(self, level: int, like: torch.Tensor) -> torch.Tensor:
        """Nothing (d,) for any level, in the type and on the device of `like`."""
        return like.new_zeros(like.shape[0])

    def replace_missing(self, embedded: torch.Tensor, level: int, present: torch.Tensor) -> torch.Tensor:
        """Zeros where `present` (B,) is False. embedded: (B, d, T, H, W)."""
        return embedded * present[:, None, None, None, None]

    def forward(
        self, embedded: Sequence[torch.Tensor], is_first: bool
    ) -> tuple[torch.Tensor, dict[int, torch.Tensor]]:
        """The sum (B, d, T, H, W) of the levels' signs times 2^-i."""
        return sum(signs * 2.0**-level for level, signs in enumerate(embedded)), {}
