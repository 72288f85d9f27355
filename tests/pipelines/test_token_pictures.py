"""Pictures of tokens: the same colour for the same code, where the code's pixels are."""

import numpy as np
import pytest
import torch
from token_examples import make_tokens

from pyratok.pipelines.token_pictures import code_colours, first_middle_last, token_frame, token_picture


def test_each_of_all_codes_of_16_bits_has_a_colour_of_its_own():
    colours = code_colours(torch.arange(2**16), 16)
    assert colours.shape == (2**16, 3) and colours.dtype == torch.uint8
    assert len(torch.unique(colours, dim=0)) == 2**16
    assert colours[0].tolist() == [0, 0, 0] and colours[-1].tolist() == [255, 255, 255]


@pytest.mark.parametrize("bits", [1, 2, 3, 40])
def test_few_and_many_bits_have_colours(bits):
    colours = code_colours(torch.tensor([0, 2**bits - 1]), bits)
    assert colours[0].tolist() == [0, 0, 0] and colours[1].max() == 255


@pytest.mark.parametrize(("level", "side"), [(1, 8), (3, 16)])
def test_a_code_fills_the_pixels_and_the_frames_that_it_stands_for(level, side):
    tokens = make_tokens(video_size=(9, 40, 50))
    for frame, group in ((0, 0), (1, 1), (4, 1), (5, 2), (8, 2)):  # the first frame alone, then groups of four
        picture = token_frame(tokens, level, frame)
        assert picture.shape == (40, 50, 3)
        for row, column in ((0, 0), (39, 49), (17, 30)):
            code = tokens.video_codes[level - 1][0, group, row // side, column // side]
            assert torch.equal(picture[row, column], code_colours(code, 16))


def test_maps_of_several_frames_stand_side_by_side():
    tokens = make_tokens(video_size=(9, 40, 50))
    picture = np.asarray(token_picture(tokens, 2, (0, 4, 8)))
    assert picture.shape == (40, 3 * 50 + 2 * 4, 3)
    for column, frame in enumerate((0, 4, 8)):
        assert (picture[:, column * 54 : column * 54 + 50] == token_frame(tokens, 2, frame).numpy()).all()


@pytest.mark.parametrize(("frames", "chosen"), [(1, (0,)), (2, (0, 1)), (3, (0, 1, 2)), (9, (0, 4, 8))])
def test_first_middle_and_last_frame(frames, chosen):
    assert first_middle_last(frames) == chosen


def test_levels_and_frames_that_are_not_there():
    tokens = make_tokens(levels=(3, 4))
    with pytest.raises(ValueError, match="not 1"):
        token_frame(tokens, 1, 0)
    with pytest.raises(ValueError, match="frames 0 to 8, not 9"):
        token_frame(tokens, 4, 9)
