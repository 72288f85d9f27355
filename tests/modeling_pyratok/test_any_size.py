"""Videos of any length and size keep their shape, and no frame is dropped."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyratok import PyraTokConfig
from pyratok.modeling_pyratok.token_grids import level_grids, pad_space, padded_size, reflected_indices

FULL = PyraTokConfig()
SIZES = st.tuples(st.integers(1, 40), st.integers(16, 300), st.integers(16, 300))


@settings(max_examples=500, deadline=None)
@given(size=SIZES)
def test_grids_cover_the_video_and_no_more_than_needed(size):
    for config in (FULL, PyraTokConfig.tiny()):
        padded = padded_size(size, config.spatial_multiple)
        assert padded[0] % 4 == 1 and 0 <= padded[0] - size[0] < 4
        for have, want in zip(padded[1:], size[1:], strict=True):
            assert have % config.spatial_multiple == 0 and 0 <= have - want < config.spatial_multiple
        grids = level_grids(size, config.level_strides, config.spatial_multiple)
        for (t, s), grid in zip(config.level_strides, grids, strict=True):
            assert (1 + (grid[0] - 1) * t, grid[1] * s, grid[2] * s) == padded


@settings(max_examples=300, deadline=None)
@given(size=st.integers(1, 50), extra=st.integers(0, 200))
def test_reflection_walks_to_and_fro(size, extra):
    indices = reflected_indices(size, size + extra).tolist()
    assert indices[:size] == list(range(size))
    assert all(0 <= index < size for index in indices)
    steps = {abs(a - b) for a, b in zip(indices, indices[1:], strict=False)}
    assert steps <= ({0} if size == 1 else {1})


def test_reflection_equals_torch_where_torch_can():
    video = torch.randn(2, 3, 20, 27)
    expected = torch.nn.functional.pad(video, (0, 5, 0, 12), mode="reflect")
    assert torch.equal(pad_space(video, 32), expected)


def check_round_trip(model, size, chunk_frames=16):
    frames, height, width = size
    video = torch.rand(1, frames, 3, height, width) * 2 - 1
    encoded = model.encode(video, chunk_frames=chunk_frames)
    assert encoded.video_size == size
    decoded = model.decode(encoded.video_codes, size, chunk_frames=chunk_frames).video_values
    assert decoded.shape == video.shape
    assert decoded.isfinite().all() and decoded.abs().max() <= 1


@settings(max_examples=25, deadline=None)
@given(size=st.tuples(st.integers(1, 13), st.integers(1, 96), st.integers(1, 96)))
def test_model_restores_any_size(size):
    torch.manual_seed(0)
    from pyratok import PyraTokModel

    check_round_trip(PyraTokModel(PyraTokConfig.tiny()).eval(), size)


@pytest.mark.parametrize("size", [(1, 16, 16), (40, 299, 300), (8, 17, 255)])
def test_model_restores_the_corners(tiny_model, size):
    check_round_trip(tiny_model, size)


def test_the_padding_of_a_video_is_that_of_its_padded_copy(tiny_model):
    """A video that needs padding has the codes of the same video padded by hand."""
    video = torch.rand(1, 6, 3, 20, 40) * 2 - 1
    by_hand = torch.cat([video, video[:, -1:].expand(-1, 3, -1, -1, -1)], dim=1)
    by_hand = torch.nn.functional.pad(by_hand[0], (0, 24, 0, 12), mode="reflect")[None]
    for one, other in zip(tiny_model.encode(video).video_codes, tiny_model.encode(by_hand).video_codes, strict=True):
        assert torch.equal(one, other)
