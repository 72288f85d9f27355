"""Videos and pictures from a stream of RGB frames: mp4, webm, mkv, avi, gif, png, jpg, webp, by the name's extension.

A file is written aside and takes its name only when it is whole (atomic_writing.py); any failure, a full disk and
Ctrl-C included, leaves nothing behind. No frame is scaled or cut. Codecs and qualities: video_formats.py. Sound:
audio_copying.py.
"""

import contextlib
import math
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import torch

from .atomic_writing import atomic_path
from .audio_copying import AudioCopier
from .errors import VideoWriteError
from .media_opening import error_reason
from .video_formats import (
    BT709,
    CHROMA_SITE,
    PICTURE_FORMATS,
    VIDEO_FORMATS,
    PictureFormat,
    VideoFormat,
    conversion_graph,
    pixel_format,
)

TICKS_PER_SECOND = 90_000
"""Finest time steps of a variable frame rate: the clock of broadcasting, which divides by the usual rates."""

LARGEST_RATE_TERM = 65_535
"""Both terms of a frame rate fit into 16 bits, which MPEG-4 asks for."""


class VideoWriter:
    """Write uint8 RGB frames (H, W, 3) one at a time into the video or picture `path`. Only as a context manager.

    ```python
    with VideoWriter("out.mp4", fps=reader.info.fps, copy_audio_from="in.mp4") as writer:
        for seconds, frame in reader.timed_frames():
            writer.write(frame, seconds)
    ```

    - `fps`: frames per second (int, float or Fraction). With times given, only the last frame's length.
    - `copy_audio_from`: a file whose sound goes along, copied as it is where the container takes its codec, otherwise
      encoded again, the first track of several. `sound` says which: "none", "copied", "re-encoded", or "left out" (gif
      and pictures hold none).
    - `trim_audio`: end the sound where the last frame ends, for a video that was cut short on purpose.
    - `crf`: quality of mp4, mkv (H.264, 0 best, 51 worst) and webm (VP9, 0 to 63); the default 15 is visually
      lossless.

    An odd height or width is stored as it is; H.264 then takes 4:4:4 chroma, which some players do not show. avi
    has one constant frame rate (times are rounded to it) and gif hundredths of a second. mp4, webm and mkv are
    BT.709, limited range, tagged. Pictures take exactly one frame.

    Raises VideoWriteError with one sentence: unknown extension, a target that is no regular file, a missing folder, no
    permission, no frame written, frames of different sizes, a full disk. ValueError for wrong arguments, and
    VideoReadError if the sound's file cannot be read.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        fps: int | float | Fraction,
        *,
        copy_audio_from: str | os.PathLike | None = None,
        trim_audio: bool = False,
        crf: int | None = None,
    ) -> None:
        if not (math.isfinite(fps) and fps > 0):
            raise ValueError(f"fps must be above 0, got {fps}")
        self.path = Path(path)
        self.sound = "none"
        self._name = f"'{os.fspath(path)}'"
        self._format = _format_of(self.path)
        self._rate = _bounded_rate(Fraction(fps))
        self._audio_source, self._trim_audio, self._crf = copy_audio_from, trim_audio, crf
        if crf is not None and not getattr(self._format, "has_crf", False):
            raise ValueError(f"crf applies to mp4, mkv and webm, not to {self.path.suffix}")
        self._stack: contextlib.ExitStack | None = None
        self._encoding: _Encoding | None = None
        self._audio: AudioCopier | None = None
        self._size: tuple[int, ...] | None = None
        self._count = 0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._temporary = stack.enter_context(atomic_path(self.path, error=VideoWriteError))
            if self._audio_source is not None:
                self._open_audio(stack)
            stack.push(self._end)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        stack, self._stack = self._stack, None
        stack.__exit__(*exception)

    def write(self, frame: torch.Tensor, time: float | None = None) -> None:
        """Append a uint8 RGB frame (H, W, 3), shown from `time` seconds on. Give times for all frames, or for none."""
        if self._stack is None:
            raise ValueError("a VideoWriter writes only inside its `with` block")
        if frame.dtype != torch.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
            raise ValueError(f"a frame is a uint8 tensor (H, W, 3), got {frame.dtype} {tuple(frame.shape)}")
        self._size = self._size or tuple(frame.shape)
        if tuple(frame.shape) != self._size:
            first, now = self._size, frame.shape
            raise VideoWriteError(
                f"cannot write {self._name}: frame {self._count} is {now[1]}x{now[0]} and the first is "
                f"{first[1]}x{first[0]}"
            )
        pixels = av.VideoFrame.from_ndarray(frame.detach().cpu().contiguous().numpy(), format="rgb24")
        with self._failures():
            if isinstance(self._format, PictureFormat):
                self._write_picture(pixels)
            else:
                self._write_frame(pixels, time)
        self._count += 1

    def _write_picture(self, pixels: av.VideoFrame) -> None:
        if self._count:
            raise VideoWriteError(
                f"cannot write {self._name}: a picture holds one frame; for a video take mp4, webm, mkv, avi or gif"
            )
        self._temporary.write_bytes(_encoded_picture(pixels, self._format))

    def _write_frame(self, pixels: av.VideoFrame, time: float | None) -> None:
        if self._encoding is None:
            self._encoding = _Encoding(
                self._temporary, self._format, pixels.height, pixels.width, self._rate, time is not None, self._crf
            )
            if self._audio is not None:
                self._audio.attach(self._encoding.container)
                self.sound = self._audio.report
        shown_at = self._encoding.write(pixels, time)
        if self._audio is not None:
            self._audio.copy_until(shown_at)

    def _open_audio(self, stack: contextlib.ExitStack) -> None:
        holds_sound = isinstance(self._format, VideoFormat) and self._format.sound_encoder is not None
        target = self._format if holds_sound else VIDEO_FORMATS[".mkv"]  # any: only to learn whether there is sound
        audio = AudioCopier(self._audio_source, target.copied_sound, target.sound_encoder, target.keeps_priming)
        stack.callback(audio.close)
        self.sound = audio.report
        if holds_sound:
            self._audio = audio
        elif self.sound != "none":
            self.sound = "left out"

    def _end(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finish the file, or after a failure release it; runs before the temporary file is renamed or removed."""
        if kind is not None:
            with contextlib.suppress(Exception):
                if self._encoding is not None:
                    self._encoding.container.close()
            return
        if self._count == 0:
            raise VideoWriteError(f"cannot write {self._name}: it was given no frame")
        if self._encoding is not None:
            with self._failures():
                self._finish(self._encoding)

    def _finish(self, encoding: "_Encoding") -> None:
        try:
            end = encoding.finish()
            if self._audio is not None:
                self._audio.copy_until(end if self._trim_audio else math.inf)
                self._audio.finish()
        except BaseException:
            with contextlib.suppress(Exception):
                encoding.container.close()
            raise
        encoding.container.close()

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            reason = error_reason(error)
            if not isinstance(error, OSError) and self._size is not None:
                reason = f"the encoder {self._format.codec} fails on {self._size[1]}x{self._size[0]} frames ({reason})"
            raise VideoWriteError(f"cannot write {self._name}: {reason}; no part of it is kept") from error


