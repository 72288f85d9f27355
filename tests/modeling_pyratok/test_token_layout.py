import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyratok.modeling_pyratok.errors import PyraTokError
from pyratok.modeling_pyratok.token_layout import MAX_LEVELS, MAX_TOKENS, TokenLayout, whole_number

STRIDES = ((4, 8), (4, 8), (2, 16), (1, 32))


def test_lists_become_tuples_and_the_multiple_is_filled_in():
    layout = TokenLayout([17, 100, 70], [list(stride) for stride in STRIDES], 16)
    assert layout == TokenLayout((17, 100, 70), STRIDES, 16, 32)
    assert layout.grids == ((5, 16, 12), (5, 16, 12), (9, 8, 6), (17, 4, 3))


@given(st.tuples(st.integers(1, 40), st.integers(1, 300), st.integers(1, 300)))
def test_counts_what_the_grids_hold(video_size):
    layout = TokenLayout(video_size, STRIDES, 16)
    assert layout.count_tokens((1, 4)) == math.prod(layout.grids[0]) + math.prod(layout.grids[3])


@pytest.mark.parametrize(
    "video_size",
    [
        (0, 1, 1),
        (1, -5, 1),
        (1, 1),
        (1, 1, 1, 1),
        (1.0, 2, 3),
        (True, 2, 3),
        "123",
        None,
        5,
        (1, 1, 2**31),
        ([1], 1, 1),
    ],
)
def test_refuses_video_sizes(video_size):
    with pytest.raises(PyraTokError, match="video_size"):
        TokenLayout(video_size, STRIDES, 16)


@pytest.mark.parametrize(
    "strides",
    [(), ((4, 8),) * (MAX_LEVELS + 1), ((3, 8),), ((8, 8),), ((4, 0),), ((4, 8, 8),), (4, 8), None, ((4, 2**16 + 1),)],
)
def test_refuses_strides(strides):
    with pytest.raises(PyraTokError, match="stride"):
        TokenLayout((1, 1, 1), strides, 16)


def test_refuses_strides_without_a_sane_common_multiple():
    with pytest.raises(PyraTokError, match="no common multiple"):
        TokenLayout((1, 1, 1), ((4, 65535), (4, 65534)), 16)


@pytest.mark.parametrize("bits", [0, 63, -1, 16.0, True, None, "16", 10**100])
def test_refuses_bits(bits):
    with pytest.raises(PyraTokError, match="codebook_bits is a whole number from 1 to 62"):
        TokenLayout((1, 1, 1), STRIDES, bits)


@pytest.mark.parametrize("multiple", [0, 8, 48, 2**17, 32.0, "32"])
def test_refuses_multiples_that_do_not_fit(multiple):
    with pytest.raises(PyraTokError, match="spatial_multiple"):
        TokenLayout((1, 1, 1), STRIDES, 16, multiple)


def test_bounds_the_number_of_tokens_that_are_there():
    layout = TokenLayout((1, 2**20, 2**20), ((4, 16), (4, 2**16)), 16)
    assert layout.count_tokens((2,)) == 256
    with pytest.raises(PyraTokError, match=f"at most {MAX_TOKENS}"):
        layout.count_tokens((1, 2))


@pytest.mark.parametrize("levels", [(), (0,), (5,), (1, 1), (1.0,), "1", 3, (True,)])
def test_refuses_levels(levels):
    with pytest.raises(PyraTokError, match="order"):
        TokenLayout((1, 1, 1), STRIDES, 16).check_levels(levels, "order")


def test_a_long_wrong_value_does_not_flood_the_sentence():
    with pytest.raises(PyraTokError) as caught:
        whole_number("x" * 10_000, "n", 1, 2)
    assert len(str(caught.value)) < 300
