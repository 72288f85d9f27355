"""A few frames, evenly spread over a stretch of a video: what a question is asked about.

The choice is MVBench's (Li et al. 2024): the stretch is cut into equal parts, and each gives the frame in its middle.
"""

import math
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import torch

from ..modeling_pyratok.errors import VideoReadError
from ..modeling_pyratok.media_opening import PICTURE_SUFFIXES
from ..modeling_pyratok.video_reading import VideoReader, read_video

PICTURES_PER_SECOND = 3.0
"""Of a video that is a folder of pictures, as in MVBench; number k, from 1 on, is shown at k / 3 seconds."""


def stretch_frames(
    video: str | os.PathLike[str], num_frames: int, start: float | None = None, end: float | None = None
) -> torch.Tensor:
    """uint8 (num_frames, 3, H, W), which every pipeline takes as a video; few frames of the stretch are repeated.

    Args:
        video: a video file, or a folder of pictures 00001.jpg, 00002.jpg and so on.
        num_frames: how many, at least 1.
        start, end: seconds; None for the beginning and the end of the video. An end behind that of the video is its end.

    Raises:
        VideoReadError: if the video cannot be read, or is over before the stretch starts.
        ValueError: if `num_frames` is below 1, or the stretch ends before it starts.
    """
    start = 0.0 if start is None else start
    if num_frames < 1:
        raise ValueError(f"num_frames must be at least 1, got {num_frames}")
    if start < 0 or (end is not None and end <= start):
        raise ValueError(f"a stretch of time ends after it starts, at 0 or later, got {start} to {end}")
    choose = _from_folder if Path(video).is_dir() else _from_file
    return torch.stack(choose(Path(video), num_frames, start, end)).movedim(-1, 1).contiguous()


def _from_file(path: Path, num_frames: int, start: float, end: float | None) -> list[torch.Tensor]:
    """Frames (H, W, 3): for each middle of a part the last frame that is not later."""
    with VideoReader(path) as reader:
        last = _duration(reader)
        middles = _middles(num_frames, start, _stop(path, start, end, last))
        chosen: list[torch.Tensor] = []
        shown = None
        with closing(reader.timed_frames(start)) as frames:
            for seconds, frame in frames:
                while len(chosen) < num_frames and middles[len(chosen)] < seconds and shown is not None:
                    chosen.append(shown)
                if len(chosen) == num_frames:
                    break
                shown = frame
    if shown is None:
        raise _too_late(path, start, last)
    return [*chosen, *[shown] * (num_frames - len(chosen))]


def _duration(reader: VideoReader) -> float:
    """Seconds, as the header says; without a word there, all frames are decoded to know."""
    if reader.info.duration is not None:
        return reader.info.duration
    return max((seconds for seconds, _ in reader.timed_frames()), default=0.0) + float(1 / reader.info.fps)


def _from_folder(folder: Path, num_frames: int, start: float, end: float | None) -> list[torch.Tensor]:
    pictures = sorted(_pictures(folder), key=lambda path: (path.stem.zfill(20), path.name))
    if not pictures:
        raise VideoReadError(f"{str(folder)!r} holds no pictures.")
    last = len(pictures) / PICTURES_PER_SECOND
    middles = _middles(num_frames, start, _stop(folder, start, end, last))
    numbers = [min(max(round(middle * PICTURES_PER_SECOND), 1), len(pictures)) for middle in middles]
    frames = [read_video(pictures[number - 1], max_frames=1)[0][0] for number in numbers]
    for number, frame in zip(numbers, frames, strict=True):
        if frame.shape != frames[0].shape:
            raise VideoReadError(
                f"{str(folder)!r} has pictures of different sizes: {pictures[number - 1].name} is "
                f"{frame.shape[1]}x{frame.shape[0]} where {pictures[numbers[0] - 1].name} is "
                f"{frames[0].shape[1]}x{frames[0].shape[0]}."
            )
    return frames


def _pictures(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith("."):
            yield path


def _stop(video: Path, start: float, end: float | None, last: float) -> float:
    """Where the stretch ends within the video, whose own end is `last`."""
    if start >= last:
        raise _too_late(video, start, last)
    return last if end is None else min(end, last)


def _middles(count: int, start: float, stop: float) -> list[float]:
    return [start + (index + 0.5) / count * (stop - start) for index in range(count)]


def _too_late(video: Path, start: float, last: float) -> VideoReadError:
    length = math.floor(100 * last) / 100
    return VideoReadError(
        f"{str(video)!r} is over before the stretch starts: it has {length:g} s and that is {start:g} s."
    )
