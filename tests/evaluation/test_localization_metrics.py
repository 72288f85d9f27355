"""Mean average precision over time, against a plain computation of the published protocol and against scikit-learn."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve

from pyratok.evaluation.localization_data import Action, ActionVideo
from pyratok.evaluation.localization_metrics import (
    ACTIVITYNET_THRESHOLDS,
    IGNORED,
    RIGHT,
    THUMOS14_THRESHOLDS,
    WRONG,
    LocalizationMetrics,
    average_precision,
    judge,
    temporal_iou,
)

LABELS = ("jump", "run")
THRESHOLDS = (0.3, 0.5, 0.75, 1.0)


def plain_overlap(first: tuple[float, float], second: tuple[float, float]) -> float:
    shared = max(0.0, min(first[1], second[1]) - max(first[0], second[0]))
    union = first[1] - first[0] + second[1] - second[0] - shared
    return shared / union if union > 0 else 0.0


def plain_average_precision(
    videos: list[ActionVideo], segments: list[dict], label: str, threshold: float, interpolate: bool = True
) -> float:
    """The protocol word by word: one pass over the predictions of all videos by falling score, then the area."""
    free = {
        (number, index)
        for number, video in enumerate(videos)
        for index, action in enumerate(video.actions)
        if action.label == label
    }
    count = len(free)
    ranked = sorted(
        ((number, segment) for number, found in enumerate(segments) for segment in found.get(label, [])),
        key=lambda entry: -entry[1][2],
    )
    outcomes = []
    for number, (start, end, _) in ranked:
        video = videos[number]
        best = None
        for index, action in enumerate(video.actions):
            overlap = plain_overlap((start, end), (action.start, action.end))
            if (number, index) in free and overlap >= threshold and (best is None or overlap > best[0]):
                best = (overlap, index)
        if best is not None:
            free.remove((number, best[1]))
            outcomes.append(True)
        elif all(plain_overlap((start, end), stretch) == 0 for stretch in video.ignored):
            outcomes.append(False)
    points = []
    right = 0
    for rank, outcome in enumerate(outcomes, start=1):
        right += outcome
        points.append((right / count, right / rank))
    area = last_recall = 0.0
    for index, (recall, precision) in enumerate(points):
        if recall > last_recall:
            height = max(later for _, later in points[index:]) if interpolate else precision
            area += (recall - last_recall) * height
            last_recall = recall
    return area


@st.composite
def spans(draw: st.DrawFn) -> tuple[float, float]:
    start = draw(st.integers(0, 20))
    return start / 2, (start + draw(st.integers(0, 12))) / 2


@st.composite
def benchmarks(draw: st.DrawFn) -> tuple[list[ActionVideo], list[dict]]:
    """A few videos and predictions in them, all scores distinct."""
    videos, segments = [], []
    total = draw(st.integers(1, 4))
    scores = iter(draw(st.permutations(range(40))))
    for number in range(total):
        actions = draw(st.lists(st.builds(Action, st.sampled_from(LABELS), st.just(0.0), st.just(0.0)), max_size=5))
        actions = tuple(Action(action.label, *draw(spans())) for action in actions)
        ignored = tuple(draw(st.lists(spans(), max_size=2)))
        videos.append(ActionVideo(f"video{number}", Path(f"{number}.mp4"), None, actions, ignored))
        found = {
            label: [(*span, next(scores) / 40) for span in draw(st.lists(spans(), max_size=5))] for label in LABELS
        }
        segments.append(found)
    return videos, segments


def measured(videos: list[ActionVideo], segments: list[dict]) -> dict[str, tuple[float, ...]]:
    metrics = LocalizationMetrics(LABELS, THRESHOLDS)
    for video, found in zip(videos, segments, strict=True):
        metrics.add(video, found)
    return metrics.average_precisions()


@settings(max_examples=120, deadline=None)
@given(benchmarks())
def test_equals_the_protocol_computed_plainly(benchmark):
    videos, segments = benchmark
    precisions = measured(videos, segments)
    assert set(precisions) == {action.label for video in videos for action in video.actions}
    for label, values in precisions.items():
        expected = [plain_average_precision(videos, segments, label, threshold) for threshold in THRESHOLDS]
        assert values == pytest.approx(expected, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30).filter(any), st.integers(0, 10), st.randoms())
def test_relation_to_scikit_learn(outcomes, missed, shuffle):
    """scikit-learn does not interpolate, and knows nothing of actions that no prediction found: its figure is of those
    found. Scaled by their share it is the area below the curve itself, which interpolation can only raise; with the
    envelope put over scikit-learn's curve it is the figure exactly."""
    is_right = np.array(outcomes)
    ranks = list(range(len(outcomes)))
    shuffle.shuffle(ranks)
    scores = np.array(ranks, dtype=float)
    judged = np.where(is_right, RIGHT, WRONG)
    found = int(is_right.sum())
    ours = average_precision(scores, judged, found + missed)
    share = found / (found + missed)
    assert ours >= average_precision_score(is_right, scores) * share - 1e-9
    precision, recall, _ = precision_recall_curve(is_right, scores)  # by rising score
    area = float((-np.diff(recall) * np.maximum.accumulate(precision)[:-1]).sum())
    assert ours == pytest.approx(area * share, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(benchmarks())
def test_without_interpolation_it_is_scikit_learns_figure(benchmark):
    """The plain computation that the figure is checked against, checked itself where the definitions coincide."""
    videos, segments = benchmark
    videos = [ActionVideo(video.name, video.video, None, video.actions) for video in videos]
    for label in LABELS:
        count = sum(action.label == label for video in videos for action in video.actions)
        rows = [
            (np.array(found[label], dtype=float).reshape(-1, 3), video)
            for found, video in zip(segments, videos, strict=True)
        ]
        scores, outcomes = [np.empty(0)], [np.empty(0)]
        for predicted, video in rows:
            predicted = predicted[np.argsort(-predicted[:, 2])]
            actions = np.array([(a.start, a.end) for a in video.actions if a.label == label], dtype=float).reshape(
                -1, 2
            )
            scores.append(predicted[:, 2])
            outcomes.append(judge(predicted[:, :2], actions, np.empty((0, 2)), (0.5,))[0] == RIGHT)
        is_right = np.concatenate(outcomes).astype(bool)
        if not is_right.any():
            continue
        theirs = average_precision_score(is_right, np.concatenate(scores)) * is_right.sum() / count
        ours = plain_average_precision(videos, segments, label, 0.5, interpolate=False)
        assert ours == pytest.approx(theirs, abs=1e-6)


def test_the_published_thresholds():
    assert pytest.approx(np.linspace(0.3, 0.7, 5)) == THUMOS14_THRESHOLDS
    assert pytest.approx(np.linspace(0.5, 0.95, 10)) == ACTIVITYNET_THRESHOLDS


def test_overlap_of_known_segments():
    segments = np.array([[0.0, 10.0], [3.0, 3.0]])
    others = np.array([[5.0, 15.0], [0.0, 10.0], [10.0, 12.0], [3.0, 3.0]])
    assert temporal_iou(segments, others) == pytest.approx(np.array([[1 / 3, 1, 0, 0], [0, 0, 0, 0]]))
    assert temporal_iou(segments, others[:0]).shape == (2, 0)


def test_a_second_prediction_of_an_action_is_wrong_but_may_take_its_neighbour():
    actions = np.array([[0.0, 10.0], [2.0, 12.0]])
    predicted = np.array([[0.0, 10.0], [0.0, 10.0], [0.0, 10.0]])
    none = np.empty((0, 2))
    assert judge(predicted, actions[:1], none, (0.5,)).tolist() == [[RIGHT, WRONG, WRONG]]
    # The second overlaps the other action by 8 / 12.
    assert judge(predicted, actions, none, (0.5, 0.7)).tolist() == [[RIGHT, RIGHT, WRONG], [RIGHT, WRONG, WRONG]]


def test_an_overlap_of_exactly_the_threshold_counts():
    judged = judge(np.array([[0.0, 5.0]]), np.array([[0.0, 10.0]]), np.empty((0, 2)), (0.5, 0.55))
    assert judged.tolist() == [[RIGHT], [WRONG]]


def test_what_touches_an_ambiguous_stretch_is_ignored_unless_it_is_right():
    actions, ignored = np.array([[0.0, 10.0]]), np.array([[9.0, 20.0]])
    predicted = np.array([[0.0, 10.0], [19.0, 30.0], [20.0, 30.0]])
    assert judge(predicted, actions, ignored, (0.5,)).tolist() == [[RIGHT, IGNORED, WRONG]]


def test_perfect_predictions_have_1_and_none_have_0():
    actions = (Action("jump", 1.0, 2.0), Action("jump", 5.0, 9.0), Action("run", 0.0, 3.0))
    video = ActionVideo("a", Path("a.mp4"), None, actions)
    perfect = {"jump": [(5.0, 9.0, 0.1), (1.0, 2.0, 0.9)], "run": [(0.0, 3.0, 0.5)]}
    assert measured([video], [perfect]) == dict.fromkeys(LABELS, (1.0,) * 4)
    assert measured([video], [{}]) == dict.fromkeys(LABELS, (0.0,) * 4)


def test_a_wrong_prediction_costs_by_its_rank():
    video = ActionVideo("a", Path("a.mp4"), None, (Action("jump", 1.0, 2.0), Action("jump", 5.0, 6.0)))
    before = {"jump": [(8.0, 9.0, 0.9), (1.0, 2.0, 0.5), (5.0, 6.0, 0.4)]}
    after = {"jump": [(8.0, 9.0, 0.1), (1.0, 2.0, 0.5), (5.0, 6.0, 0.4)]}
    assert measured([video], [before])["jump"][0] == pytest.approx(2 / 3)  # 1/2 and 2/3, interpolated to 2/3 twice
    assert measured([video], [after])["jump"][0] == 1.0


def test_classes_without_actions_are_not_in_the_mean_and_their_predictions_are_counted():
    metrics = LocalizationMetrics(LABELS, (0.5,))
    metrics.add(ActionVideo("a", Path("a.mp4"), None, (Action("jump", 0.0, 1.0),)), {"run": [(0.0, 1.0, 0.5)]})
    assert metrics.average_precisions() == {"jump": (0.0,)}
    assert metrics.num_actions == {"jump": 1, "run": 0}
    assert metrics.num_predictions == 1


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        ((1.0, 2.0), r"must be \(start, end, score\)"),
        ((2.0, 1.0, 0.5), "must be finite and not reversed, got 2.0 to 1.0 s"),
        ((0.0, float("inf"), 0.5), "must be finite"),
        ((0.0, 1.0, float("nan")), "must be finite"),
    ],
)
def test_invalid_segments_are_refused_and_not_counted(segment, reason):
    metrics = LocalizationMetrics(LABELS, (0.5,))
    video = ActionVideo("a", Path("a.mp4"), None, (Action("jump", 0.0, 1.0),))
    with pytest.raises(ValueError, match=reason):
        metrics.add(video, {"jump": [(0.0, 1.0, 0.5)], "run": [segment]})
    assert metrics.num_predictions == 0 and metrics.average_precisions() == {}


def test_wrong_calls_are_refused():
    with pytest.raises(ValueError, match=r"each in \(0, 1\]"):
        LocalizationMetrics(LABELS, (0.0,))
    with pytest.raises(ValueError, match="thresholds must be at least one"):
        LocalizationMetrics(LABELS, ())
    with pytest.raises(ValueError, match="each once"):
        LocalizationMetrics(("jump", "jump"), (0.5,))
    with pytest.raises(ValueError, match=r"no classes \['swim'\] among the 2"):
        LocalizationMetrics(LABELS, (0.5,)).add(ActionVideo("a", Path("a"), None, ()), {"swim": []})
