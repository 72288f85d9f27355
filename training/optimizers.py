"""The optimizers: AdamW, and Muon for the kernels of convolutions.

Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) makes the momentum of a weight matrix orthogonal before it steps,
so that every direction learns at the same pace. Steps have the size of AdamW's as in Moonlight (Liu et al. 2025,
arXiv:2502.16982): one learning rate serves both. torch.optim.Muon takes matrices alone; here a kernel (O, C, t, h, w) is the
matrix (O, C t h w).
"""

import torch
from torch import nn

from .objective import Objective
from .settings import SettingsError, TrainingSettings

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of Muon's quintic iteration: steep at zero, so that five rounds bring all singular values near one."""

ROUNDS = 5
UPDATE_SIZE = 0.2
"""Root mean square of a step per unit of learning rate, about AdamW's."""


class Muon(torch.optim.AdamW):
    """AdamW, but for groups with `orthogonal=True`, whose weights of two and more dimensions step by Muon.

    Args:
        groups: as torch.optim.AdamW takes them.
        learning_rate: of both.
        betas: of AdamW.
        momentum: of Muon (Nesterov's).
    """

    def __init__(self, groups: list[dict], learning_rate: float, betas: tuple[float, float], momentum: float = 0.95):
        self.momentum = momentum
        super().__init__([{"orthogonal": False, **group} for group in groups], learning_rate, betas, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step with the gradients that lie in the weights."""
        groups = self.param_groups
        self.param_groups = [group for group in groups if not group["orthogonal"]]
        try:
            super().step(closure)
        finally:
            self.param_groups = groups
        for group in groups:
            if group["orthogonal"]:
                for weight in group["params"]:
                    if weight.grad is not None:
                        self._orthogonal_step(weight, group["lr"], group["weight_decay"])

    def _orthogonal_step(self, weight: torch.Tensor, learning_rate: float, weight_decay: float) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        state["momentum"].lerp_(weight.grad, 1 - self.momentum)
        matrix = weight.grad.lerp(state["momentum"], self.momentum).flatten(1)
        direction = orthogonalized(matrix).view(weight.shape).to(weight.dtype)
        weight.mul_(1 - learning_rate * weight_decay)
        weight.add_(direction, alpha=-learning_rate * UPDATE_SIZE * max(matrix.shape) ** 0.5)


def orthogonalized(matrix: torch.Tensor) -> torch.Tensor:
    """(m, n) -> (m, n), bfloat16: the same singular vectors, with singular values of about one (0.7 to 1.2)."""
    a, b, c = COEFFICIENTS
    x = matrix.bfloat16()
    x = x / (x.norm() + 1e-7)
    wide = x if x.shape[0] <= x.shape[1] else x.T
    for _ in range(ROUNDS):
        square = wide @ wide.T
        wide = a * wide + (b * square + c * square @ square) @ wide
    return wide if x.shape[0] <= x.shape[1] else wide.T


def new_optimizer(objective: Objective, settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimizer of the trainable weights; scales, biases and single vectors are not decayed.

    Groups have a `share`: their learning rate is that part of the run's.

    Raises SettingsError if nothing can be trained.
    """
    share = settings.tokenizer_learning_rate_share
    tokenizer = [weight for weight in objective.model.parameters() if weight.requires_grad]
    groups = [
        *_groups(tokenizer, share, settings),
        *_groups(list(objective.trained_extras().values()), 1.0, settings),
    ]
    if not groups:
        raise SettingsError(
            "nothing learns: the tokenizer has no trainable weights (tokenizer_learning_rate_share=0 freezes it), and no "
            "term of the loss brings any"
        )
    betas = (settings.beta_one, settings.beta_two)
    if settings.optimizer == "muon":
        return Muon(groups, settings.learning_rate, betas)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=betas, fused=True)


def _groups(weights: list[nn.Parameter], share: float, settings: TrainingSettings) -> list[dict]:
    orthogonal = [weight for weight in weights if settings.optimizer == "muon" and _is_wide_kernel(weight)]
    taken = set(map(id, orthogonal))
    rest = [weight for weight in weights if id(weight) not in taken]
    groups = [
        {"params": orthogonal, "weight_decay": settings.weight_decay, "orthogonal": True},
        {"params": [w for w in rest if w.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [w for w in rest if w.dim() <= 1], "weight_decay": 0.0},
    ]
    learning_rate = {"share": share, "lr": share * settings.learning_rate}
    return [{**group, **learning_rate} for group in groups if group["params"]]


def _is_wide_kernel(weight: torch.Tensor) -> bool:
    """Whether it is a convolution's kernel with many filters: not a scale (C, 1, 1, 1), and no factor of LoRA."""
    return weight.dim() >= 4 and weight.shape[0] >= 32 and weight[0].numel() >= 96
