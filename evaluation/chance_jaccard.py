"""The Jaccard index to expect of chance: of masks whose pixels are drawn one by one, with one probability for all data."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RegionSizes:
    """How large a true mask is in each frame of its clip."""

    inside: np.ndarray
    """Pixels of the mask, integers (T,)."""
    known: np.ndarray
    """Pixels that count at all, integers (T,)."""

    @classmethod
    def from_masks(cls, masks: np.ndarray, void: np.ndarray | None = None) -> "RegionSizes":
        """Of bool (T, H, W); `void`: where pixels do not count."""
        known = np.ones_like(masks) if void is None else ~void
        return cls(np.count_nonzero(masks & known, axis=(1, 2)), np.count_nonzero(known, axis=(1, 2)))


def foreground_share(regions: Sequence[RegionSizes]) -> float:
    """The mean over regions of the share of a clip's pixels that are inside, in [0, 1]; NaN for none."""
    if not regions:
        return float("nan")
    return float(np.mean([region.inside.sum() / max(region.known.sum(), 1) for region in regions]))


def chance_jaccard(regions: Sequence[RegionSizes], share: float) -> float:
    """The mean over regions of the J (mean over frames) that masks drawn with probability `share` may expect; NaN for none.

    Of a frame of N pixels with G inside, share * G are shared and G + share * (N - G) are in either, each in expectation; their
    ratio is that of J to within about 1 / (share * N) of itself. Where G is 0, J is 1 if nothing at all is drawn and else 0.
    """
    if not regions:
        return float("nan")
    return float(np.mean([_expected(region, share).mean() for region in regions]))


def _expected(region: RegionSizes, share: float) -> np.ndarray:
    """J to expect in each frame, (T,)."""
    either = region.inside + share * (region.known - region.inside)
    ratio = np.divide(share * region.inside, either, out=np.zeros(len(either)), where=either > 0)
    return np.where(region.inside > 0, ratio, (1.0 - share) ** region.known)
