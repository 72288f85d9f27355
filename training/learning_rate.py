"""How the learning rate goes over a run."""

import math


def learning_rate_share(step: int, max_steps: int, warmup_steps: int, final_share: float) -> float:
    """The share of the highest learning rate in the step after `step` steps, in [0, 1].

    Linear warm-up over `warmup_steps`, then half a cosine from 1 down to `final_share`.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(max_steps - warmup_steps, 1)
    return final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * progress))
