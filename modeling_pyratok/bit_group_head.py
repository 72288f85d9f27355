"""The prior's head: a distribution over 2^d codes, exact, small and normalised.

The bits of a code are cut into groups. The chain rule makes the code's probability a product over groups, each a softmax over
the group's few values, conditioned on the hidden state and on all bits of the groups before it.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from .binary_codebook import codes_to_bits


class BitGroupHead(nn.Module):
    """Hidden states (N, hidden) -> log-probabilities of codes, or codes drawn from them.

    Args:
        hidden_size: width of the hidden states.
        num_bits: d.
        group_bits: bits per group; the last group has fewer if d is no multiple.
        width: units per group.
    """

    def __init__(self, hidden_size: int, num_bits: int, group_bits: int, width: int):
        super().__init__()
        self.num_bits, self.group_bits = num_bits, group_bits
        self.starts = tuple(range(0, num_bits, group_bits))
        self.sizes = tuple(min(group_bits, num_bits - start) for start in self.starts)
        self.norm = nn.LayerNorm(hidden_size)
        self.from_hidden = nn.ModuleList(nn.Linear(hidden_size, width) for _ in self.starts)
        self.from_bits = nn.ModuleList(nn.Linear(start, width, bias=False) for start in self.starts[1:])
        self.to_logits = nn.ModuleList(nn.Linear(width, 2**size) for size in self.sizes)

    def group_logits(self, normed: torch.Tensor, bits: torch.Tensor, group: int) -> torch.Tensor:
        """Logits (N, 2^k) of a group's values. normed: (N, hidden) after the norm; bits: (N, >= those before), -1 or +1."""
        units = self.from_hidden[group](normed)
        if group:
            units = units + self.from_bits[group - 1](bits[:, : self.starts[group]].to(units.dtype))
        return self.to_logits[group](F.gelu(units)).float()

    def log_probability(self, hidden: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Natural logarithm of the probability of codes (N,) given hidden states (N, hidden): (N,), float32."""
        normed = self.norm(hidden)
        bits = codes_to_bits(codes, self.num_bits)
        total = torch.zeros(len(codes), device=hidden.device)
        for group, value in enumerate(self.values_of(codes)):
            logits = self.group_logits(normed, bits, group)
            total = total - F.cross_entropy(logits, value, reduction="none")
        return total

    def values_of(self, codes: torch.Tensor) -> list[torch.Tensor]:
        """The values of every group in codes (N,): int64, below 2^k each."""
        return [codes >> start & (2**size - 1) for start, size in zip(self.starts, self.sizes, strict=True)]

    def draw(
        self,
        hidden: torch.Tensor,
        uniform: torch.Tensor,
        choice: "CodeChoice",
        without_text: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Draw codes.

        Args:
            hidden: (N, hidden).
            uniform: (N, groups) in [0, 1), the randomness.
            choice: how the values of a group are chosen from its logits.
            without_text: (N, hidden), the hidden states without the text, for classifier-free guidance.

        Returns (N,), int64.
        """
        normed = self.norm(hidden)
        free = None if without_text is None else self.norm(without_text)
        codes = torch.zeros(len(hidden), dtype=torch.int64, device=hidden.device)
        for group, start in enumerate(self.starts):
            bits = codes_to_bits(codes, self.num_bits)
            logits = self.group_logits(normed, bits, group)
            if free is not None:
                base = self.group_logits(free, bits, group)
                logits = base + choice.guidance_scale * (logits - base)
            codes = codes + (choice.pick(logits, uniform[:, group]) << start)
        return codes


@dataclass(frozen=True)
class CodeChoice:
    """How a value is drawn from the logits of a group of bits.

    temperature: 0 takes the most likely value. top_k: only so many most likely values of a group. top_p: only the most likely
    values that together have this probability. guidance_scale: how far to go from the logits without text beyond those with it;
    1 goes exactly there.

    Raises ValueError for values that make no sense.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    guidance_scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature is at least 0, got {self.temperature}")
        if not math.isfinite(self.guidance_scale):
            raise ValueError(f"guidance_scale is a number, got {self.guidance_scale}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k is at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p lies above 0 and is at most 1, got {self.top_p}")

    def pick(self, logits: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        """Values (N,) by inverting the cumulative distribution of logits (N, V) at `uniform` (N,) in [0, 1)."""
        if self.temperature == 0:
            return logits.argmax(dim=-1)
        ordered, values = (logits / self.temperature).sort(dim=-1, descending=True)
        probability = ordered.softmax(dim=-1)
        if self.top_k is not None:
            probability[:, self.top_k :] = 0
        if self.top_p is not None:  # the first value that exceeds it is still in
            probability = torch.where(probability.cumsum(-1) - probability < self.top_p, probability, 0.0)
        cumulative = probability.cumsum(dim=-1)
        index = (cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(dim=-1)
        index = index.clamp_max(logits.shape[-1] - 1)
        return values.gather(-1, index[:, None]).squeeze(-1)
