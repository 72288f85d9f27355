"""The terms of the codebook loss (Eq. 2) that need no text.

A bit is Bernoulli: p_j = sigmoid(2 u_j / tau) is the probability that bit j is +1, a code's probability is the product over
its bits. Every divergence and entropy below is between such products, so it is finite and cheap.
"""

import torch
import torch.distributed as dist
import torch.nn.functional as F

from .binary_codebook import codes_to_bits, sign_bits
from .grid_resampling import pool_to_grid


def commitment_loss(logits: torch.Tensor) -> torch.Tensor:
    """Mean (u - sg(sign u))^2."""
    return F.mse_loss(logits, sign_bits(logits).detach())


def mean_bit_entropy(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Mean over tokens of the entropy (nats) of their code distribution: the sum of d binary entropies. logits: (..., d)."""
    scaled = 2 * logits / temperature
    probability = torch.sigmoid(scaled)
    # H = softplus(x) - x sigmoid(x) is the entropy of a Bernoulli variable with logit x.
    return (F.softplus(scaled) - scaled * probability).sum(dim=-1).mean()


def _half_distribution(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Logits (N, k) of k bits -> the distribution (N, 2^k) over their values."""
    k = logits.shape[-1]
    signs = codes_to_bits(torch.arange(2**k, device=logits.device), k, logits.dtype)  # (2^k, k)
    return torch.softmax(logits @ signs.T / temperature, dim=-1)


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes, and of its gradient: every process's loss depends on every process's tensor.

    torch has this in `torch.distributed.nn` alone, which it deprecates for a private module.
    """

    @staticmethod
    def forward(_context: torch.autograd.function.FunctionCtx, tensor: torch.Tensor) -> torch.Tensor:
        total = tensor.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: torch.autograd.function.FunctionCtx, gradient: torch.Tensor) -> torch.Tensor:
        return _SumOverProcesses.apply(gradient)


def entropy_of_mean_code(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Entropy (nats) of the mean over all tokens of their joint distribution over 2^d codes, exact.

    The bits of a token are independent, so its distribution is the outer product of those of two halves of its bits, and the
    sum of outer products over N tokens is one matrix product (2^(d/2), N) x (N, 2^(d/2)); nothing of size (N, 2^d) exists.
    With torch.distributed initialised, the mean is over the tokens of all processes; without gradient (in validation, which
    one process may do alone) it is over those of this process.

    Args:
        logits: (..., d).
        temperature: tau.
    """
    logits = logits.flatten(0, -2)
    num_bits = logits.shape[-1]
    first, second = logits.split([num_bits - num_bits // 2, num_bits // 2], dim=-1)
    joint = _half_distribution(first, temperature).T @ _half_distribution(second, temperature)
    count = torch.tensor(float(logits.shape[0]), device=logits.device, dtype=logits.dtype)
    if torch.is_grad_enabled() and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        joint, count = _SumOverProcesses.apply(joint), _SumOverProcesses.apply(count)
    joint = joint / count
    # log(0) would turn the gradient of codes that nothing comes near into NaN.
    return -(joint * joint.clamp_min(torch.finfo(joint.dtype).tiny).log()).sum()


def entropy_loss(logits: torch.Tensor, temperature: float, diversity: float) -> torch.Tensor:
    """E_i H(p_i) - gamma H(E_i p_i): confident tokens, and all codes used."""
    return mean_bit_entropy(logits, temperature) - diversity * entropy_of_mean_code(logits, temperature)


def hierarchical_loss(
    logits: torch.Tensor,
    previous_logits: torch.Tensor,
    stride: tuple[int, int],
    previous_stride: tuple[int, int],
    temperature: float,
) -> torch.Tensor:
    """Mean KL(q(l) || q(l-1)) per token, summed over bits; level l - 1's probabilities are pooled to the grid of level l.

    Args:
        logits: (B, T, H, W, d) of level l, from the start of a video.
        previous_logits: (B, T', H', W', d) of level l - 1; gets no gradient.
        stride, previous_stride: (frames, pixels) per token of both.
        temperature: tau.
    """
    scaled = 2 * logits / temperature
    probability = torch.sigmoid(scaled)
    with torch.no_grad():
        target = torch.sigmoid(2 * previous_logits / temperature).permute(0, 4, 1, 2, 3)
        target = pool_to_grid(target, previous_stride, stride, is_first=True).permute(0, 2, 3, 4, 1)
        # Far from 0 and 1, so that a confident target costs a finite amount in float32.
        target = target.clamp(1e-4, 1 - 1e-4)
    negative_entropy = scaled * probability - F.softplus(scaled)
    cross_entropy = -(probability * target.log() + (1 - probability) * (1 - target).log())
    return (negative_entropy + cross_entropy).sum(dim=-1).mean()
