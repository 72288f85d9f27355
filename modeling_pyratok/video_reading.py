"""Videos and pictures as a stream of RGB frames, whatever the container: mp4, webm, mkv, avi, gif, png, jpg, webp, ...

A reader hands out one frame at a time, so a long film never sits in memory, and it either gives every frame of the
file or raises: a file that was cut short, or whose data is damaged, is a `VideoReadError`, never a silently
shorter video. (A header may well announce more frames than an edit list shows: that is normal, and what is shown
counts.)

Colour, depth, alpha and orientation: see video_frames.py. Wrong files: media_opening.py, video_completeness.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO, Self

import av
import torch
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from .errors import VideoReadError
from .media_opening import VideoSource, error_reason, open_container, open_source, source_name
from .picture_orientation import exif_matrix
from .video_frames import frame_to_rgb

JOINED_MIDWAY = ("mpegts", "mpeg", "mpegvideo", "h264", "hevc")
"""Formats of broadcasts: a recording begins anywhere, and what comes before its first intact frame is skipped, as
players do. (Everywhere else damage at the start is damage.)"""

DEFAULT_RATE = Fraction(25)
"""Frames per second of a stream that states neither a rate nor times."""

DAMAGE_IS_AN_ERROR = {"err_detect": "crccheck+bitstream+buffer+explode"}


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before its frames are read."""

    height: int
    """Rows of a frame as it is handed out (after rotation)."""
    width: int
    """Columns of a frame as it is handed out (after rotation)."""
    fps: Fraction
    """Frames per second; the average for a variable rate, 1 for a picture."""
    num_frames: int | None
    """How many frames the header announces, which can differ from how many there are; None if it does not say."""
    duration: float | None
    """Seconds, as the header announces; None if it does not say."""
    has_audio: bool
    is_image: bool
    """A single picture, not a video of one frame."""


