"""Training clips: clip n is a pure function of the seed, n and the files.

Why not iterate a shuffled stream: its position is the contents of a shuffle buffer and of workers, which a checkpoint
can hardly hold, so that a resumed run would see other clips. Here the only position is a number, the count of clips
consumed; resuming is exact, and any process of a distributed run can make any clip. Streaming `datasets` still say
which files and captions there are (`media_files`), and every file comes once per pass, in an order that changes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .clip_windows import resized
from .image_clips import moving_image_clip
from .media_files import DecodedFiles

CLIP_STREAM, ORDER_STREAM = 0, 1
"""Names of the independent random streams under one seed."""


@dataclass(frozen=True)
class ClipShape:
    """What a clip looks like: its size in frames and pixels, and how it is varied (see `StageOneSettings`)."""

    num_frames: int
    height: int
    width: int
    resized_share: float = 0.0
    minimum_scale: float = 1.0
    flip_share: float = 0.0


@dataclass(frozen=True)
class ClipBatch:
    """`frames`: uint8 (B, T, H, W, 3) RGB; `captions`: one per clip, None where the file has none."""

    frames: torch.Tensor
    captions: tuple[str | None, ...]


class ClipSampler:
    """Makes clip n for any n >= 0, from videos and, as an `image_share` of the clips, from images.

    `clips_per_decode` clips come from a video before it is left, alternating between `decode_pool` videos.
    """

    def __init__(
        self,
        videos: DecodedFiles,
        shape: ClipShape,
        seed: int,
        images: DecodedFiles | None = None,
        image_share: float = 0.0,
        clips_per_decode: int = 1,
        decode_pool: int = 32,
    ):
        self._videos = videos
        self._images = images
        self._shape = shape
        self._seed = seed
        self._image_share = image_share if images is not None else 0.0
        self._clips_per_decode = clips_per_decode
        self._decode_pool = decode_pool if clips_per_decode > 1 else 1
        self._orders: dict[int, np.ndarray] = {}

    @property
    def unreadable(self) -> dict[str, str]:
        """Files skipped so far -> why."""
        return self._videos.unreadable | (self._images.unreadable if self._images is not None else {})

    def batch(self, numbers: Sequence[int]) -> ClipBatch:
        """The clips with these numbers."""
        clips, captions = zip(*(self.clip(number) for number in numbers), strict=True)
        return ClipBatch(torch.stack(clips), captions)

    def clip(self, number: int) -> tuple[torch.Tensor, str | None]:
        """Clip `number` and its caption: uint8 (T, H, W, 3)."""
        generator = self._generator(CLIP_STREAM, number)
        if generator.random() < self._image_share:
            file, frames = self._images.frames(int(generator.integers(len(self._images))))
            clip = moving_image_clip(frames[0], self._shape, generator)
        else:
            file, frames = self._videos.frames(self._video_of(number))
            clip = random_video_clip(frames, self._shape, generator)
        if generator.random() < self._shape.flip_share:
            clip = clip.flip(2)
        return clip, file.caption

    def _video_of(self, number: int) -> int:
        pool, repeats = self._decode_pool, self._clips_per_decode
        position = number // (pool * repeats) * pool + number % pool
        epoch, place = divmod(position, len(self._videos))
        if epoch not in self._orders:
            order = self._generator(ORDER_STREAM, epoch).permutation(len(self._videos))
            # Only neighbouring passes are ever asked for, within one batch or one pool.
            self._orders = {known: kept for known, kept in self._orders.items() if abs(known - epoch) <= 1} | {
                epoch: order
            }
        return int(self._orders[epoch][place])

    def _generator(self, stream: int, number: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(stream, number)))


def random_video_clip(frames: torch.Tensor, shape: ClipShape, generator: np.random.Generator) -> torch.Tensor:
    """A random window in time, space and scale of uint8 frames (T, H, W, 3): uint8 (num_frames, height, width, 3).

    A video shorter than the clip repeats its last frame, one smaller than the clip is enlarged.
    """
    total, full_height, full_width, _ = frames.shape
    scale = 1.0
    if generator.random() < shape.resized_share:
        scale = math.exp(generator.uniform(math.log(shape.minimum_scale), 0.0))
    scale = max(scale, shape.height / full_height, shape.width / full_width)
    box_height = min(full_height, round(shape.height / scale))
    box_width = min(full_width, round(shape.width / scale))
    start = int(generator.integers(max(total - shape.num_frames, 0) + 1))
    top = int(generator.integers(full_height - box_height + 1))
    left = int(generator.integers(full_width - box_width + 1))
    window = frames[start : start + shape.num_frames, top : top + box_height, left : left + box_width]
    return _lengthened(resized(window, shape.height, shape.width), shape.num_frames)


def centre_video_clip(frames: torch.Tensor, shape: ClipShape) -> torch.Tensor:
    """The window in the middle of the video, in time and space, not shrunk: uint8 (num_frames, height, width, 3)."""
    total, full_height, full_width, _ = frames.shape
    scale = max(1.0, shape.height / full_height, shape.width / full_width)
    box_height = min(full_height, round(shape.height / scale))
    box_width = min(full_width, round(shape.width / scale))
    start = max(total - shape.num_frames, 0) // 2
    top, left = (full_height - box_height) // 2, (full_width - box_width) // 2
    window = frames[start : start + shape.num_frames, top : top + box_height, left : left + box_width]
    return _lengthened(resized(window, shape.height, shape.width), shape.num_frames)


def _lengthened(frames: torch.Tensor, num_frames: int) -> torch.Tensor:
    if len(frames) == num_frames:
        return frames
    return torch.cat((frames, frames[-1:].expand(num_frames - len(frames), -1, -1, -1)))
