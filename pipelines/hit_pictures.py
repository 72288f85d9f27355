"""Pictures of what a search has found, decoded from tokens alone."""

import itertools
from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont

from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.video_tokens import VideoTokens
from .pictures import BACKGROUND, CELL_WIDTH, GAP, LABEL_HEIGHT
from .token_streams import decoded_frames

LATEST_FRAME = 128
"""A frame is decoded from all that come before it: of a long film this one, from 0, stands for the middle."""

COLUMNS = 2
"""Hits in a row of a sheet."""

INK = (230,) * 3


@torch.no_grad()
def preview_frames(model: PyraTokModel, tokens: VideoTokens) -> list[torch.Tensor]:
    """The first frame and the middle one, or of a long film frame 128: uint8 (H, W, 3) on the CPU. Of a picture itself alone.

    Raises TokenFileError for tokens of other weights or another layout.
    """
    tokens.check_fits(model)
    wanted = sorted({0, min(tokens.video_size[0] // 2, LATEST_FRAME)})
    frames = itertools.islice(decoded_frames(model, tokens), wanted[-1] + 1)
    return [frame.clone() for index, frame in enumerate(frames) if index in wanted]  # without the rest of their chunks


def hit_sheet(hits: Sequence[tuple[str, Sequence[torch.Tensor]]]) -> Image.Image:
    """One picture of all hits, left to right and down: the frames of each, uint8 (H, W, 3), and its label under them.

    Frames are scaled down to fit a cell. Raises ValueError if there is no hit.
    """
    if not hits:
        raise ValueError("a sheet needs at least one hit")
    cells = [(label, [_thumbnail(frame) for frame in frames]) for label, frames in hits]
    width = max(picture.width for _, pictures in cells for picture in pictures)
    height = max(picture.height for _, pictures in cells for picture in pictures)
    across = max(len(pictures) for _, pictures in cells)
    cell = (across * (width + GAP), height + LABEL_HEIGHT + GAP)
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * cell[0] + GAP, rows * cell[1] + GAP), (BACKGROUND,) * 3)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    for index, (label, pictures) in enumerate(cells):
        left, top = GAP + index % columns * cell[0], GAP + index // columns * cell[1]
        for place, picture in enumerate(pictures):
            sheet.paste(picture, (left + place * (width + GAP), top))
        pen.text((left, top + height + 1), _shortened(label, font, cell[0] - 2 * GAP), fill=INK, font=font)
    return sheet


def _shortened(label: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The label, cut so that it fits."""
    if font.getlength(label) <= width:
        return label
    while label and font.getlength(f"{label} ...") > width:
        label = label[:-1]
    return f"{label} ..."


def _thumbnail(frame: torch.Tensor) -> Image.Image:
    """A uint8 frame (H, W, 3) as a picture that fits a cell."""
    picture = Image.fromarray(frame.numpy())
    picture.thumbnail((CELL_WIDTH, CELL_WIDTH), Image.Resampling.LANCZOS)
    return picture
