"""The frames of a file on their way into the model."""

import itertools
import time
from collections import deque
from collections.abc import Iterator

import torch

from ..modeling_pyratok.pixel_values import frames_to_values
from ..modeling_pyratok.video_reading import VideoReader


class FrameSource:
    """Iterates over a file's frames as the model takes them, and remembers each until its reconstruction is there.

    Args:
        reader: the opened file.
        max_frames: stop after this many; None for all.
        device: where the model is.
    """

    def __init__(self, reader: VideoReader, max_frames: int | None, device: torch.device) -> None:
        self._frames = itertools.islice(reader.timed_frames(), max_frames)
        self._device = device
        self._waiting: deque[tuple[float, torch.Tensor]] = deque()
        self.seconds = 0.0
        """Time spent reading and decoding the file."""

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Yield (3, H, W), floats in [-1, 1]."""
        while True:
            started = time.perf_counter()
            timed_frame = next(self._frames, None)
            if timed_frame is None:
                return
            self._waiting.append(timed_frame)
            values = frames_to_values(timed_frame[1].to(self._device))
            self.seconds += time.perf_counter() - started
            yield values

    def take(self) -> tuple[float, torch.Tensor]:
        """(seconds, frame) of the earliest frame that was not taken yet; the frame uint8 (H, W, 3)."""
        return self._waiting.popleft()
