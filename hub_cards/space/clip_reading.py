"""A visitor's file into frames: checked against the limits, before and while it is read."""

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from clip_limits import MAX_FILE_BYTES, MAX_FRAME_PIXELS, MAX_FRAMES, MAX_SECONDS, WORK_PIXELS
from PIL import Image

from pyratok import PyraTokError, VideoInfo, VideoReader, VideoReadError
from pyratok.modeling_pyratok.media_opening import source_name

ADVICE = "tick the box to take its beginning, or cut it"

PADDED_SIDE = 16
"""Rows and columns are padded to multiples of this."""


@dataclass(frozen=True)
class Clip:
    """A clip as the app works on it."""

    frames: torch.Tensor
    """uint8 (T, H, W, 3)."""
    fps: Fraction
    file_bytes: int
    """Of the upload."""
    stored_size: tuple[int, int]
    """(height, width) in the file."""
    is_cut: bool
    """Whether the file goes on after these frames."""


def read_clip(path: str, beginning: bool = False) -> Clip:
    """Read a file; with `beginning` only as much of a longer one as the limits allow.

    Frames come one at a time, so what is announced, or found, to be too much never takes memory. Raises PyraTokError with one
    sentence that names the limit, and never the path.
    """
    file_bytes = Path(path).stat().st_size
    if file_bytes > MAX_FILE_BYTES:
        raise PyraTokError(f"The file has {file_bytes / 2**20:.0f} MB, and the limit is {MAX_FILE_BYTES // 2**20} MB.")
    with open(path, "rb") as file:
        try:
            with VideoReader(file, decoder_threads=1, max_pixels=MAX_FRAME_PIXELS) as reader:
                if not beginning:
                    _check_announced(reader.info)
                frames, is_cut = _read_frames(reader, beginning)
                info, fps = reader.info, reader.frame_rate.average
        except VideoReadError as problem:
            raise VideoReadError(str(problem).replace(source_name(file), "The file")) from problem
    return Clip(torch.stack(frames), _shown_rate(fps), file_bytes, (info.height, info.width), is_cut)


def _check_announced(info: VideoInfo) -> None:
    """Refuse what the header says is too long, before anything else is decoded."""
    if info.duration is not None and info.duration > MAX_SECONDS + 1 / float(info.fps):
        raise PyraTokError(
            f"The clip is {_duration(info.duration)} long, and the limit is {MAX_SECONDS:g} s: {ADVICE}."
        )
    if info.num_frames is not None and info.num_frames > MAX_FRAMES:
        raise PyraTokError(f"The clip has {info.num_frames:,} frames, and the limit is {MAX_FRAMES}: {ADVICE}.")


def _read_frames(reader: VideoReader, beginning: bool) -> tuple[list[torch.Tensor], bool]:
    """The frames, scaled down where they are large, and whether the file has more of them."""
    size = work_size(reader.info.height, reader.info.width)
    frames: list[torch.Tensor] = []
    first = None
    for seconds, frame in reader.timed_frames():
        first = seconds if first is None else first
        too_long, too_many = seconds - first >= MAX_SECONDS, len(frames) == MAX_FRAMES
        if (too_long or too_many) and beginning:
            return frames, True
        if too_long or too_many:
            limit = f"{MAX_SECONDS:g} s" if too_long else f"{MAX_FRAMES} frames"
            raise PyraTokError(f"The clip is longer than the limit of {limit}: {ADVICE}.")
        frames.append(_scaled(frame, size))
    return frames, False


def work_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) that frames are scaled down to: even numbers near WORK_PIXELS in all, or what they were if that is less.

    The tokenizer pads sides to multiples of PADDED_SIDE, and works on that.
    """
    area = math.prod(side + -side % PADDED_SIDE for side in (height, width))
    if area <= WORK_PIXELS:
        return height, width
    scale = math.sqrt(WORK_PIXELS / area)
    longest = WORK_PIXELS // PADDED_SIDE
    rows, columns = (min(max(2, round(side * scale / 2) * 2), longest) for side in (height, width))
    return rows, columns


def _scaled(frame: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """uint8 (H, W, 3) at another (height, width)."""
    if tuple(frame.shape[:2]) == size:
        return frame
    picture = Image.fromarray(frame.numpy()).resize((size[1], size[0]), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(picture))


def _shown_rate(fps: Fraction) -> Fraction:
    """A rate that players can show: a file may claim a frame in a year, or a million in a second."""
    return min(max(fps, Fraction(1)), Fraction(240))


def _duration(seconds: float) -> str:
    """For people: a bomb may announce centuries."""
    return f"{seconds:.1f} s" if seconds < 120 else f"{min(seconds / 60, 1e6):,.0f} min"
