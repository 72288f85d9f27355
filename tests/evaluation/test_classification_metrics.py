"""Accuracy of classification, against plain computations."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyratok.evaluation.classification_metrics import (
    chance_figures,
    classification_figures,
    frequency_figures,
    predicted_labels,
)


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N, K), all distinct within a row, and targets (N,)."""
    count, labels = draw(st.integers(1, 12)), draw(st.integers(2, 9))
    scores = np.array([draw(st.permutations(range(labels))) for _ in range(count)]) / labels - 0.3
    targets = np.array(draw(st.lists(st.integers(0, labels - 1), min_size=count, max_size=count)))
    return scores, targets


@settings(max_examples=150, deadline=None)
@given(problems())
def test_equals_a_plain_computation(problem):
    scores, targets = problem
    figures = classification_figures(scores, targets)
    ranks = np.array([(row > row[target]).sum() for row, target in zip(scores, targets, strict=True)])
    assert figures.top_1 == pytest.approx((ranks == 0).mean(), abs=1e-6)
    if scores.shape[1] > 5:
        assert figures.top_5 == pytest.approx((ranks < 5).mean(), abs=1e-6)
    else:
        assert figures.top_5 is None
    shares = [(ranks[targets == label] == 0).mean() for label in np.unique(targets)]
    assert figures.mean_per_class == pytest.approx(np.mean(shares), abs=1e-6)


def test_an_uneven_set_shows_the_difference_of_the_means():
    targets = np.array([0] * 9 + [1])
    scores = np.tile([1.0, 0.0], (10, 1))
    figures = classification_figures(scores, targets)
    assert (figures.top_1, figures.mean_per_class) == (0.9, 0.5)


def test_equal_scores_are_ranked_one_way_everywhere():
    scores, targets = np.zeros((7, 7)), np.arange(7)
    assert predicted_labels(scores).tolist() == [6] * 7
    figures = classification_figures(scores, targets)
    assert (figures.top_1, figures.top_5) == pytest.approx((1 / 7, 5 / 7))


def test_labels_that_no_video_has_and_single_labels_bring_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = classification_figures(np.eye(8)[[7, 0]], np.array([7, 7]))
        assert classification_figures(np.eye(8)[[3]], np.array([3])).top_1 == 1.0
    assert (figures.top_1, figures.top_5, figures.mean_per_class) == (0.5, 1.0, 0.5)


def test_chance_is_what_random_scores_have():
    draws = np.random.default_rng(0)
    targets = draws.integers(0, 8, 20_000)
    random = classification_figures(draws.random((20_000, 8)), targets)
    chance = chance_figures(8)
    for name in ("top_1", "top_5", "mean_per_class"):
        assert getattr(random, name) == pytest.approx(getattr(chance, name), abs=0.02)
    assert chance_figures(4).top_5 is None


def test_the_most_frequent_labels_come_first():
    targets = np.array([2, 2, 2, 0, 1, 6])
    figures = frequency_figures([1, 2, 9, 8, 7, 6, 0], targets)
    assert figures.top_1 == 0.5  # label 2
    assert figures.top_5 == pytest.approx(4 / 6)  # 2, 3, 4, 5, 1
    assert figures.mean_per_class == 0.25


@pytest.mark.parametrize(
    ("scores", "targets", "reason"),
    [
        (np.zeros((3, 1)), np.zeros(3, int), "scores must be"),
        (np.zeros((0, 4)), np.zeros(0, int), "scores must be"),
        (np.zeros((3, 4)), np.zeros(2, int), "scores must be"),
        (np.full((1, 4), np.nan), np.zeros(1, int), "scores must be finite"),
        (np.zeros((2, 4)), np.array([0, 4]), r"targets must lie in \[0, 4\), got 0 to 4"),
        (np.zeros((2, 4)), np.array([-1, 0]), r"targets must lie in \[0, 4\), got -1 to 0"),
    ],
)
def test_wrong_calls_are_refused(scores, targets, reason):
    with pytest.raises(ValueError, match=reason):
        classification_figures(scores, targets)
