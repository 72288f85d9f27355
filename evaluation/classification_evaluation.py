"""How well videos are classified: from the names of the classes alone (zero-shot), or by a linear probe on features.

Beside the figures stand those of chance and of answering the most frequent class.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..modeling_pyratok.errors import PyraTokError, TokenFileError, VideoReadError
from .classification_data import LabelledVideo
from .classification_metrics import (
    ClassificationFigures,
    chance_figures,
    classification_figures,
    frequency_figures,
    predicted_labels,
)
from .linear_probe import LinearProbe, fit_linear_probe

Numbers = torch.Tensor | np.ndarray | Sequence[float]

Classify = Callable[[Path, Sequence[str]], Numbers]
"""(video or token file, labels) -> a score for each label, higher for more likely. Of the pipeline:
`lambda video, labels: pipeline(video, list(labels)).scores`."""

Extract = Callable[[Path], Numbers]
"""Video or token file -> its features (D,). Of the pipeline: `pipeline.features`."""

Progress = Callable[[Sequence[LabelledVideo]], Iterable[LabelledVideo]]
"""Goes through the videos and shows how far it is: `tqdm`, or rich's `track`."""


@dataclass(frozen=True)
class ClassificationEvaluation:
    """The figures of one classifier on a set of videos."""

    labels: tuple[str, ...]
    figures: ClassificationFigures
    chance: ClassificationFigures
    """What random scores have on average."""
    most_frequent: ClassificationFigures
    """What the order of how frequent the labels are has: in the training videos of a probe, else in the very videos that
    are evaluated, which no classifier could know."""
    most_frequent_label: str
    label_accuracies: dict[str, float]
    """Label -> share of its videos that are right, of the labels that occur."""
    predictions: dict[str, str]
    """Video, as a path -> the label with the highest score, in the order of measuring."""
    unreadable: dict[str, str]
    """Video, as a path -> why it could not be read; it counts in no figure."""

    def record(self) -> dict[str, Any]:
        """What is written as JSON."""
        return {
            **asdict(self.figures),
            "chance": asdict(self.chance),
            "most_frequent": {"label": self.most_frequent_label, **asdict(self.most_frequent)},
            "videos": len(self.predictions),
            "labels": list(self.labels),
            "label_accuracies": self.label_accuracies,
            "predictions": self.predictions,
            "unreadable_videos": self.unreadable,
        }


@dataclass(frozen=True)
class LinearProbeEvaluation:
    """A linear probe and how well it does on videos that it was not fitted on."""

    probe: LinearProbe
    test: ClassificationEvaluation
    num_training_videos: int
    unreadable_training: dict[str, str]
    """Training video, as a path -> why it could not be read; the probe was fitted without it."""

    def record(self) -> dict[str, Any]:
        """What is written as JSON."""
        training = {
            "training_videos": self.num_training_videos,
            "unreadable_training_videos": self.unreadable_training,
        }
        return {**self.test.record(), **training}


def evaluate_classification(
    classify: Classify,
    videos: Sequence[LabelledVideo],
    labels: Sequence[str],
    progress: Progress = iter,
) -> ClassificationEvaluation:
    """Let `classify` choose among all `labels` for every video.

    Raises:
        PyraTokError: if no video can be read, or scikit-learn is missing.
        ValueError: for fewer than two labels, or repeated ones; for a video whose label is not among them; for scores that
            are not one finite number for each label.
    """
    _check_labels(videos, labels)
    unreadable: dict[str, str] = {}
    read, rows = [], []
    for video, scores in _measured(lambda path: classify(path, labels), videos, progress, unreadable):
        if scores.shape != (len(labels),):
            raise ValueError(f"the scores of {len(labels)} labels must be ({len(labels)},), got {scores.shape}")
        read.append(video)
        rows.append(scores)
    counts = Counter(video.label for video in read)
    return _evaluation(tuple(labels), read, np.stack(rows), [counts[label] for label in labels], unreadable)


