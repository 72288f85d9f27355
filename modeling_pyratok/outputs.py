"""What the methods of `PyraTokModel` return."""

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput


@dataclass
class PyraTokEncoderOutput(ModelOutput):
    """Tokens of a video, or of one piece of a stream.

    Args:
        video_codes (`tuple[torch.LongTensor]`): per level (B, T_l, H_l, W_l), each value in [0, 2**codebook_bits).
        level_features (`tuple[torch.FloatTensor]`): per level (B, hidden, T_l, H_l, W_l), before quantization.
        video_size (`tuple[int, int, int]`): true (T, H, W), before padding.
    """

    video_codes: tuple[torch.Tensor, ...] | None = None
    level_features: tuple[torch.Tensor, ...] | None = None
    video_size: tuple[int, int, int] | None = None


@dataclass
class PyraTokDecoderOutput(ModelOutput):
    """A decoded video.

    Args:
        video_values (`torch.FloatTensor`): (B, T, C, H, W) in [-1, 1].
    """

    video_values: torch.Tensor | None = None


@dataclass
class PyraTokOutput(ModelOutput):
    """What `PyraTokModel.forward` returns.

    Args:
        loss (`torch.FloatTensor`, *optional*): the weighted total, in training or with `target_values`.
        losses (`dict[str, torch.FloatTensor]`, *optional*): every term by itself, unweighted.
        video_values (`torch.FloatTensor`): (B, T, C, H, W); in [-1, 1] in evaluation, not clamped in training.
        video_codes (`tuple[torch.LongTensor]`): per level (B, T_l, H_l, W_l).
        bit_logits (`tuple[torch.FloatTensor]`): per level (B, T_l, H_l, W_l, d); the codes are their signs.
        latents (`torch.FloatTensor`): (B, z_dim, T', H', W'), what the VAE's decoder was given.
        hidden_states (`tuple[torch.FloatTensor]`, *optional*): per level (B, hidden, T_l, H_l, W_l), before quantization.
        stage_features (`tuple[torch.FloatTensor]`, *optional*): per encoder stage (B, C_k, T_k, H_k, W_k).
    """

    loss: torch.Tensor | None = None
    losses: dict[str, torch.Tensor] | None = None
    video_values: torch.Tensor | None = None
    video_codes: tuple[torch.Tensor, ...] | None = None
    bit_logits: tuple[torch.Tensor, ...] | None = None
    latents: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    stage_features: tuple[torch.Tensor, ...] | None = None
