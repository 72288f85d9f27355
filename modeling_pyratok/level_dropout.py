"""Which levels a training sample is decoded from, so that every subset of levels learns to decode."""

from collections.abc import Iterable

import numpy as np
import torch

LEVEL_STREAM = 1
"""Name of this random stream under a sample's seed; its mask draws from another one."""

PREVIEW_SHARE = 0.75
"""How many of the proper subsets are previews, the coarsest levels from the last one alone up: what people decode."""


def level_subset(seed: int, num_levels: int, dropout: float) -> torch.Tensor:
    """The levels that a sample keeps, (L,) bool: a pure function of the seed.

    All of them, but with probability `dropout` a proper subset: mostly a preview, otherwise any that is not empty.
    """
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(LEVEL_STREAM,)))
    kept = np.ones(num_levels, dtype=bool)
    if num_levels > 1 and generator.random() < dropout:
        if generator.random() < PREVIEW_SHARE:
            kept[: generator.integers(1, num_levels)] = False
        else:
            subset = int(generator.integers(1, 2**num_levels - 1))
            kept = subset >> np.arange(num_levels) & 1 == 1
    return torch.from_numpy(kept)


def level_subsets(seeds: Iterable[int], num_levels: int, dropout: float) -> torch.Tensor:
    """`level_subset` of every seed, (B, L)."""
    return torch.stack([level_subset(int(seed), num_levels, dropout) for seed in seeds])