def evaluate_linear_probe(
    extract: Extract,
    training: Sequence[LabelledVideo],
    test: Sequence[LabelledVideo],
    seed: int,
    progress: Progress = iter,
) -> LinearProbeEvaluation:
    """Fit a probe on the features of the training videos and let it choose among their labels for the test videos.

    `progress` goes through the training videos first, then through those of the test.

    Raises:
        PyraTokError: if a video is among both, none of either can be read, a test video has a label that no training video
            has, there is too little to fit (see `fit_linear_probe`), or scikit-learn is missing.
        ValueError: for features that are not finite (D,) of one length.
    """
    _check_apart(training, test)
    unreadable: dict[str, str] = {}
    measured = list(_measured(extract, training, progress, unreadable))
    fitted_labels = [video.label for video, _ in measured]
    if strangers := sorted({video.label for video in test} - set(fitted_labels)):
        raise PyraTokError(
            f"no training video that can be read has the labels {', '.join(strangers):.200} of test videos"
        )
    probe = fit_linear_probe(_stacked([features for _, features in measured]), fitted_labels, seed)
    unreadable_test: dict[str, str] = {}
    tested = list(_measured(extract, test, progress, unreadable_test))
    scores = probe.scores(_stacked([features for _, features in tested])).numpy()
    counts = Counter(fitted_labels)
    evaluation = _evaluation(
        probe.classes,
        [video for video, _ in tested],
        scores,
        [counts[label] for label in probe.classes],
        unreadable_test,
    )
    return LinearProbeEvaluation(probe, evaluation, len(measured), unreadable)


def _check_labels(videos: Sequence[LabelledVideo], labels: Sequence[str]) -> None:
    if len(labels) < 2 or len(set(labels)) != len(labels):
        raise ValueError(f"labels must be two or more, each once, got {list(labels)!r:.200}")
    if strangers := sorted({video.label for video in videos} - set(labels)):
        raise ValueError(f"videos have labels that are not among the {len(labels)} given: {', '.join(strangers):.200}")


def _check_apart(training: Sequence[LabelledVideo], test: Sequence[LabelledVideo]) -> None:
    fitted_on = {video.video.resolve() for video in training}
    if both := [video.video for video in test if video.video.resolve() in fitted_on]:
        raise PyraTokError(
            f"{len(both)} of {len(test)} videos to measure are also those that the probe is fitted on, the first "
            f"{str(both[0])!r}; give other videos to fit it on"
        )


def _measured(
    measure: Extract, videos: Sequence[LabelledVideo], progress: Progress, unreadable: dict[str, str]
) -> Iterator[tuple[LabelledVideo, np.ndarray]]:
    """Every video that can be read, with what is measured of it as float64; the others go into `unreadable`.

    Raises PyraTokError if none can be read.
    """
    count = 0
    for video in progress(videos):
        try:
            numbers = measure(video.video)
        except (VideoReadError, TokenFileError) as problem:
            unreadable[str(video.video)] = str(problem)
            continue
        count += 1
        yield video, torch.as_tensor(numbers).detach().cpu().double().numpy()
    if not count:
        first = next(iter(unreadable.values()), "there are none")
        raise PyraTokError(f"none of the {len(videos)} videos can be read; the first: {first}")


def _stacked(features: Sequence[np.ndarray]) -> np.ndarray:
    """(N, D). Raises ValueError unless all are (D,) of one length."""
    shapes = sorted({row.shape for row in features})
    if len(shapes) != 1 or len(shapes[0]) != 1:
        raise ValueError(f"the features of every video must be (D,), got the shapes {shapes[:3]}")
    return np.stack(features)


def _evaluation(
    labels: tuple[str, ...],
    videos: Sequence[LabelledVideo],
    scores: np.ndarray,
    frequencies: Sequence[int],
    unreadable: dict[str, str],
) -> ClassificationEvaluation:
    """The figures of `scores` (N, labels); `frequencies` (labels,) are those that the most frequent label goes by."""
    targets = np.array([labels.index(video.label) for video in videos])  # (N,)
    predicted = predicted_labels(scores)
    frequency_scores = np.asarray(frequencies)[None]
    accuracies = {
        label: float((predicted[targets == index] == index).mean())
        for index, label in enumerate(labels)
        if (targets == index).any()
    }
    return ClassificationEvaluation(
        labels=labels,
        figures=classification_figures(scores, targets),
        chance=chance_figures(len(labels)),
        most_frequent=frequency_figures(frequencies, targets),
        most_frequent_label=labels[int(predicted_labels(frequency_scores)[0])],
        label_accuracies=accuracies,
        predictions={str(video.video): labels[index] for video, index in zip(videos, predicted, strict=True)},
        unreadable=unreadable,
    )