class VideoReader:
    """Frames of a video or picture, one at a time: iterating yields uint8 RGB tensors (H, W, 3).

    `source` is a path, the bytes of a file, or a seekable binary file object (read from its start and left open). Each
    iteration starts at the first frame, one iteration at a time. Use it as a context manager, or call `close`.

    Raises `VideoReadError`, on opening or while iterating, with one sentence that says what is wrong: missing, a
    folder, no permission, empty, no video, sound only, cut short, damaged, a frame size that changes on the way.
    """

    def __init__(self, source: VideoSource) -> None:
        self._source = source
        self._name = source_name(source)
        self._container: av.container.InputContainer | None = None
        self._file: BinaryIO | None = None
        self._is_closed = False
        self._waiting = self._open()  # already holds the first frame; the next iteration takes it over

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (frame for _, frame in self.timed_frames())

    def timed_frames(self) -> Iterator[tuple[float, torch.Tensor]]:
        """(seconds, frame) from the first frame on; time 0 is where the first of the file's streams starts."""
        if self._is_closed:
            raise VideoReadError(f"{self._name} was closed before it was read: iterate inside the `with` block.")
        frames, self._waiting = self._waiting, None
        if frames is None:
            self._release()
            frames = self._open()
        yield from frames

    def close(self) -> None:
        """Release the file; iterating afterwards raises."""
        self._is_closed = True
        self._waiting = None
        self._release()

    def _release(self) -> None:
        if self._container is not None:
            self._container.close()
        if self._file is not None and self._file is not self._source:
            self._file.close()
        self._container = self._file = None

    def _open(self) -> Iterator[tuple[float, torch.Tensor]]:
        """Open the source and decode its first frame for `info`; returns an iterator over all frames."""
        try:
            self._file = open_source(self._source)
            self._container = open_container(self._file, self._name)
            stream = _video_stream(self._container, self._name)
            frames = self._decode(self._container, stream)
            first = next(frames, None)
            if first is None:
                raise VideoReadError(f"{self._name} holds no frame that can be decoded.")
            self.info = _describe(self._container, stream, first[1])
        except BaseException:
            self._release()
            raise
        return _chain(first, frames)

    def _decode(
        self, container: av.container.InputContainer, stream: av.VideoStream
    ) -> Iterator[tuple[float, torch.Tensor]]:
        """Decode `stream` to its end. Raises VideoReadError for damage and for fewer packets than its index lists."""
        origin = (container.start_time or 0) / av.time_base
        expected = len(stream.index_entries)
        reformatter = VideoReformatter()
        matrix = exif_matrix(self._file) if _is_picture(container) else None
        packets = count = 0
        size, seconds = None, None
        step = 1 / (stream.average_rate or DEFAULT_RATE)
        for packet in self._demux(container, stream):
            packets += packet.size > 0
            for frame in self._decode_packet(packet, count, container.format.name in JOINED_MIDWAY):
                pixels = frame_to_rgb(frame, reformatter, matrix)
                size = size or pixels.shape
                if pixels.shape != size:
                    raise VideoReadError(_changed_size(self._name, count, size, pixels.shape))
                count += 1
                seconds = _time_of(frame, origin, seconds, float(step))
                yield seconds, pixels
        if packets < expected:
            raise VideoReadError(
                f"{self._name} is cut short: its index lists {expected} packets of video and it holds {packets}."
            )

    def _demux(self, container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
        packets = container.demux(stream)
        while self._container is container:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                raise VideoReadError(f"{self._name} cannot be read to its end: {error_reason(error)}.") from error
            if packet is None:
                return
            yield packet
        # The library crashes when it is asked to go on with a closed container.
        raise VideoReadError(f"{self._name} was closed, or read from its start again, before it was read to its end.")

    def _decode_packet(self, packet: av.Packet, count: int, is_joined_midway: bool) -> list[av.VideoFrame]:
        """The frames that `packet` completes. `count`: intact frames before it."""
        reason = "its data does not decode"
        try:
            frames = [] if packet.is_corrupt else packet.decode()
            is_intact = not packet.is_corrupt and not any(frame.is_corrupt for frame in frames)
        except av.FFmpegError as error:
            frames, is_intact, reason = [], False, error_reason(error)
        if is_intact:
            return frames
        if count == 0 and is_joined_midway:
            return []
        raise VideoReadError(f"{self._name} is damaged after frame {count}: {reason}.")


def read_video(source: VideoSource, max_frames: int | None = None) -> tuple[torch.Tensor, VideoInfo]:
    """All frames, or the first `max_frames`, as one uint8 RGB tensor (T, H, W, 3), and what the header says.

    Raises VideoReadError as `VideoReader` does, and ValueError if `max_frames` is below 1.
    """
    if max_frames is not None and max_frames < 1:
        raise ValueError(f"max_frames must be at least 1, or None for all frames, got {max_frames}")
    with VideoReader(source) as reader:
        frames = []
        for frame in reader:
            frames.append(frame)
            if len(frames) == max_frames:
                break
        return torch.stack(frames), reader.info


def _chain(
    first: tuple[float, torch.Tensor], rest: Iterator[tuple[float, torch.Tensor]]
) -> Iterator[tuple[float, torch.Tensor]]:
    yield first
    yield from rest


def _video_stream(container: av.container.InputContainer, name: str) -> av.VideoStream:
    """The first stream of moving pictures, set to raise on damage. A cover picture in a sound file does not count."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        what = "holds sound but no video" if container.streams.audio else "holds no video"
        raise VideoReadError(f"{name} {what}.")
    stream = streams[0]
    if stream.codec_context is None:
        raise VideoReadError(f"{name} holds video in a format that no decoder here reads.")
    if stream.container.format.name not in JOINED_MIDWAY:
        stream.codec_context.options = DAMAGE_IS_AN_ERROR
    stream.thread_type = "AUTO"
    return stream


def _is_picture(container: av.container.InputContainer) -> bool:
    return container.format.name.endswith("_pipe")


def _describe(container: av.container.InputContainer, stream: av.VideoStream, first: torch.Tensor) -> VideoInfo:
    height, width, _ = first.shape
    if _is_picture(container):
        return VideoInfo(height, width, Fraction(1), 1, None, False, True)
    duration = None
    if stream.duration and stream.time_base:
        duration = float(stream.duration * stream.time_base)
    elif container.duration:
        duration = container.duration / av.time_base
    fps = stream.average_rate or stream.guessed_rate or DEFAULT_RATE
    if container.format.name == "gif" and stream.frames and duration:  # its rate is a guess from the first delays
        fps = stream.frames / (stream.duration * stream.time_base)
    return VideoInfo(
        height=height,
        width=width,
        fps=fps,
        num_frames=stream.frames or None,
        duration=duration,
        has_audio=bool(container.streams.audio),
        is_image=False,
    )


def _time_of(frame: av.VideoFrame, origin: float, last: float | None, step: float) -> float:
    """Seconds since `origin`, never before the `last` frame; frames without a time follow each other by `step`."""
    if frame.time is None:
        return 0.0 if last is None else last + step
    return max(last or 0.0, frame.time - origin)


def _changed_size(name: str, index: int, first: torch.Size, now: torch.Size) -> str:
    return (
        f"{name} changes its size on the way: frame {index} is {now[1]}x{now[0]} where the first is "
        f"{first[1]}x{first[0]}; split it, or scale it to one size first."
    )
