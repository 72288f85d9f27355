"""The loss of the tokenizer without text: reconstruction and the codebook terms of Eq. 2, each also given by itself."""

import torch
import torch.nn.functional as F

from ..configuration.configuration_pyratok import PyraTokConfig
from .codebook_losses import commitment_loss, entropy_loss, hierarchical_loss
from .reconstruction_losses import log_l2_loss, ssim_loss

RECONSTRUCTION = ("l1", "l2", "log_l2", "ssim")
"""The terms of the reconstruction part; the others are those of the codebook."""


def _hierarchical(config: PyraTokConfig, logits: tuple[torch.Tensor, ...]) -> torch.Tensor:
    total = logits[0].new_zeros(())
    for level in range(1, len(logits)):
        strides = config.level_strides[level], config.level_strides[level - 1]
        total = total + hierarchical_loss(logits[level], logits[level - 1], *strides, config.temperature)
    return total


def tokenizer_losses(
    config: PyraTokConfig, reconstruction: torch.Tensor, target: torch.Tensor, logits: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The weighted total and every term, unweighted.

    Args:
        config: gives the weights; a term of weight 0 is still computed, without gradient, so that it can be watched.
        reconstruction, target: (B, T, C, H, W) in [-1, 1].
        logits: per level (B, T_l, H_l, W_l, d).
    """
    terms = {
        "l1": (config.l1_loss_weight, lambda: F.l1_loss(reconstruction.float(), target.float())),
        "l2": (config.l2_loss_weight, lambda: F.mse_loss(reconstruction.float(), target.float())),
        "log_l2": (config.log_l2_loss_weight, lambda: log_l2_loss(reconstruction, target)),
        "ssim": (config.ssim_loss_weight, lambda: ssim_loss(reconstruction, target)),
        "commitment": (config.commitment_loss_weight, lambda: sum(map(commitment_loss, logits))),
        "entropy": (
            config.entropy_loss_weight,
            lambda: sum(entropy_loss(u, config.temperature, config.entropy_diversity) for u in logits),
        ),
        "hierarchical": (config.hierarchical_loss_weight, lambda: _hierarchical(config, logits)),
    }
    total = reconstruction.new_zeros((), dtype=torch.float32)
    losses = {}
    # The caller's autocast would take the entropies in half precision.
    with torch.autocast(reconstruction.device.type, enabled=False):
        for name, (weight, compute) in terms.items():
            part = config.reconstruction_loss_weight if name in RECONSTRUCTION else config.codebook_loss_weight
            with torch.set_grad_enabled(torch.is_grad_enabled() and weight * part > 0):
                losses[name] = compute()
            total = total + part * weight * losses[name]
    return total, losses
