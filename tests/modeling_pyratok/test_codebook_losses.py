"""The codebook losses against brute force over all codes."""

import math

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from pyratok.modeling_pyratok.codebook_losses import (
    commitment_loss,
    entropy_of_mean_code,
    hierarchical_loss,
    mean_bit_entropy,
)


def joint_distributions(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """(N, d) -> (N, 2^d), code by code and bit by bit."""
    count, bits = logits.shape
    plus = torch.sigmoid(2 * logits / temperature)
    columns = []
    for code in range(2**bits):
        chosen = [plus[:, j] if code >> j & 1 else 1 - plus[:, j] for j in range(bits)]
        columns.append(torch.stack(chosen).prod(dim=0))
    return torch.stack(columns, dim=1)


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8, 11, 12])
@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_entropy_of_the_mean_is_exact(bits, temperature):
    logits = torch.randn(40, bits, dtype=torch.float64, generator=torch.Generator().manual_seed(bits))
    mean = joint_distributions(logits, temperature).mean(dim=0)
    expected = -(mean * mean.clamp_min(1e-300).log()).sum()
    assert abs(entropy_of_mean_code(logits, temperature) - expected) < 1e-6


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_mean_entropy_is_exact(bits):
    logits = torch.randn(30, bits, dtype=torch.float64) * 2
    joint = joint_distributions(logits, 0.7)
    expected = -(joint * joint.clamp_min(1e-300).log()).sum(dim=1).mean()
    assert abs(mean_bit_entropy(logits, 0.7) - expected) < 1e-9


@pytest.mark.parametrize("bits", [16, 18])
def test_many_bits_need_no_large_matrix(bits):
    """N x 2^d would be 2^31 numbers or more; nothing beyond the halves' (N, 2^(d / 2)) may be made."""
    count = 2**15
    logits = torch.randn(count, bits, requires_grad=True)
    with torch.profiler.profile(profile_memory=True) as profile:
        entropy = entropy_of_mean_code(logits, 1.0)
        entropy.backward()
    largest = max(event.self_cpu_memory_usage for event in profile.events())
    assert largest <= 4 * max(count * 2 ** (bits // 2), 2**bits) * 3  # bytes; three at once in one operation
    assert 0 < entropy <= bits * math.log(2)
    assert logits.grad.isfinite().all() and logits.grad.abs().sum() > 0


def test_entropy_gradient():
    logits = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u: entropy_of_mean_code(u, 0.9), logits)


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e-8]], requires_grad=True)
    total = entropy_of_mean_code(logits, 1.0) + mean_bit_entropy(logits, 1.0)
    total.backward()
    assert total.isfinite() and logits.grad.isfinite().all()


def test_commitment_counts_zero_as_plus_one():
    assert commitment_loss(torch.tensor([0.0, -1.0, 2.0])) == pytest.approx((1 + 0 + 1) / 3)


def test_hierarchical_loss_on_equal_grids_is_the_divergence():
    logits, previous = torch.randn(2, 1, 2, 2, 4, dtype=torch.float64), torch.randn(2, 1, 2, 2, 4, dtype=torch.float64)
    p, q = (joint_distributions(u.reshape(-1, 4), 1.0) for u in (logits, previous))
    expected = (p * (p / q).log()).sum(dim=1).mean()
    assert abs(hierarchical_loss(logits, previous, (4, 8), (4, 8), 1.0) - expected) < 1e-6


def test_hierarchical_loss_pools_and_stops_the_gradient():
    previous = torch.randn(1, 3, 4, 4, 5, requires_grad=True)  # frames 1 + 2, at stride (2, 8)
    logits = torch.randn(1, 2, 2, 2, 5, requires_grad=True)  # frames 1 + 1, at stride (4, 16)
    loss = hierarchical_loss(logits, previous, (4, 16), (2, 8), 1.0)
    loss.backward()
    assert loss > 0 and logits.grad.abs().sum() > 0 and previous.grad is None


def _entropy_of_one_process(rank: int, world: int, port: int, results):
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    logits = torch.randn(12, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    share = logits[rank * 6 : rank * 6 + 6].clone().requires_grad_()
    entropy = entropy_of_mean_code(share, 1.0)
    entropy.backward()
    results[rank] = (float(entropy), share.grad.numpy())
    dist.destroy_process_group()


def test_entropy_is_global_in_distributed_training(unused_tcp_port):
    """Two processes with half of the tokens each report the entropy of all, and gradients that average to the right one."""
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(_entropy_of_one_process, args=(2, unused_tcp_port, results), nprocs=2)
        results = dict(results)
    logits = torch.randn(12, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()
    entropy = entropy_of_mean_code(logits, 1.0)
    entropy.backward()
    for rank in range(2):
        value, gradient = results[rank]
        assert value == pytest.approx(float(entropy), abs=1e-12)
        # Every process holds the global value; their losses are averaged, so the sum over processes over-counts by 2.
        torch.testing.assert_close(torch.from_numpy(gradient) / 2, logits.grad[rank * 6 : rank * 6 + 6])


@pytest.fixture
def unused_tcp_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
