"""Maps of how well places fit texts, and the pixels that they stand for."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_language import tiny_alignment

from pyratok.modeling_pyratok.binary_codebook import codes_to_bits
from pyratok.modeling_pyratok.text_similarity import otsu_threshold, pixel_maps, similarity_maps, token_frames
from pyratok.modeling_pyratok.token_grids import level_grids


def test_maps_are_the_cosines_of_features_with_texts():
    alignment = tiny_alignment()
    grids = level_grids((21, 40, 64), alignment.config.level_strides, 32)
    codes = [torch.randint(2**16, (1, *grid)) for grid in grids]
    text = torch.randn(3, 12)
    maps = similarity_maps(alignment, codes, text)
    with torch.no_grad():
        features = alignment.features([codes_to_bits(level, 16) for level in codes])[0]
    torch.testing.assert_close(maps, F.cosine_similarity(features[None], text[:, None, None, None], dim=-1))
    one = similarity_maps(alignment, codes, text, (4,))
    torch.testing.assert_close(one, similarity_maps(alignment, [None, None, None, codes[3]], 5 * text))
    with pytest.raises(ValueError, match="level"):
        similarity_maps(alignment, codes, text, (5,))


def test_a_place_stands_for_the_frames_and_pixels_that_it_covers():
    assert token_frames(10, 4).tolist() == [0, 1, 1, 1, 1, 2, 2, 2, 2, 3]
    maps = torch.arange(4.0).reshape(1, 4, 1, 1).expand(1, 4, 2, 3)
    pixels = pixel_maps(maps, (4, 16), (10, 20, 33))
    assert pixels.shape == (1, 10, 20, 33)
    assert pixels[0, :, 5, 7].tolist() == [0, 1, 1, 1, 1, 2, 2, 2, 2, 3]
    ramp = torch.tensor([[0.0, 16.0]]).reshape(1, 1, 1, 2)
    row = pixel_maps(ramp, (4, 16), (1, 16, 32))[0, 0, 0]
    torch.testing.assert_close(row[8:24], torch.arange(16) + 0.5)  # between the middles of the two places
    assert (row[:8] == 0).all() and (row[24:] == 16).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 40), st.integers(1, 40), st.data())
def test_parts_of_a_video_are_those_of_the_whole(frames, height, width, data):
    start = data.draw(st.integers(0, frames - 1))
    end = data.draw(st.integers(start + 1, frames))
    torch.manual_seed(0)
    maps = torch.rand(2, 1 + (frames + 2) // 4, -(-height // 8), -(-width // 8))
    whole = pixel_maps(maps, (4, 8), (frames, height, width))
    assert whole.shape == (2, frames, height, width)
    assert torch.equal(pixel_maps(maps, (4, 8), (frames, height, width), start, end), whole[:, start:end])
    assert maps.min() - 1e-6 <= whole.min() and whole.max() <= maps.max() + 1e-6


def best_split(values: list[float]) -> float:
    """The least variance within two classes that any threshold gives."""
    ordered = sorted(values)
    parts = [(ordered[:cut], ordered[cut:]) for cut in range(1, len(ordered))]
    spread = [sum(sum((v - sum(part) / len(part)) ** 2 for v in part) for part in pair) for pair in parts]
    return min(spread)


@given(st.lists(st.integers(-50, 50).map(float), min_size=2, max_size=12))
def test_the_threshold_splits_with_least_variance(values):
    threshold = float(otsu_threshold(torch.tensor([values]))[0])
    classes = [[v for v in values if v < threshold], [v for v in values if v >= threshold]]
    if len(set(values)) == 1:
        assert threshold == math.inf
    else:
        assert all(classes)
        within = sum(sum((v - sum(part) / len(part)) ** 2 for v in part) for part in classes)
        assert within == pytest.approx(best_split(values), abs=1e-3)


def test_each_row_has_its_own_threshold():
    values = torch.tensor([[0.0, 0.1, 0.9, 1.0], [5.0, 5.0, 5.0, 9.0]])
    assert otsu_threshold(values).tolist() == pytest.approx([0.5, 7.0])
    assert otsu_threshold(torch.ones(2, 1)).tolist() == [math.inf] * 2
