"""Masks over frames."""

import pytest
import torch

from pyratok.pipelines.mask_pictures import mask_colour, overlaid, with_legend


def test_inside_is_tinted_the_edge_full_and_the_rest_as_it_was():
    frame = torch.full((9, 9, 3), 100, dtype=torch.uint8)
    mask = torch.zeros(1, 9, 9, dtype=torch.bool)
    mask[0, 2:7, 2:7] = True
    picture = overlaid(frame, mask)
    colour = torch.tensor(mask_colour(0))
    assert torch.equal(picture[~mask[0]], frame[~mask[0]])
    assert (picture[2, 2:7] == colour).all() and (picture[2:7, 6] == colour).all()
    assert torch.equal(picture[4, 4].int(), ((100 + colour) / 2).round().int())
    assert torch.equal(overlaid(frame, torch.zeros(2, 9, 9, dtype=torch.bool)), frame)
    whole = overlaid(frame, torch.ones(1, 9, 9, dtype=torch.bool))
    assert (whole == whole[0, 0]).all()  # the frame's own border is no edge


def test_the_later_mask_is_seen_and_colours_differ():
    frame, both = torch.zeros(5, 5, 3, dtype=torch.uint8), torch.ones(2, 5, 5, dtype=torch.bool)
    one = overlaid(frame, both[:1]).float().mean()
    assert overlaid(frame, both).float().mean() != one
    assert len({mask_colour(index) for index in range(40)}) == 40
    with pytest.raises(ValueError, match="do not fit a frame"):
        overlaid(frame, torch.ones(1, 4, 5, dtype=torch.bool))


def test_the_legend_is_below():
    frame = torch.full((10, 40, 3), 7, dtype=torch.uint8)
    picture = with_legend(frame, ("dog", "a very long word that does not fit"))
    assert picture.shape == (26, 40, 3) and torch.equal(picture[:10], frame)
    assert len(picture[10:].flatten(0, 1).unique(dim=0)) > 2
