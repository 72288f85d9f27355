"""Raw video, which is nothing but pixels: planes of YUV 4:2:0 with 8 bits, frame after frame; the name has to say the size.

Benchmarks of codecs come as such files of gigabytes, so that they are read like all others, a frame at a time.
"""

import os
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import torch
from av.video.reformatter import VideoReformatter

from ..modeling_pyratok.errors import VideoReadError
from ..modeling_pyratok.media_opening import error_reason, open_source
from ..modeling_pyratok.video_frames import frame_to_rgb
from ..modeling_pyratok.video_reading import VideoInfo, VideoReader

RAW_SUFFIX = ".yuv"

SIZE_IN_NAME = re.compile(r"_([1-9]\d*)x([1-9]\d*)_([1-9]\d*)$")
"""Width, height and frames per second, as in videoSRC01_1920x1080_30."""

CHROMA_SAMPLES = {"chroma_sample_location": "left"}
"""Where 4:2:0 has its colours in the formats of video since MPEG-2, so that a raw file and its H.264 give the same pictures."""


def open_video(path: str | os.PathLike[str]) -> "VideoReader | RawVideoReader":
    """A reader of the file: a `RawVideoReader` by the suffix .yuv, else a `VideoReader`. Raises VideoReadError."""
    return RawVideoReader(path) if Path(path).suffix.lower() == RAW_SUFFIX else VideoReader(path)


class RawVideoReader:
    """Frames of a raw file NAME_WIDTHxHEIGHT_RATE.yuv: iterating yields uint8 RGB tensors (H, W, 3), each time from the first.

    Colours are converted as `VideoReader` does it for video that states nothing: limited range, BT.709 for high definition.
    Use it as a context manager, or call `close`.

    Raises `VideoReadError`, on opening, if the file is missing or empty, its name does not say the size, or it does not hold a
    whole number of frames; while iterating, if it has been closed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._name = repr(os.fspath(path))
        match = SIZE_IN_NAME.search(Path(path).stem)
        if match is None:
            raise VideoReadError(
                f"{self._name} is raw video, and its name does not say the size; call it NAME_WIDTHxHEIGHT_RATE.yuv."
            )
        width, height, rate = map(int, match.groups())
        self._file = open_source(path)
        # 4:2:0 has a sample of each chroma plane for 2 x 2 pixels, and for what is left of them at the edges.
        frame_bytes = width * height + 2 * (-(-width // 2)) * (-(-height // 2))
        size = self._file.seek(0, os.SEEK_END)
        if size % frame_bytes:
            self.close()
            raise VideoReadError(
                f"{self._name} holds {size:,} bytes, which is no whole number of frames of {width}x{height} "
                f"({frame_bytes:,} bytes each): it is cut short, or has another size or format than 8 bit 4:2:0."
            )
        frames = size // frame_bytes
        self.info = VideoInfo(height, width, Fraction(rate), frames, frames / rate, has_audio=False, is_image=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[torch.Tensor]:
        if self._file.closed:
            raise VideoReadError(f"{self._name} was closed before it was read: iterate inside the `with` block.")
        self._file.seek(0)
        options = {
            "video_size": f"{self.info.width}x{self.info.height}",
            "pixel_format": "yuv420p",
            "framerate": str(self.info.fps),
        }
        reformatter = VideoReformatter()
        try:
            with av.open(self._file, format="rawvideo", options=options) as container:
                container.streams.video[0].codec_context.options = CHROMA_SAMPLES
                for frame in container.decode(video=0):
                    yield frame_to_rgb(frame, reformatter)
        except (av.FFmpegError, OSError) as error:
            raise VideoReadError(f"{self._name} cannot be read to its end: {error_reason(error)}.") from error

    def close(self) -> None:
        """Release the file; iterating afterwards raises."""
        self._file.close()
