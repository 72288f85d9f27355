"""Pictures of tokens: every code in a colour of its own, enlarged to the pixels that it stands for."""

from collections.abc import Sequence

import torch
from PIL import Image

from ..modeling_pyratok.video_tokens import VideoTokens
from .pictures import BACKGROUND, GAP


def code_colours(codes: torch.Tensor, codebook_bits: int) -> torch.Tensor:
    """Integers (...) in [0, 2**codebook_bits) -> uint8 (..., 3), the same colour for the same code everywhere.

    The bits take turns in red, green and blue, and the first ones weigh most: with up to 24 bits no two codes share a colour,
    and codes that differ in a late bit look alike.
    """
    colours = torch.zeros(*codes.shape, 3)
    for channel in range(3):
        bits = range(channel, codebook_bits, 3)
        for place, bit in enumerate(bits):
            colours[..., channel] += (codes >> bit & 1) * 2.0 ** (len(bits) - 1 - place)
        colours[..., channel] *= 255 / max(2 ** len(bits) - 1, 1)
    return colours.round().to(torch.uint8)


def token_frame(tokens: VideoTokens, level: int, frame: int) -> torch.Tensor:
    """uint8 (H, W, 3): the codes of `level` (1..L) that frame number `frame` (from 0) is decoded from, padding cut off.

    Raises ValueError for a level that is left out, or a frame that the video has not.
    """
    if level not in tokens.levels:
        raise ValueError(f"the tokens have the levels {tokens.levels}, not {level}")
    count, height, width = tokens.video_size
    if not 0 <= frame < count:
        raise ValueError(f"the video has the frames 0 to {count - 1}, not {frame}")
    temporal, spatial = tokens.level_strides[level - 1]
    codes = tokens.video_codes[level - 1][
        0, (frame + temporal - 1) // temporal
    ]  # the first frame is a group of its own
    pixels = code_colours(codes, tokens.codebook_bits)
    return pixels.repeat_interleave(spatial, 0).repeat_interleave(spatial, 1)[:height, :width].contiguous()


def token_picture(tokens: VideoTokens, level: int, frames: Sequence[int]) -> Image.Image:
    """The token maps of `level` at some frames, from left to right. Raises ValueError as `token_frame` does."""
    maps = [Image.fromarray(token_frame(tokens, level, frame).numpy()) for frame in frames]
    height, width = tokens.video_size[1:]
    sheet = Image.new("RGB", (len(maps) * (width + GAP) - GAP, height), (BACKGROUND,) * 3)
    for column, picture in enumerate(maps):
        sheet.paste(picture, (column * (width + GAP), 0))
    return sheet


def first_middle_last(frames: int) -> tuple[int, ...]:
    """Up to three frame numbers (from 0) that show how a video of so many frames goes on."""
    return tuple(sorted({0, frames // 2, frames - 1}))
