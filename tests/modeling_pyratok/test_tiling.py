"""Spatial tiles: they cover the frame, blend to one, and stream."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyratok.modeling_pyratok.tiling import blend_tiles, plan_tiles


@settings(max_examples=200, deadline=None)
@given(rows=st.integers(1, 20), columns=st.integers(1, 20), tile=st.integers(2, 8), data=st.data())
def test_tiles_cover_the_frame_and_overlap(rows, columns, tile, data):
    multiple = 16
    overlap = data.draw(st.integers(1, tile - 1))
    tiles = plan_tiles(rows * multiple, columns * multiple, tile * multiple, overlap * multiple, multiple)
    covered = torch.zeros(rows * multiple, columns * multiple)
    for part in tiles:
        assert part.top % multiple == part.left % multiple == 0
        assert part.height <= tile * multiple and part.width <= tile * multiple
        part.crop(covered, 1).add_(1)
    assert covered.min() >= 1
    starts = sorted({part.top for part in tiles})
    for one, other in zip(starts, starts[1:], strict=False):
        assert one + tile * multiple - other >= overlap * multiple


@pytest.mark.parametrize("stride", [1, 8, 16])
def test_blending_equal_tiles_gives_them_back(stride):
    frame = torch.randn(2, 3, 160 // stride, 224 // stride)
    tiles = plan_tiles(160, 224, 96, 32, 16)
    assert len(tiles) > 1
    joined = blend_tiles([tile.crop(frame, stride) for tile in tiles], tiles, stride)
    torch.testing.assert_close(joined, frame)


def test_blending_has_no_seams():
    """Two tiles of different constants join in a ramp without a jump."""
    tiles = plan_tiles(32, 96, 64, 32, 32)
    parts = [torch.full((1, tile.height, tile.width), float(index)) for index, tile in enumerate(tiles)]
    row = blend_tiles(parts, tiles, 1)[0, 0]
    assert row[0] == 0 and row[-1] == 1
    assert row.diff().max() < 0.05 and row.diff().min() >= 0


@pytest.mark.parametrize(("size", "overlap"), [(16, None), (70, None), (96, 96), (96, 0), (96, 20)])
def test_sizes_that_do_not_fit_are_refused(size, overlap):
    with pytest.raises(ValueError, match="multiple of 16"):
        plan_tiles(160, 160, size, overlap, 16)


def test_an_overlap_without_tiles_is_refused(tiny_model):
    with pytest.raises(ValueError, match="tile_overlap=16 needs a tile_size"):
        tiny_model.encode(torch.zeros(1, 1, 3, 32, 32), tile_overlap=16)


def test_tiles_stream_as_they_work_offline(tiny_model):
    video = torch.rand(1, 12, 3, 64, 130) * 2 - 1
    offline = tiny_model.encode(video, chunk_frames=4, tile_size=64)
    decoded = tiny_model.decode(offline.video_codes, offline.video_size, chunk_frames=4, tile_size=64).video_values
    pieces = list(tiny_model.encode_stream(video[0], chunk_frames=4, tile_size=64))
    for level, codes in enumerate(offline.video_codes):
        assert torch.equal(torch.cat([piece.video_codes[level] for piece in pieces], dim=1), codes)
    assert torch.equal(torch.cat(list(tiny_model.decode_stream(pieces, tile_size=64))), decoded[0])


def test_a_frame_that_fits_one_tile_is_not_changed(tiny_model):
    video = torch.rand(1, 5, 3, 50, 60) * 2 - 1
    one, other = tiny_model.encode(video), tiny_model.encode(video, tile_size=96)
    for codes, same in zip(one.video_codes, other.video_codes, strict=True):
        assert torch.equal(codes, same)
