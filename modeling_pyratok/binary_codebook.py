"""Codes of d bits: quantization by sign, integer ids, and the projection that all levels share.

The codebook is {-1, +1}^d, so nothing is stored and nothing is looked up (LFQ, lookup-free quantization). Bit j is
u_j >= 0 and weighs 2^j in the integer code.
"""

import torch
from torch import nn


def sign_bits(logits: torch.Tensor) -> torch.Tensor:
    """-1 or +1 in the dtype of `logits`; zero counts as +1 (`torch.sign(0)` would be 0)."""
    return torch.where(logits >= 0, 1.0, -1.0).to(logits.dtype)


def quantize_straight_through(logits: torch.Tensor) -> torch.Tensor:
    """The bits of `logits`, with the gradient of the identity."""
    return logits + (sign_bits(logits) - logits).detach()


def bits_to_codes(bits: torch.Tensor) -> torch.Tensor:
    """Bits or logits (..., d) -> codes (...), int64 in [0, 2^d)."""
    weights = 2 ** torch.arange(bits.shape[-1], device=bits.device)
    return ((bits >= 0) * weights).sum(dim=-1)


def codes_to_bits(codes: torch.Tensor, num_bits: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Codes (...), int64 in [0, 2^d) -> bits (..., d), -1 or +1."""
    positions = torch.arange(num_bits, device=codes.device)
    return (codes.unsqueeze(-1) >> positions & 1).to(dtype) * 2 - 1


class BinaryCodebook(nn.Module):
    """The projection {-1, +1}^d -> hidden that every level, the decoder side and the prior share."""

    def __init__(self, num_bits: int, hidden_size: int):
        super().__init__()
        self.num_bits = num_bits
        self.projection = nn.Linear(num_bits, hidden_size)

    def forward(self, bits: torch.Tensor) -> torch.Tensor:
        """Bits (..., d) -> embeddings (..., hidden)."""
        return self.projection(bits.to(self.projection.weight.dtype))

    def check_can_replace(self, other: "BinaryCodebook", owner: str) -> None:
        """Raises ValueError unless this projection has the shape of the `other`, which `owner` has."""
        one, own = tuple(self.projection.weight.shape), tuple(other.projection.weight.shape)
        if one != own:
            raise ValueError(
                f"the {owner} has a codebook projection of {own}, the tokenizer one of {one}; codebook_size and codebook_bits "
                "must be the tokenizer's"
            )

    def embed_codes(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes (...) -> embeddings (..., hidden). Raises ValueError for a code outside [0, 2^d)."""
        if codes.is_floating_point() or codes.dtype == torch.bool:
            raise ValueError(f"codes are integers, got a tensor of {codes.dtype}")
        if codes.numel() and (codes.min() < 0 or codes.max() >= 2**self.num_bits):
            raise ValueError(
                f"codes lie in [0, {2**self.num_bits}) for {self.num_bits} bits, got {int(codes.min())} to {int(codes.max())}"
            )
        return self(codes_to_bits(codes, self.num_bits, self.projection.weight.dtype))
