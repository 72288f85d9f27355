"""From a video or picture to a clip: a stretch of frames of it, of which no more is decoded than the clip needs.

Memory is bounded by the clip, whatever the size of the video: each frame is cut to the clip's window as it is decoded.
"""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable

import av
import fsspec
import numpy as np
import torch

from ..modeling_pyratok.errors import VideoReadError
from ..modeling_pyratok.token_grids import reflected_indices
from ..modeling_pyratok.video_reading import VideoInfo, VideoReader
from .clip_buckets import ClipBucket
from .clip_windows import ClipVariation, centre_window, random_window
from .image_clips import moving_image_clip

UNREADABLE = (VideoReadError, OSError, av.FFmpegError)
"""What reading a damaged or missing file raises."""


def random_clip(
    media: bytes | str, bucket: ClipBucket, variation: ClipVariation, generator: np.random.Generator
) -> torch.Tensor:
    """A random window in time, space and scale of a video: uint8 (num_frames, height, width, 3).

    A video with fewer frames is played back and forth. A picture becomes one frame, or a pan and zoom if the clip has more.
    `media`: bytes, a path, or an address that fsspec opens. Raises VideoReadError.
    """
    with open_media(media) as reader:
        info = reader.info
        if info.is_image and bucket.num_frames > 1:
            clip = moving_image_clip(next(iter(reader)), bucket, generator)
        else:
            window = random_window(info.height, info.width, bucket, variation, generator)
            clip = _played(_random_stretch(reader, bucket.num_frames, window.cut, generator), bucket.num_frames)
    return clip.flip(2) if generator.random() < variation.flip_share else clip


def centre_clip(media: bytes | str, bucket: ClipBucket) -> torch.Tensor:
    """The middle of a video in time and space, not shrunk: uint8 (num_frames, height, width, 3). Raises VideoReadError."""
    with open_media(media) as reader:
        window = centre_window(reader.info.height, reader.info.width, bucket)
        total = announced_frames(reader.info)
        start = max((total or 0) - bucket.num_frames, 0) // 2
        frames = [] if total is None else _stretch(reader, start, bucket.num_frames, window.cut)
        if len(frames) < min(bucket.num_frames, total or bucket.num_frames):  # the header was wrong, or did not say
            start = max(sum(1 for _ in reader) - bucket.num_frames, 0) // 2
            frames = _cut(itertools.islice(reader, start, None), bucket.num_frames, window.cut)
    return _played(frames, bucket.num_frames)


def open_media(media: bytes | str) -> VideoReader:
    """A reader of `media` (see `random_clip`) that decodes in one thread. Raises VideoReadError."""
    if isinstance(media, str) and "://" in media and not os.path.exists(media):
        media = _fetched(media)
    return VideoReader(media, decoder_threads=1)


def announced_frames(info: VideoInfo) -> int | None:
    """How many frames the header announces, by their number or the duration; None if by neither."""
    if info.num_frames is None and info.duration is not None:
        return max(1, round(info.duration * info.fps))
    return info.num_frames


def _random_stretch(
    reader: VideoReader,
    num_frames: int,
    cut: Callable[[torch.Tensor], torch.Tensor],
    generator: np.random.Generator,
) -> list[torch.Tensor]:
    total = announced_frames(reader.info)
    if total is not None:
        start = int(generator.integers(max(total - num_frames, 0) + 1))
        frames = _stretch(reader, start, num_frames, cut)
        if frames and (start == 0 or len(frames) == num_frames):
            return frames
    return _random_stretch_of_unknown(reader, num_frames, cut, generator)


def _stretch(
    reader: VideoReader, start: int, num_frames: int, cut: Callable[[torch.Tensor], torch.Tensor]
) -> list[torch.Tensor]:
    """The frames from number `start` on, fewer where the video ends. At a variable rate the number stands for a time."""
    frames = reader.timed_frames()
    if start > 0:
        first_seconds, _ = next(frames)
        # Half a frame early: times in files are rounded.
        frames = reader.timed_frames(first_seconds + (start - 0.5) / float(reader.info.fps))
    return _cut((frame for _, frame in frames), num_frames, cut)


def _random_stretch_of_unknown(
    reader: VideoReader,
    num_frames: int,
    cut: Callable[[torch.Tensor], torch.Tensor],
    generator: np.random.Generator,
) -> list[torch.Tensor]:
    """A stretch of a video whose length its header does not tell, each with the same probability, in one pass.

    Reservoir sampling (Vitter 1985, Algorithm R) of one stretch: the n-th replaces the one chosen before with probability 1/n.
    """
    recent: deque[torch.Tensor] = deque(maxlen=num_frames)
    chosen: list[torch.Tensor] = []
    for number, frame in enumerate(reader, start=1):
        recent.append(cut(frame))
        if number >= num_frames and generator.integers(number - num_frames + 1) == 0:
            chosen = list(recent)
    return chosen or list(recent)


def _cut(
    frames: Iterable[torch.Tensor], num_frames: int, cut: Callable[[torch.Tensor], torch.Tensor]
) -> list[torch.Tensor]:
    return [cut(frame) for frame in itertools.islice(frames, num_frames)]


def _played(frames: list[torch.Tensor], num_frames: int) -> torch.Tensor:
    """At most `num_frames` frames (H, W, 3), played back and forth until they are as many: (num_frames, H, W, 3)."""
    clip = torch.stack(frames)
    return clip if len(clip) == num_frames else clip[reflected_indices(len(clip), num_frames)]


def _fetched(address: str) -> bytes:
    try:
        with fsspec.open(address, "rb") as file:
            return file.read()
    except Exception as error:  # each kind of address has a library of its own, with errors of its own
        raise VideoReadError(f"'{address}' cannot be fetched: {error}") from error
