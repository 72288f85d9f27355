"""LaPQ, language-aligned pyramidal quantization: q(l) = Q_l(q(l-1), F(l), e_t) (Eq. 1 of arXiv 2601.16210).

A block maps the features of its encoder stage to its token grid (lateral path), adds what the level before has already said
(feedback), looks at the text (attention), mixes (fusion), and ends in d logits whose signs are the code.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from ..configuration.configuration_pyratok import PyraTokConfig
from .binary_codebook import BinaryCodebook, bits_to_codes, quantize_straight_through
from .grid_resampling import GridProjection
from .null_text import with_null_text


class TextAttention(nn.Module):
    """Multi-head attention from tokens to text embeddings; its output projection starts at zero, so it starts as a no-op."""

    def __init__(self, hidden_size: int, text_hidden_size: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(hidden_size)
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(text_hidden_size, hidden_size)
        self.value = nn.Linear(text_hidden_size, hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size)
        self.output.starts_at_zero = True

    def _split_heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, heads, N, hidden / heads)

    def forward(self, tokens: torch.Tensor, text: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """What to add to the tokens (B, N, hidden), given text (B, S, text_hidden) and a mask (B, S), True for text."""
        value = self.value(text)
        if text.shape[1] == 1 and mask is None and not torch.is_grad_enabled():
            # The softmax over one key is 1 for every query: one vector for all tokens.
            return self.output(value)
        query = self._split_heads(self.query(self.norm(tokens)))
        key, value = self._split_heads(self.key(text)), self._split_heads(value)
        mask = None if mask is None else mask[:, None, None, :]
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.output(attended.transpose(1, 2).flatten(2))

    def weights(self, tokens: torch.Tensor, text: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """How much each token looks at each word, (B, S, N): the mean over heads of what `forward` weighs the text with."""
        query = self._split_heads(self.query(self.norm(tokens)))  # (B, heads, N, hidden / heads)
        key = self._split_heads(self.key(text))
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5  # (B, heads, N, S)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, :], float("-inf"))
        return scores.float().softmax(dim=-1).mean(dim=1).transpose(1, 2)


class LaPQBlock(GradientCheckpointingLayer):
    """One level: features of a stage, bits of the previous level and text -> logits of this level's bits."""

    def __init__(self, config: PyraTokConfig, level: int):
        super().__init__()
        width = config.hidden_size
        stage = config.level_stages[level] - 1
        stride = config.level_strides[level]
        self.lateral = GridProjection(config.stage_strides[stage], stride, config.stage_channels[stage], width)
        self.feedback = (
            GridProjection(config.level_strides[level - 1], stride, width, width, bias=False) if level else None
        )
        self.attention = TextAttention(width, config.text_hidden_size, config.num_attention_heads)
        self.fusion_norm = nn.LayerNorm(width)
        self.fusion = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.output_norm = nn.LayerNorm(width)
        self.to_logits = nn.Linear(width, config.codebook_bits)

    def forward(
        self,
        features: torch.Tensor,
        previous: torch.Tensor | None,
        text: torch.Tensor,
        text_mask: torch.Tensor | None,
        is_first: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One level on one chunk.

        Args:
            features: (B, C, T, H, W) of the stage that the level taps.
            previous: embedded bits of the previous level on its own grid, (B, hidden, T', H', W'), or None for level 1.
            text: (B, S, text_hidden).
            text_mask: (B, S), True where there is text, or None.
            is_first: whether the chunk starts the stream.

        Returns:
            Features before quantization (B, hidden, T_l, H_l, W_l) and logits u (B, T_l, H_l, W_l, d), float32.
        """
        hidden = self.lateral(features, is_first)
        if self.feedback is not None:
            hidden = hidden + self.feedback(previous, is_first)
        tokens = hidden.permute(0, 2, 3, 4, 1)  # (B, T_l, H_l, W_l, hidden)
        grid = tokens.shape[1:4]
        tokens = tokens.flatten(1, 3)
        tokens = tokens + self.attention(tokens, text, text_mask)
        tokens = tokens + self.fusion(self.fusion_norm(tokens))
        tokens = self.output_norm(tokens).unflatten(1, grid)
        level_features = tokens.permute(0, 4, 1, 2, 3)
        tokens = level_features.permute(0, 2, 3, 4, 1)  # through what is returned, so that it receives gradients
        # Signs decide here: under autocast the last projection stays in the precision of its weights.
        with torch.autocast(tokens.device.type, enabled=False):
            logits = self.to_logits(tokens.to(self.to_logits.weight.dtype)).float()
        return level_features, logits


@dataclass
class PyramidOutput:
    """What the pyramid says about one chunk, one entry per level.

    logits: (B, T_l, H_l, W_l, d), float32. bits: the same shape, -1 or +1, with straight-through gradient.
    features: (B, hidden, T_l, H_l, W_l) before quantization.
    """

    logits: tuple[torch.Tensor, ...]
    bits: tuple[torch.Tensor, ...]
    features: tuple[torch.Tensor, ...]

    @property
    def codes(self) -> tuple[torch.Tensor, ...]:
        """(B, T_l, H_l, W_l), int64."""
        return tuple(bits_to_codes(logits) for logits in self.logits)


class LaPQPyramid(nn.Module):
    """All levels, from the shallowest to the deepest, over one shared codebook."""

    def __init__(self, config: PyraTokConfig):
        super().__init__()
        self.level_stages = config.level_stages
        self.blocks = nn.ModuleList(LaPQBlock(config, level) for level in range(config.num_levels))
        self.null_text = nn.Parameter(torch.zeros(config.text_hidden_size))

    @property
    def attentions(self) -> tuple[TextAttention, ...]:
        """The attention to the text of every level."""
        return tuple(block.attention for block in self.blocks)

    def forward(
        self,
        codebook: BinaryCodebook,
        stage_features: tuple[torch.Tensor, ...],
        text_embeds: torch.Tensor | None,
        text_mask: torch.Tensor | None,
        is_first: bool,
    ) -> PyramidOutput:
        """Quantize the features of all stages of one chunk; without text a learned null embedding stands in."""
        if text_embeds is None:
            batch = stage_features[0].shape[0]
            text_embeds, text_mask = self.null_text.expand(batch, 1, -1), None
        elif text_mask is not None:
            text_embeds, text_mask = with_null_text(text_embeds, text_mask, self.null_text)
        logits, bits, features = [], [], []
        previous = None
        for stage, block in zip(self.level_stages, self.blocks, strict=True):
            level_features, level_logits = block(stage_features[stage - 1], previous, text_embeds, text_mask, is_first)
            level_bits = quantize_straight_through(level_logits)
            previous = codebook(level_bits).permute(0, 4, 1, 2, 3)
            logits.append(level_logits)
            bits.append(level_bits)
            features.append(level_features)
        return PyramidOutput(tuple(logits), tuple(bits), tuple(features))
