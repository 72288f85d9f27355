"""How well a mask fits: region similarity J and contour accuracy F, as DAVIS measures them (Perazzi et al., 2016, section 5).

J is the Jaccard index, intersection over union. F is the harmonic mean of the precision and the recall of boundary
pixels, where a boundary pixel counts as found if the other mask has a boundary within 0.008 of the picture's diagonal. Both
lie in [0, 1] and are taken frame by frame; a frame where both masks are empty counts 1. Every frame counts: the first and the
last too, which DAVIS leaves out where the first is given to the method.
"""

import math

import numpy as np

from ..modeling_pyratok.optional_libraries import needs_extra

BOUNDARY_TOLERANCE = 0.008
"""Of the diagonal; rounded up to whole pixels."""


def jaccard_per_frame(predicted: np.ndarray, truth: np.ndarray, void: np.ndarray | None = None) -> np.ndarray:
    """J of every frame, float64 (T,).

    Args:
        predicted, truth: bool (T, H, W).
        void: bool (T, H, W), pixels that count for neither; None if all count.

    Raises:
        ValueError: if the shapes differ or an array is not bool.
    """
    shared, either = _overlap(predicted, truth, void)
    return np.divide(shared, either, out=np.ones(len(shared)), where=either > 0)


def jaccard_pooled(predicted: np.ndarray, truth: np.ndarray, void: np.ndarray | None = None) -> float:
    """J of the whole clip as one region: all shared pixels over all pixels of either; 1 if both are empty throughout.

    Arguments and errors as for `jaccard_per_frame`.
    """
    shared, either = (int(counts.sum()) for counts in _overlap(predicted, truth, void))
    return shared / either if either else 1.0


def boundary_f_per_frame(predicted: np.ndarray, truth: np.ndarray, void: np.ndarray | None = None) -> np.ndarray:
    """F of every frame, float64 (T,); a frame where only one mask has a boundary counts 0.

    Arguments and errors as for `jaccard_per_frame`; PyraTokError if scipy is not installed.
    """
    _check_masks(predicted, truth, void)
    reach = math.ceil(BOUNDARY_TOLERANCE * math.hypot(*predicted.shape[1:]))
    figures = np.empty(len(predicted))
    for frame in range(len(predicted)):
        known = True if void is None else ~void[frame]
        figures[frame] = _boundary_f(boundary(predicted[frame] & known), boundary(truth[frame] & known), reach)
    return figures


def boundary(mask: np.ndarray) -> np.ndarray:
    """Bool (H, W): the pixels of a bool (H, W) that differ from the next one to the right, below, or below on the right.

    So the border of the picture is no boundary, and a line one pixel wide lies between object and background.
    """
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    return (mask != padded[:-1, 1:]) | (mask != padded[1:, :-1]) | (mask != padded[1:, 1:])


def _boundary_f(predicted: np.ndarray, truth: np.ndarray, reach: int) -> float:
    """F of two boundaries, bool (H, W)."""
    if not predicted.any() or not truth.any():
        return float(predicted.any() == truth.any())
    rows, columns = (np.flatnonzero((predicted | truth).any(axis=axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]  # both boundaries lie in it
    predicted, truth = predicted[box], truth[box]
    precision = np.count_nonzero(predicted & _widened(truth, reach)) / np.count_nonzero(predicted)
    recall = np.count_nonzero(truth & _widened(predicted, reach)) / np.count_nonzero(truth)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _widened(mask: np.ndarray, reach: int) -> np.ndarray:
    """Dilation by a disk: pixels whose centre is at most `reach` pixels from one of the mask's."""
    with needs_extra("evaluate"):
        from scipy.ndimage import distance_transform_edt
    return distance_transform_edt(~mask) <= reach


def _overlap(predicted: np.ndarray, truth: np.ndarray, void: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Pixels in both and pixels in either, per frame: two integer arrays (T,)."""
    _check_masks(predicted, truth, void)
    known = True if void is None else ~void
    shared = np.count_nonzero(predicted & truth & known, axis=(1, 2))
    return shared, np.count_nonzero((predicted | truth) & known, axis=(1, 2))


def _check_masks(predicted: np.ndarray, truth: np.ndarray, void: np.ndarray | None) -> None:
    for name, masks in (("predicted", predicted), ("truth", truth), ("void", void)):
        if masks is None:
            continue
        if masks.dtype != bool or masks.ndim != 3 or masks.shape != truth.shape:
            raise ValueError(
                f"masks must be bool (frames, height, width) of one shape, got {name} {masks.dtype} {masks.shape} and "
                f"truth {truth.shape}"
            )
