"""Videos and pictures as a stream of RGB frames, whatever the container: mp4, webm, mkv, avi, gif, png, jpg, webp, ...

A reader hands out one frame at a time, so a long film never sits in memory, and it either gives every frame of the
file or raises: a file that was cut short, or whose data is damaged, is a `VideoReadError`, never a silently
shorter video. (A header may well announce more frames than an edit list shows: that is normal, and what is shown
counts.)

Colour, depth, alpha and orientation: see video_frames.py. Wrong files: media_opening.py, video_completeness.py.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import BinaryIO, Self

import av
import torch
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from .errors import VideoReadError
from .frame_rates import FrameRate
from .media_opening import VideoSource, error_reason, open_container, open_source, source_name
from .picture_orientation import exif_matrix
from .video_frames import display_matrix, frame_to_rgb

JOINED_MIDWAY = ("mpegts", "mpeg", "mpegvideo", "h264", "hevc")
"""Formats of broadcasts: a recording begins anywhere, and what comes before its first intact frame is skipped, as
players do. (Everywhere else damage at the start is damage.)"""

DEFAULT_RATE = Fraction(25)
"""Frames per second of a stream that states neither a rate nor times."""

SOUGHT_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
"""Formats that say which frames are key frames and when each is shown, so that reading can begin at a key frame. (avi
says the first, not the second.) The others are read from the start."""

DEEPEST_REORDERING = 16
"""Frames by which a file's order can be ahead of the order in which they are shown (the most that H.264 allows)."""

ALIGNMENT = 64 * 65_536
"""Pixels that a decoder adds at most, because it makes rows longer, to multiples of 64."""

