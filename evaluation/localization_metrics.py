"""Mean average precision of temporal action localization, by the protocol of the ActivityNet challenge.

Of each class and threshold, the predictions of all videos are gone through by falling score. One is right if, among the
actions of its class in its video that no earlier one has taken, it overlaps one by at least the threshold; it takes the
one that it overlaps most. Average precision is the area under the curve of precision over recall, where the precision at a
recall is the highest at this or any larger recall. The mean goes over the classes that have actions.

The overlap is the temporal intersection over union (tIoU). THUMOS14 papers of the last years use this protocol too, with
lower thresholds. The challenge's own program of 2014 differs: it matches by action, not by score, and does not interpolate.
From it comes what happens in ambiguous stretches: what matches no action and touches one counts as neither right nor wrong.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from .localization_data import ActionVideo

THUMOS14_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
ACTIVITYNET_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)

Segment = tuple[float, float, float]
"""What is predicted of one text: start and end in seconds, and a score, higher for more certain."""

WRONG, RIGHT, IGNORED = 0, 1, 2
"""What a prediction is at one threshold."""


def temporal_iou(segments: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The overlap of each of `segments` (N, 2) with each of `others` (M, 2): float (N, M) in [0, 1], 0 for two moments."""
    starts = np.maximum(segments[:, None, 0], others[None, :, 0])  # (N, M)
    ends = np.minimum(segments[:, None, 1], others[None, :, 1])
    shared = np.clip(ends - starts, 0, None)
    union = (segments[:, 1] - segments[:, 0])[:, None] + (others[:, 1] - others[:, 0])[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def judge(predicted: np.ndarray, actions: np.ndarray, ignored: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """Whether the predictions for one class in one video are right.

    Args:
        predicted: (N, 2) start and end in seconds, by falling score.
        actions: (M, 2) of the class.
        ignored: (I, 2) ambiguous stretches.
        thresholds: the smallest overlap that counts, one or more.

    Returns:
        int8 (len(thresholds), N) of WRONG, RIGHT and IGNORED.
    """
    touches = (temporal_iou(predicted, ignored) > 0).any(axis=1)  # (N,)
    judged = np.tile(np.where(touches, IGNORED, WRONG).astype(np.int8), (len(thresholds), 1))
    overlaps = temporal_iou(predicted, actions)  # (N, M)
    highest = overlaps.max(axis=1, initial=0.0)
    for row, threshold in zip(judged, thresholds, strict=True):
        free = np.ones(len(actions), dtype=bool)
        for index in np.flatnonzero(highest >= threshold):
            best = int(np.argmax(np.where(free, overlaps[index], -1.0)))
            if free[best] and overlaps[index, best] >= threshold:
                row[index], free[best] = RIGHT, False
    return judged


def average_precision(scores: np.ndarray, judged: np.ndarray, num_actions: int) -> float:
    """The interpolated average precision of one class at one threshold, in [0, 1].

    Args:
        scores: (N,); where they are equal, the earlier counts as the higher.
        judged: (N,) of WRONG, RIGHT and IGNORED.
        num_actions: how many there are to find, at least 1.
    """
    counts = judged != IGNORED
    order = np.argsort(-scores[counts], kind="stable")
    is_right = judged[counts][order] == RIGHT
    precision = np.cumsum(is_right) / np.arange(1, len(is_right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]  # the highest from here on
    return float(envelope[is_right].sum() / num_actions)  # every right one adds 1 / num_actions of recall


class LocalizationMetrics:
    """Gathers predictions video by video; what it keeps of each is its score and a byte for each threshold."""

    def __init__(self, classes: Sequence[str], thresholds: Sequence[float]) -> None:
        """Raises ValueError for no or repeated classes, and for thresholds that are not in (0, 1]."""
        if not classes or len(set(classes)) != len(classes):
            raise ValueError(f"classes must be at least one, each once, got {list(classes)!r:.200}")
        if not thresholds or not all(0 < threshold <= 1 for threshold in thresholds):
            raise ValueError(f"thresholds must be at least one, each in (0, 1], got {list(thresholds)}")
        self.thresholds = tuple(thresholds)
        self.num_actions = dict.fromkeys(classes, 0)
        self.num_predictions = 0
        self._scores = {label: bytearray() for label in classes}  # float64 (N,)
        self._judged = {label: bytearray() for label in classes}  # int8 (N, thresholds)

    def add(self, video: ActionVideo, segments: Mapping[str, Sequence[Segment]]) -> None:
        """Count the actions of `video`, and what is predicted in it: class -> segments in any order.

        Raises ValueError, and counts nothing, for a class that is not among `classes`, and for a segment that is not
        (start, end, score), not finite, or reversed.
        """
        if unknown := sorted({*segments, *(action.label for action in video.actions)} - set(self.num_actions)):
            raise ValueError(f"there are no classes {unknown} among the {len(self.num_actions)} that are evaluated")
        rows = {label: _checked(label, segments[label]) for label in segments}
        ignored = np.array(video.ignored, dtype=float).reshape(-1, 2)
        for action in video.actions:
            self.num_actions[action.label] += 1
        for label, predicted in rows.items():
            predicted = predicted[np.argsort(-predicted[:, 2], kind="stable")]  # (N, 3)
            spans = [(action.start, action.end) for action in video.actions if action.label == label]
            actions = np.array(spans, dtype=float).reshape(-1, 2)
            self.num_predictions += len(predicted)
            self._scores[label] += predicted[:, 2].tobytes()
            self._judged[label] += judge(predicted[:, :2], actions, ignored, self.thresholds).T.tobytes()

    def average_precisions(self) -> dict[str, tuple[float, ...]]:
        """Class -> average precision at each threshold, of the classes that have actions."""
        return {label: self._of_class(label) for label, count in self.num_actions.items() if count}

    def _of_class(self, label: str) -> tuple[float, ...]:
        scores = np.frombuffer(bytes(self._scores[label]))
        judged = np.frombuffer(bytes(self._judged[label]), dtype=np.int8).reshape(-1, len(self.thresholds))
        return tuple(average_precision(scores, column, self.num_actions[label]) for column in judged.T)


def _checked(label: str, segments: Sequence[Segment]) -> np.ndarray:
    """The segments as float (N, 3). Raises ValueError."""
    for segment in segments:
        if len(segment) != 3:
            raise ValueError(f"a segment of {label!r} must be (start, end, score), got {segment!r:.100}")
    rows = np.array([[float(value) for value in segment] for segment in segments], dtype=float).reshape(-1, 3)
    wrong = np.flatnonzero(~np.isfinite(rows).all(axis=1) | (rows[:, 1] < rows[:, 0]))
    if len(wrong):
        start, end, score = rows[wrong[0]]
        raise ValueError(
            f"a segment of {label!r} must be finite and not reversed, got {start} to {end} s, score {score}"
        )
    return rows
