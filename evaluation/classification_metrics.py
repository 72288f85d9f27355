"""Accuracy of video classification, by scikit-learn."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..modeling_pyratok.optional_libraries import needs_extra

TOP = 5


@dataclass(frozen=True)
class ClassificationFigures:
    """Shares in [0, 1]."""

    top_1: float
    """Of the videos whose label has the highest score."""
    top_5: float | None
    """Of the videos whose label is among the five highest; None where there are no more than five labels."""
    mean_per_class: float
    """The share of right videos within each label that occurs, averaged over labels: 1 / labels by chance, however uneven
    they are."""


def predicted_labels(scores: np.ndarray) -> np.ndarray:
    """The index of the highest score of each row of (N, labels): int (N,), the last where several are highest.

    The last, because scikit-learn ranks equal scores so: then the label counted by top-1 is the first of the top five.
    """
    return scores.shape[1] - 1 - np.argmax(scores[:, ::-1], axis=1)


def classification_figures(scores: np.ndarray, targets: np.ndarray) -> ClassificationFigures:
    """The figures of scores (N, labels), higher for more likely, against the index of the right label, int (N,).

    Raises ValueError for other shapes, no videos, fewer than two labels, scores that are not finite, and targets that
    are no index; PyraTokError if scikit-learn is missing.
    """
    if scores.ndim != 2 or targets.shape != scores.shape[:1] or len(targets) == 0 or scores.shape[1] < 2:
        raise ValueError(
            f"scores must be (videos, 2 or more labels) and targets (videos,), got {scores.shape}, {targets.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite numbers")
    if targets.min() < 0 or targets.max() >= scores.shape[1]:
        raise ValueError(f"targets must lie in [0, {scores.shape[1]}), got {targets.min()} to {targets.max()}")
    with needs_extra("evaluate"):
        from sklearn.metrics import accuracy_score, balanced_accuracy_score, top_k_accuracy_score

    predicted, labels = predicted_labels(scores), range(scores.shape[1])
    with warnings.catch_warnings():
        # It warns of predicted labels that no video has, and of videos of one label; both are part of the question here.
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        warnings.filterwarnings("ignore", "A single label was found")
        mean_per_class = float(balanced_accuracy_score(targets, predicted))
    top_5 = float(top_k_accuracy_score(targets, scores, k=TOP, labels=labels)) if len(labels) > TOP else None
    return ClassificationFigures(float(accuracy_score(targets, predicted)), top_5, mean_per_class)


def chance_figures(num_labels: int) -> ClassificationFigures:
    """What random scores have on average."""
    return ClassificationFigures(1 / num_labels, TOP / num_labels if num_labels > TOP else None, 1 / num_labels)


def frequency_figures(frequencies: Sequence[int], targets: np.ndarray) -> ClassificationFigures:
    """What it gives to answer the labels in the order of how frequent they are, whatever the video.

    Args:
        frequencies: how often each label occurs, (labels,).
        targets: int (N,), as in `classification_figures`.
    """
    return classification_figures(np.tile(np.asarray(frequencies, dtype=float), (len(targets), 1)), targets)
