"""Pictures to look at: the original beside its reconstruction, and a contact sheet of both over a whole clip."""

from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw, ImageFont

GAP = 4
"""Pixels between pictures."""

BACKGROUND = 24
"""Grey level, of 255, of gaps and margins."""

CELL_WIDTH = 320
"""A contact sheet's pictures are at most this wide and high; smaller frames keep their size."""

LABEL_HEIGHT = 16


def side_by_side(original: torch.Tensor, reconstruction: torch.Tensor) -> torch.Tensor:
    """Two uint8 frames (H, W, 3) as one (H, 2 W + 4, 3), the original on the left."""
    gap = original.new_full((original.shape[0], GAP, 3), BACKGROUND)
    return torch.cat((original, gap, reconstruction), dim=1)


@dataclass(frozen=True)
class _Sample:
    """One moment of the clip: its frame number (from 0) and both pictures, scaled down to fit a cell."""

    index: int
    original: Image.Image
    reconstruction: Image.Image


class ContactSheet:
    """Collects N evenly spaced moments of a clip whose length is not known beforehand, in bounded memory.

    Every `stride`-th frame is kept; when more than 4 N are, every other one is let go and the stride doubles. So at
    most 4 N + 1 small pictures are held, and those shown lie within a quarter of their distance from even spacing.

    Args:
        columns: N, the moments that are shown at most; a shorter clip shows all of its frames.
    """

    def __init__(self, columns: int = 6) -> None:
        if columns < 1:
            raise ValueError(f"a contact sheet has at least one column, got {columns}")
        self.columns = columns
        self._stride = 1
        self._frames = 0
        self._samples: list[_Sample] = []
        self._last: tuple[torch.Tensor, torch.Tensor] | None = (
            None  # of the newest frame, in case it is the clip's last
        )

    def add(self, original: torch.Tensor, reconstruction: torch.Tensor) -> None:
        """Add the next frame: two uint8 pictures (H, W, 3)."""
        self._last = (original, reconstruction)
        if self._frames % self._stride == 0:
            self._samples.append(_sample(self._frames, original, reconstruction))
            if len(self._samples) > 4 * self.columns:
                self._samples = self._samples[::2]
                self._stride *= 2
        self._frames += 1

    def picture(self) -> Image.Image:
        """The sheet: a column per moment, the original above the reconstruction, the frame number (from 0) above both.

        The first column is the first frame and the last column the last one. Raises ValueError if there was no frame.
        """
        chosen = self._chosen()
        width, height = chosen[0].original.size
        sheet_size = (len(chosen) * (width + GAP) + GAP, LABEL_HEIGHT + 2 * (height + GAP))
        sheet = Image.new("RGB", sheet_size, (BACKGROUND,) * 3)
        pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
        for column, sample in enumerate(chosen):
            left = GAP + column * (width + GAP)
            pen.text((left, 1), str(sample.index), fill=(230,) * 3, font=font)
            sheet.paste(sample.original, (left, LABEL_HEIGHT))
            sheet.paste(sample.reconstruction, (left, LABEL_HEIGHT + height + GAP))
        return sheet

    def _chosen(self) -> list[_Sample]:
        """The samples nearest to evenly spaced positions from the first frame to the last."""
        if self._last is None:
            raise ValueError("a contact sheet needs at least one frame")
        samples = self._samples
        if samples[-1].index != self._frames - 1:
            samples = [*samples, _sample(self._frames - 1, *self._last)]
        columns = min(self.columns, self._frames)
        if columns == 1:
            return samples[:1]
        positions = [column * (self._frames - 1) / (columns - 1) for column in range(columns)]
        return [min(samples, key=lambda sample: abs(sample.index - position)) for position in positions]


def _sample(index: int, original: torch.Tensor, reconstruction: torch.Tensor) -> _Sample:
    return _Sample(index, _thumbnail(original), _thumbnail(reconstruction))


def _thumbnail(frame: torch.Tensor) -> Image.Image:
    """A uint8 frame (H, W, 3) as a picture that fits a cell."""
    picture = Image.fromarray(frame.cpu().numpy())
    picture.thumbnail((CELL_WIDTH, CELL_WIDTH), Image.Resampling.LANCZOS)
    return picture