class _Encoding:
    """One open output container with its stream of pictures."""

    def __init__(
        self,
        path: Path,
        video_format: VideoFormat,
        height: int,
        width: int,
        rate: Fraction,
        has_times: bool,
        crf: int | None,
    ) -> None:
        self.container = av.open(str(path), "w", format=video_format.muxer, options=video_format.muxer_options)
        options = {**video_format.options, "chroma_sample_location": CHROMA_SITE}
        if crf is not None:
            options["crf"] = str(crf)
        self._stream = self.container.add_stream(video_format.codec, rate=rate, options=options)
        self._tick = _tick(video_format, rate, has_times)
        self._frame_ticks = 1 / (rate * self._tick)
        self._has_times = has_times
        self._count, self._last = 0, -1
        context = self._stream.codec_context
        context.width, context.height = width, height
        context.pix_fmt = pixel_format(video_format, height, width)
        context.time_base = self._tick
        if video_format.has_colour_tags and video_format.codec != "gif":
            context.colorspace = context.color_primaries = context.color_trc = BT709
            context.color_range = av.video.reformatter.ColorRange.MPEG
        self._graph = conversion_graph(video_format, height, width, self._tick)

    def write(self, pixels: av.VideoFrame, time: float | None) -> float:
        """Encode a frame; returns the seconds at which it is shown."""
        if (time is not None) != self._has_times:
            raise ValueError("give a time for every frame, or for none")
        if time is not None and not 0 <= time < math.inf:
            raise ValueError(f"a frame's time must be at least 0 seconds, got {time}")
        ticks = round(self._count * self._frame_ticks if time is None else Fraction(time) / self._tick)
        # Two frames within one tick follow each other: none is dropped, and the next ones are back in time.
        self._last = max(self._last + 1, ticks)
        self._count += 1
        pixels.pts, pixels.time_base = self._last, self._tick
        self._graph.push(pixels)
        converted = self._graph.vpull()
        converted.duration = max(1, round(self._frame_ticks))
        self.container.mux(self._stream.encode(converted))
        return float(self._last * self._tick)

    def finish(self) -> float:
        """Write what the encoder still holds; returns the seconds at which the last frame ends."""
        self.container.mux(self._stream.encode(None))
        return float((self._last + self._frame_ticks) * self._tick)


