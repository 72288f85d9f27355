"""Which frames of a clip a costly loss looks at."""

import torch


def spread_frames(length: int, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
    """(count,) increasing frame numbers: one of each of `count` equal parts, drawn if there is a generator, else the middle."""
    place = torch.full((count,), 0.5) if generator is None else torch.rand(count, generator=generator)
    return ((torch.arange(count) + place) * length / count).long().clamp_max(length - 1)