DAMAGE_IS_AN_ERROR = {"err_detect": "crccheck+bitstream+buffer+explode"}


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before its frames are read."""

    height: int
    """Rows of a frame as it is handed out (after rotation)."""
    width: int
    """Columns of a frame as it is handed out (after rotation)."""
    fps: Fraction
    """Frames per second as the header has it, 1 for a picture. Of a variable rate mp4 and gif have the average there,
    mkv and webm often only the rate that was meant; `VideoReader.frame_rate` goes by the times."""
    num_frames: int | None
    """How many frames the header announces, which can differ from how many there are; None if it does not say."""
    duration: float | None
    """Seconds, as the header announces; None if it does not say."""
    has_audio: bool
    is_image: bool
    """A single picture, not a video of one frame."""


@dataclass(frozen=True)
class _Decoded:
    """A decoded frame, its time, and what an error calls it."""

    seconds: float
    frame: av.VideoFrame
    place: str


class VideoReader:
    """Frames of a video or picture, one at a time: iterating yields uint8 RGB tensors (H, W, 3).

    `source` is a path, the bytes of a file, or a seekable binary file object (read from its start and left open). Each
    iteration starts at the first frame, one iteration at a time. Use it as a context manager, or call `close`.
    `decoder_threads`: 0 for as many as the machine has processors; 1 costs the least where several readers run at once.
    `max_pixels`: rows x columns of the largest frame that is decoded; for files from strangers, who can say 50,000 x 50,000
    in a few bytes. Larger ones raise before they take more memory than that.

    Raises `VideoReadError`, on opening or while iterating, with one sentence that says what is wrong: missing, a
    folder, no permission, empty, no video, sound only, cut short, damaged, a frame size that changes on the way.
    """

    def __init__(self, source: VideoSource, decoder_threads: int = 0, max_pixels: int | None = None) -> None:
        self._source = source
        self._max_pixels = max_pixels
        self._decoder_threads = decoder_threads
        self._name = source_name(source)
        self._container: av.container.InputContainer | None = None
        self._file: BinaryIO | None = None
        self._reading = object()  # stands for the one iteration that may go on
        self._is_closed = False
        self._waiting = self._open()  # already holds the first frame; the next iteration takes it over
        self.frame_rate = FrameRate(self.info.fps)
        """By the times of the frames that the last iteration has handed out so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (frame for _, frame in self.timed_frames())

    def timed_frames(self, start: float = 0.0) -> Iterator[tuple[float, torch.Tensor]]:
        """(seconds, frame) from the first frame at or after `start` on; time 0 is where the first of the file's streams starts.

        The frames are those that reading from the beginning gives. Where the container allows it only the frames since
        the key frame before `start` are decoded, and damage before that goes unseen.
        """
        if self._is_closed:
            raise VideoReadError(f"{self._name} was closed before it was read: iterate inside the `with` block.")
        self.frame_rate = FrameRate(self.info.fps)
        frames = self._sought(start) if start > 0 else None
        if frames is None:
            frames, self._waiting = self._waiting, None
        if frames is None:
            self._release()
            frames = self._open()
        yield from self._pixels(frames, start)

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

    def _open(self) -> Iterator[_Decoded]:
        """Open the source and decode its first frame for `info`; returns an iterator over all frames."""
        try:
            self._file = open_source(self._source)
            decoded = None if self._max_pixels is None else self._max_pixels + ALIGNMENT
            self._container = open_container(self._file, self._name, decoded)
            self._stream = _video_stream(self._container, self._name)
            context = self._stream.codec_context
            if decoded is not None:
                context.options = {**context.options, "max_pixels": str(decoded)}
            self._check_size(context.height, context.width)
            self._stream.codec_context.thread_count = self._decoder_threads
            self._exif_matrix = exif_matrix(self._file) if _is_picture(self._container) else None
            self._reformatter = VideoReformatter()
            frames = self._decode()
            first = self._first_of(frames)
            if first is None:
                raise VideoReadError(f"{self._name} holds no frame that can be decoded.")
            size = _shown_size(first.frame, self._matrix_of(first.frame))
            self._check_size(*size)
            self.info = _describe(self._container, self._stream, *size)
        except BaseException:
            self._release()
            raise
        return itertools.chain((first,), frames)

    def _check_size(self, height: int, width: int) -> None:
        if self._max_pixels is not None and height * width > self._max_pixels:
            raise VideoReadError(
                f"{self._name} has frames of {width}x{height}, more than the {self._max_pixels:,} pixels that are taken "
                "here; scale it down first."
            )

    def _first_of(self, frames: Iterator[_Decoded]) -> _Decoded | None:
        """The first frame. Where the header tells no size, what the decoder refuses may be larger than `max_pixels`."""
        is_size_known = self._stream.codec_context.width > 0
        try:
            return next(frames, None)
        except VideoReadError as error:
            if self._max_pixels is None or is_size_known:
                raise
            raise VideoReadError(
                f"{self._name} is damaged, or its frames have more than the {self._max_pixels:,} pixels that are taken here."
            ) from error

    def _sought(self, start: float) -> Iterator[_Decoded] | None:
        """Frames from a key frame at or before `start` on; None if none was found, and then all has to be opened anew."""
        container = self._container
        if container is None or container.format.name not in SOUGHT_FORMATS:
            return None
        self._waiting = None
        # What a container calls the time of a key frame may be that of its decoding, which is earlier than it is shown.
        for margin in (0.0, DEEPEST_REORDERING / float(self.info.fps)):
            target = (max(start - margin, 0.0) + self._origin) / self._stream.time_base
            try:
                container.seek(math.floor(target), stream=self._stream)
                frames = self._decode(is_whole=False)
                # The decoder leaves out pictures that want frames from before the key frame, or calls them corrupt.
                first = next(frames, None)
            except (av.FFmpegError, OSError, VideoReadError):
                return None  # whether it is damaged, reading from the start tells
            if first is None or first.frame.time is None:
                return None
            if first.seconds <= start:
                return itertools.chain((first,), frames)
        return None

    def _decode(self, is_whole: bool = True) -> Iterator[_Decoded]:
        """Decode the stream from where the container is to its end; `is_whole`: from its beginning.

        Raises VideoReadError for damage and, of the whole, for fewer packets than its index lists.
        """
        stream = self._stream
        is_joined_midway = self._container.format.name in JOINED_MIDWAY
        expected = len(stream.index_entries)
        packets = count = 0
        seconds = None
        step = float(1 / (stream.average_rate or DEFAULT_RATE))
        for packet in self._demux(self._container, stream):
            packets += packet.size > 0
            place = f"frame {count}" if is_whole else f"the frame at {seconds or 0.0:.2f} s"
            for frame in self._decode_packet(packet, place, count == 0 and is_joined_midway):
                place = f"frame {count}" if is_whole else f"the frame after {seconds or 0.0:.2f} s"
                count += 1
                seconds = _time_of(frame, self._origin, seconds, step)
                yield _Decoded(seconds, frame, place)
        if is_whole and packets < expected:
            raise VideoReadError(
                f"{self._name} is cut short: its index lists {expected} packets of video and it holds {packets}."
            )

    @property
    def _origin(self) -> float:
        return (self._container.start_time or 0) / av.time_base

    def _pixels(self, frames: Iterator[_Decoded], start: float) -> Iterator[tuple[float, torch.Tensor]]:
        for decoded in frames:
            if decoded.seconds < start:
                continue
            matrix = self._matrix_of(decoded.frame)
            size = _shown_size(decoded.frame, matrix)
            if size != (self.info.height, self.info.width):
                raise VideoReadError(_changed_size(self._name, decoded.place, self.info, size))
            self.frame_rate.add(decoded.seconds)
            yield decoded.seconds, frame_to_rgb(decoded.frame, self._reformatter, matrix)

    def _matrix_of(self, frame: av.VideoFrame) -> tuple[int, int, int, int]:
        return self._exif_matrix or display_matrix(frame)

    def _demux(self, container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
        reading = self._reading = object()
        packets = container.demux(stream)
        while self._container is container and self._reading is reading:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                raise VideoReadError(f"{self._name} cannot be read to its end: {error_reason(error)}.") from error
            if packet is None:
                return
            yield packet
        # The library crashes when it is asked to go on with a closed container.
        raise VideoReadError(
            f"{self._name} was closed, or another reading of it began, before this one came to its end."
        )

    def _decode_packet(self, packet: av.Packet, place: str, may_be_torn: bool) -> list[av.VideoFrame]:
        """The frames that `packet` completes, none if it `may_be_torn` and is. `place`: the frame before it."""
        reason = "its data does not decode"
        try:
            frames = [] if packet.is_corrupt else packet.decode()
            is_intact = not packet.is_corrupt and not any(frame.is_corrupt for frame in frames)
        except av.FFmpegError as error:
            frames, is_intact, reason = [], False, error_reason(error)
        if is_intact:
            return frames
        if may_be_torn:
            return []
        raise VideoReadError(f"{self._name} is damaged after {place}: {reason}.")


def read_video(source: VideoSource, max_frames: int | None = None) -> tuple[torch.Tensor, VideoInfo]:
    """All frames, or the first `max_frames`, as one uint8 RGB tensor (T, H, W, 3), and what the header says.

    But `fps` is the average over these frames where their times do not keep to the header's rate.

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
        return torch.stack(frames), replace(reader.info, fps=reader.frame_rate.average)


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


def _shown_size(frame: av.VideoFrame, matrix: tuple[int, int, int, int]) -> tuple[int, int]:
    """(height, width) of `frame` when it is turned by `display_matrix`'s signs."""
    return (frame.width, frame.height) if matrix[0] == 0 else (frame.height, frame.width)


def _is_picture(container: av.container.InputContainer) -> bool:
    return container.format.name.endswith("_pipe")


def _describe(container: av.container.InputContainer, stream: av.VideoStream, height: int, width: int) -> VideoInfo:
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


def _changed_size(name: str, place: str, first: VideoInfo, now: tuple[int, int]) -> str:
    return (
        f"{name} changes its size on the way: {place} is {now[1]}x{now[0]} where the first is "
        f"{first.width}x{first.height}; split it, or scale it to one size first."
    )
