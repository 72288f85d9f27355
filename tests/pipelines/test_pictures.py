"""Side-by-side frames and contact sheets."""

import numpy as np
import pytest
import torch

from pyratok.pipelines.pictures import BACKGROUND, CELL_WIDTH, GAP, LABEL_HEIGHT, ContactSheet, side_by_side


def frame(value: int, height: int = 12, width: int = 16) -> torch.Tensor:
    return torch.full((height, width, 3), value, dtype=torch.uint8)


def columns_of(sheet: ContactSheet, width: int = 16) -> tuple[list[int], list[int]]:
    """The grey level of every column's upper and lower picture."""
    pixels = np.asarray(sheet.picture())
    count = (pixels.shape[1] - GAP) // (width + GAP)
    lefts = [GAP + column * (width + GAP) for column in range(count)]
    upper, lower = pixels[LABEL_HEIGHT + 2], pixels[-2 - GAP]
    return [int(upper[left + 2, 0]) for left in lefts], [int(lower[left + 2, 0]) for left in lefts]


def test_the_original_stands_left_of_the_reconstruction():
    picture = side_by_side(frame(10), frame(200))
    assert picture.shape == (12, 2 * 16 + GAP, 3) and picture.dtype == torch.uint8
    assert (picture[:, :16] == 10).all() and (picture[:, 16 : 16 + GAP] == BACKGROUND).all()
    assert (picture[:, 16 + GAP :] == 200).all()


@pytest.mark.parametrize("frames", [1, 2, 4, 5, 17, 63, 200])
def test_moments_are_evenly_spaced_from_first_to_last(frames):
    sheet = ContactSheet(columns=4)
    for index in range(frames):
        sheet.add(frame(index), frame(255 - index))
    upper, lower = columns_of(sheet)
    assert len(upper) == min(4, frames)
    assert lower == [255 - value for value in upper]
    assert upper[0] == 0 and upper[-1] == frames - 1
    distance = (frames - 1) / max(1, len(upper) - 1)
    for column, index in enumerate(upper):
        assert abs(index - column * distance) <= distance / 4 + 0.5


def test_memory_does_not_grow_with_the_clip():
    sheet = ContactSheet(columns=3)
    for index in range(1000):
        sheet.add(frame(index % 256, 2, 2), frame(0, 2, 2))
        assert len(sheet._samples) <= 4 * 3


def test_large_frames_are_scaled_down_and_keep_their_shape():
    sheet = ContactSheet(columns=2)
    for _ in range(2):
        sheet.add(frame(50, 1080, 1920), frame(60, 1080, 1920))
    assert sheet.picture().size == (2 * (CELL_WIDTH + GAP) + GAP, LABEL_HEIGHT + 2 * (180 + GAP))


def test_no_frame_and_no_column_are_refused():
    with pytest.raises(ValueError, match="at least one frame"):
        ContactSheet().picture()
    with pytest.raises(ValueError, match="at least one column"):
        ContactSheet(columns=0)