def write_video(
    path: str | os.PathLike,
    frames: Iterable[torch.Tensor],
    fps: int | float | Fraction,
    *,
    times: Iterable[float] | None = None,
    copy_audio_from: str | os.PathLike | None = None,
    trim_audio: bool = False,
    crf: int | None = None,
) -> None:
    """Write all `frames`, uint8 RGB (H, W, 3) each or one tensor (T, H, W, 3); see `VideoWriter` for the rest."""
    options = {"copy_audio_from": copy_audio_from, "trim_audio": trim_audio, "crf": crf}
    with VideoWriter(path, fps, **options) as writer:
        if times is None:
            for frame in frames:
                writer.write(frame)
        else:
            for frame, time in zip(frames, times, strict=True):
                writer.write(frame, time)


def _format_of(path: Path) -> VideoFormat | PictureFormat:
    suffix = path.suffix.lower()
    known = {**VIDEO_FORMATS, **PICTURE_FORMATS}
    if suffix not in known:
        what = f"the extension '{path.suffix}'" if suffix else "a name without an extension"
        raise VideoWriteError(f"cannot write '{path}': {what} is not one of {', '.join(known)}")
    return known[suffix]


def _bounded_rate(rate: Fraction) -> Fraction:
    """The closest rate to `rate` whose terms fit: 29.97002997 gives 30000/1001."""
    rate = min(rate.limit_denominator(1001), Fraction(LARGEST_RATE_TERM))
    if rate.numerator > LARGEST_RATE_TERM:
        rate = rate.limit_denominator(max(1, int(LARGEST_RATE_TERM / rate)))
    return rate or Fraction(1, 1001)


def _tick(video_format: VideoFormat, rate: Fraction, has_times: bool) -> Fraction:
    """Seconds per time step: one frame of a constant rate; for given times a fraction of it that meets it exactly."""
    if video_format.codec == "gif":
        return Fraction(1, 100)
    if not has_times or video_format.muxer == "avi":
        return 1 / rate
    return Fraction(1, rate.numerator * math.ceil(TICKS_PER_SECOND / rate.numerator))


def _encoded_picture(pixels: av.VideoFrame, picture_format: PictureFormat) -> bytes:
    """A whole picture file."""
    context = av.CodecContext.create(picture_format.codec, "w")
    context.options = picture_format.options
    context.width, context.height, context.pix_fmt = pixels.width, pixels.height, picture_format.pix_fmt
    context.time_base = Fraction(1, 1)
    # JPEG is BT.601 in full range by definition; for RGB formats the two have no effect.
    converted = pixels.reformat(format=picture_format.pix_fmt, dst_colorspace="itu601", dst_color_range="JPEG")
    return b"".join(bytes(packet) for packet in [*context.encode(converted), *context.encode(None)])
