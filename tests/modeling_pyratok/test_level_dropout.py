"""The levels that a sample keeps are a pure function of its seed."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyratok.modeling_pyratok.level_dropout import PREVIEW_SHARE, level_subset, level_subsets

seeds = st.integers(0, 2**62)


@given(seeds, st.integers(2, 6))
def test_a_subset_is_proper_and_not_empty_and_a_seed_repeats(seed, levels):
    kept = level_subset(seed, levels, 1.0)
    assert 0 < kept.sum() < levels
    assert kept.tolist() == level_subset(seed, levels, 1.0).tolist()
    assert level_subset(seed, levels, 0.0).all() and level_subset(seed, 1, 1.0).all()


def test_how_often_levels_are_left_out():
    kept = Counter(map(tuple, level_subsets(range(6000), 4, 0.3).tolist()))
    assert kept[True, True, True, True] / 6000 == pytest.approx(0.7, abs=0.02)
    assert len(kept) == 15
    coarsest = [(False,) * left_out + (True,) * (4 - left_out) for left_out in (1, 2, 3)]
    for subset in coarsest:
        assert kept[subset] / 6000 == pytest.approx(0.3 * (PREVIEW_SHARE / 3 + (1 - PREVIEW_SHARE) / 14), abs=0.012)
