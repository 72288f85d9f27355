"""J against scikit-learn, F against a plain computation by distances between single pixels."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from segmentation_examples import blobs
from sklearn.metrics import jaccard_score

from pyratok import PyraTokError
from pyratok.evaluation.chance_jaccard import RegionSizes, chance_jaccard, foreground_share
from pyratok.evaluation.segmentation_metrics import boundary_f_per_frame, jaccard_per_frame, jaccard_pooled

SIZES = arrays.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9)


@st.composite
def masks_of_one_size(draw, count: int) -> list[np.ndarray]:
    """Bool arrays (T, H, W): some ragged, some all of one value."""
    size = draw(SIZES)
    filled = st.booleans().map(lambda value: np.full(size, value))
    return [draw(st.one_of(arrays.arrays(bool, size), filled)) for _ in range(count)]


@settings(max_examples=40, deadline=None)
@given(masks_of_one_size(3))
def test_jaccard_is_that_of_scikit_learn(masks):
    predicted, truth, void = masks
    for hidden in (None, void):
        known = np.ones_like(truth) if hidden is None else ~hidden
        expected = [
            jaccard_score(t[k], p[k], zero_division=1.0) if k.any() else 1.0
            for p, t, k in zip(predicted, truth, known, strict=True)
        ]
        found = jaccard_per_frame(predicted, truth, hidden)
        assert found.dtype == np.float64
        assert found == pytest.approx(expected, abs=1e-6)
        pooled = jaccard_score(truth[known], predicted[known], zero_division=1.0) if known.any() else 1.0
        assert jaccard_pooled(predicted, truth, hidden) == pytest.approx(pooled, abs=1e-6)


def plain_boundary(mask: np.ndarray) -> list[tuple[int, int]]:
    """The pixels of a list of rows that differ from a neighbour to the right, below, or below on the right."""
    height, width = mask.shape
    neighbours = ((0, 1), (1, 0), (1, 1))
    return [
        (y, x)
        for y in range(height)
        for x in range(width)
        if any(mask[y, x] != mask[min(y + down, height - 1), min(x + right, width - 1)] for down, right in neighbours)
    ]


def plain_f(predicted: np.ndarray, truth: np.ndarray) -> float:
    reach = math.ceil(0.008 * math.sqrt(predicted.shape[0] ** 2 + predicted.shape[1] ** 2))
    ours, theirs = plain_boundary(predicted), plain_boundary(truth)
    if not ours or not theirs:
        return float(len(ours) == len(theirs))

    def share(these: list, those: list) -> float:
        return sum(any(math.dist(one, other) <= reach for other in those) for one in these) / len(these)

    precision, recall = share(ours, theirs), share(theirs, ours)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@settings(max_examples=60, deadline=None)
@given(masks_of_one_size(3))
def test_boundary_f_is_that_of_distances_between_pixels(masks):
    predicted, truth, void = masks
    expected = [plain_f(p, t) for p, t in zip(predicted, truth, strict=True)]
    assert boundary_f_per_frame(predicted, truth) == pytest.approx(expected, abs=1e-6)
    expected = [plain_f(p & ~v, t & ~v) for p, t, v in zip(predicted, truth, void, strict=True)]
    assert boundary_f_per_frame(predicted, truth, void) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("size", [(70, 120), (130, 260)])  # reaches of 2 and 3 pixels
def test_boundary_f_of_larger_shapes(size):
    rows, columns = np.mgrid[: size[0], : size[1]]
    disk = (rows - 33) ** 2 + (columns - 50) ** 2 < 25**2
    other = (rows - 35) ** 2 + 1.2 * (columns - 47) ** 2 < 24**2
    other[60:68, 90:110] = True
    figure = plain_f(other, disk)
    assert 0.3 < figure < 0.9
    assert boundary_f_per_frame(other[None], disk[None]) == pytest.approx([figure], abs=1e-6)


def test_the_tolerance_of_a_frame_of_480_rows_is_8_pixels():
    truth = np.zeros((1, 480, 854), bool)
    truth[0, 100:300, 200:600] = True
    assert boundary_f_per_frame(np.roll(truth, 8, axis=1), truth) == pytest.approx([1])
    assert boundary_f_per_frame(np.roll(truth, 9, axis=1), truth) < 0.5


def test_frames_without_the_object():
    empty, full, blob = np.zeros((1, 9, 9), bool), np.ones((1, 9, 9), bool), blobs(1, 9, 9)
    assert jaccard_per_frame(empty, empty) == boundary_f_per_frame(empty, empty) == jaccard_pooled(empty, empty) == 1
    assert (
        jaccard_per_frame(blob, empty) == boundary_f_per_frame(blob, empty) == boundary_f_per_frame(empty, blob) == 0
    )
    assert boundary_f_per_frame(full, full) == 1


@settings(max_examples=60, deadline=None)
@given(masks_of_one_size(2))
def test_figures_lie_between_0_and_1_and_do_not_depend_on_the_order(masks):
    one, other = masks
    for figure in (jaccard_per_frame, boundary_f_per_frame):
        assert np.array_equal(figure(one, other), figure(other, one))
        assert ((figure(one, other) >= 0) & (figure(one, other) <= 1)).all()
        assert (figure(one, one) == 1).all()


@pytest.mark.parametrize("figure", [jaccard_per_frame, jaccard_pooled, boundary_f_per_frame])
def test_wrong_arrays_are_refused(figure):
    masks = blobs(2, 5, 6)
    with pytest.raises(ValueError, match=r"predicted bool \(2, 5, 5\) and truth \(2, 5, 6\)"):
        figure(masks[..., :5], masks)
    with pytest.raises(ValueError, match="got truth uint8"):
        figure(masks, masks.astype(np.uint8))
    with pytest.raises(ValueError, match=r"got void bool \(1, 5, 6\)"):
        figure(masks, masks, masks[:1])
    with pytest.raises(ValueError, match=r"predicted bool \(5, 6\)"):
        figure(masks[0], masks[0])


def test_without_scipy_the_extra_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "scipy"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(PyraTokError, match="needs scipy.* extra `evaluate`"):
        boundary_f_per_frame(blobs(1, 9, 9), np.roll(blobs(1, 9, 9), 2))


def test_chance_is_what_random_masks_reach_on_average():
    generator = np.random.default_rng(0)
    truths = [blobs(3, 30, 40, seed=1), blobs(2, 25, 50, seed=2)]
    truths[0][1] = False
    void = np.zeros((3, 30, 40), bool)
    void[:, :7] = True
    regions = [RegionSizes.from_masks(truths[0], void), RegionSizes.from_masks(truths[1])]
    shares = [truths[0][:, 7:].mean(), truths[1].mean()]
    assert foreground_share(regions) == pytest.approx(np.mean(shares))
    for share in (0.02, foreground_share(regions), 0.7):
        drawn = [
            np.mean(
                [
                    jaccard_per_frame(generator.random(truths[0].shape) < share, truths[0], void).mean(),
                    jaccard_per_frame(generator.random(truths[1].shape) < share, truths[1]).mean(),
                ]
            )
            for _ in range(300)
        ]
        assert chance_jaccard(regions, share) == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / 300**0.5 + 1e-3)


def test_chance_at_its_ends():
    masks = np.zeros((2, 2, 2), bool)
    masks[0, 0, 0] = True
    regions = [RegionSizes.from_masks(masks)]
    assert chance_jaccard(regions, 0.0) == 0.5  # right where nothing is
    assert chance_jaccard(regions, 1.0) == pytest.approx(0.25 / 2)
    assert chance_jaccard(regions, 0.5) == pytest.approx((0.5 / (1 + 0.5 * 3) + 0.5**4) / 2)
    assert math.isnan(foreground_share([]))
    assert math.isnan(chance_jaccard([], 0.5))
