"""The rivals: what comes back, in which colours, and what is counted."""

import math

import pytest
import torch
from small_films import moving_square
from video_codecs import jpeg, video_codecs

from pyratok import read_video

CODECS = {**video_codecs(), "JPEG": jpeg}
BEST_TO_WORST = {"H.264": (1, 24, 45), "H.265": (1, 24, 45), "JPEG": (95, 50, 5)}


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return -10 * math.log10(((a.float() - b.float()) / 255).square().mean().item())


@pytest.fixture(scope="module")
def frames(clips) -> torch.Tensor:
    return read_video(clips["bunny"])[0][:6, :96, :128].clone()


@pytest.mark.parametrize("name", CODECS)
def test_fewer_bytes_are_worse_frames(name, frames):
    results = [CODECS[name](frames, quality) for quality in BEST_TO_WORST[name]]
    sizes = [size for size, _ in results]
    qualities = [psnr(frames, torch.stack(decoded)) for _, decoded in results]
    assert sizes == sorted(sizes, reverse=True) and qualities == sorted(qualities, reverse=True)
    assert qualities[0] > 38 and qualities[0] - qualities[2] > 10


@pytest.mark.parametrize("name", CODECS)
def test_flat_colours_come_back(name):
    """A wrong matrix or range would be off by ten and more."""
    for colour in ((200, 40, 0), (0, 90, 220), (255, 255, 255), (0, 0, 0)):
        flat = torch.tensor(colour, dtype=torch.uint8).expand(3, 32, 48, 3).contiguous()
        _, decoded = CODECS[name](flat, BEST_TO_WORST[name][0])
        assert (torch.stack(decoded).int() - flat.int()).abs().max() <= 4


@pytest.mark.parametrize("name", CODECS)
def test_odd_sizes_and_single_frames(name):
    for film in (moving_square(4, 37, 51), moving_square(1, 38, 52)):
        _, decoded = CODECS[name](film, BEST_TO_WORST[name][1])
        assert [frame.shape for frame in decoded] == [frame.shape for frame in film]


@pytest.mark.parametrize("name", video_codecs())
def test_what_the_encoder_says_of_itself_is_not_counted(name):
    """x264's and x265's notes alone take more than 500 bytes."""
    size, _ = CODECS[name](torch.full((2, 32, 32, 3), 128, dtype=torch.uint8), 40)
    assert 0 < size < 250
