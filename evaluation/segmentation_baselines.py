"""Masks that know nothing, to compare with: what `evaluate_segmentation` takes for a segmenter, and never looks at a frame.

Each takes frames uint8 (T, H, W, 3) and K names, and gives masks bool (K, T, H, W) and scores float32 of the same shape.
"""

from collections.abc import Sequence

import torch


def all_foreground(frames: torch.Tensor, names: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Every pixel belongs to every object, with score 1."""
    shape = (len(names), *frames.shape[:3])
    return torch.ones(shape, dtype=torch.bool), torch.ones(shape)


def centre_box(frames: torch.Tensor, names: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """The box in the middle, half as high and half as wide as the frame (a quarter of it; at least a pixel), with score 1."""
    height, width = frames.shape[1:3]
    rows, columns = max(1, round(height / 2)), max(1, round(width / 2))
    top, left = (height - rows) // 2, (width - columns) // 2
    masks = torch.zeros((len(names), *frames.shape[:3]), dtype=torch.bool)
    masks[..., top : top + rows, left : left + columns] = True
    return masks, masks.float()


class RandomMasks:
    """Chance: every pixel for itself belongs to an object with the same probability.

    Args:
        foreground_share: the probability, such as `SegmentationEvaluation.foreground_share` of the same data.
        seed: the same seed gives the same masks for the same calls in the same order.

    Raises ValueError if the probability is not in [0, 1].
    """

    def __init__(self, foreground_share: float, seed: int = 0) -> None:
        if not 0 <= foreground_share <= 1:
            raise ValueError(f"foreground_share must lie in [0, 1], got {foreground_share}")
        self.foreground_share = foreground_share
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, frames: torch.Tensor, names: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Masks, and as scores the random numbers that made them: in [0, 1), above 1 - share inside."""
        scores = torch.rand((len(names), *frames.shape[:3]), generator=self._generator)
        return scores >= 1 - self.foreground_share, scores
