"""Small clips that the tests make for themselves, with PyAV."""

import io
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

LOSSLESS = {"libx264": {"qp": "0", "preset": "ultrafast"}, "libvpx-vp9": {"lossless": "1", "cpu-used": "8"}}

CONTAINERS = {
    "mp4": ("libx264", "yuv444p"),
    "mkv": ("libx264", "yuv444p"),
    "webm": ("libvpx-vp9", "yuv444p"),
    "avi": ("ffv1", "yuv444p"),
    "mov": ("libx264", "yuv444p"),
    "ts": ("libx264", "yuv444p"),
    "gif": ("gif", "rgb8"),
}
"""For each kind of file a codec and a pixel format that keep the pixels (gif as well as it can)."""


def smooth_frames(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 (T, H, W, 3): a smooth random picture that moves a pixel to the left in every frame."""
    coarse = np.random.default_rng(seed).integers(40, 216, (4, 6, 3)).astype(np.float64)
    rows = np.linspace(0, 3, height)
    columns = np.linspace(0, 5, width + count)
    picture = np.stack([_bilinear(coarse[..., channel], rows, columns) for channel in range(3)], axis=-1)
    return np.stack([picture[:, t : t + width] for t in range(count)]).round().astype(np.uint8)


def _bilinear(grid: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    along = np.stack([np.interp(columns, np.arange(grid.shape[1]), row) for row in grid])
    return np.stack([np.interp(rows, np.arange(grid.shape[0]), column) for column in along.T], axis=1)


def quadrants(height: int = 32, width: int = 48) -> np.ndarray:
    """uint8 (H, W, 3): four flat colours, so that every turn and mirror image looks different."""
    picture = np.empty((height, width, 3), np.uint8)
    half_height, half_width = height // 2, width // 2
    picture[:half_height, :half_width] = (220, 40, 40)
    picture[:half_height, half_width:] = (40, 200, 40)
    picture[half_height:, :half_width] = (40, 40, 220)
    picture[half_height:, half_width:] = (230, 230, 230)
    return picture


def write_clip(
    target: str | os.PathLike | io.BytesIO,
    frames: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv444p",
    container: str | None = None,
    times: Sequence[float] | None = None,
    rotation: tuple | None = None,
    beep_at: float | None = None,
    sound: str | None = None,
    muxer_options: dict[str, str] | None = None,
    **context: int,
) -> None:
    """Write uint8 frames (H, W, 3) or (H, W, 4) without loss beyond `pix_fmt`, at 25 frames per second or at `times`.

    `rotation`: arguments of `set_display_rotation`. `sound`: codec of a sound track of silence with a short tone at
    `beep_at` seconds. `context`: attributes of the codec context, such as the colour tags.
    """
    target = target if hasattr(target, "write") else str(target)
    with av.open(target, "w", format=container, options=muxer_options or {}) as output:
        stream = output.add_stream(codec, rate=25, options=LOSSLESS.get(codec, {}))
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], pix_fmt
        stream.codec_context.time_base = Fraction(1, 1000) if times is not None else Fraction(1, 25)
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        if rotation is not None:
            stream.set_display_rotation(*rotation)
        track = _sound_track(output, sound) if sound else None
        for index, pixels in enumerate(frames):
            source = "rgb24" if pixels.shape[-1] == 3 else "rgba"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=source).reformat(format=pix_fmt)
            frame.pts = index if times is None else round(times[index] * 1000)
            frame.time_base = stream.codec_context.time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if track is not None:
            length = 0.2 + (len(frames) / 25 if times is None else times[-1])
            _write_sound(output, track, length, beep_at)


def clip_bytes(container: str, frames: Sequence[np.ndarray], **options) -> bytes:
    """What `write_clip` writes, for a container by FFmpeg's name ("matroska", "mpegts", ...)."""
    target = io.BytesIO()
    write_clip(target, frames, container=container, **options)
    return target.getvalue()


def _sound_track(output: av.container.OutputContainer, codec: str) -> av.AudioStream:
    track = output.add_stream(codec, rate=48000, layout="mono")
    track.codec_context.open()
    return track


def _write_sound(
    output: av.container.OutputContainer, track: av.AudioStream, seconds: float, beep_at: float | None
) -> None:
    time = np.arange(round(seconds * 48000)) / 48000
    start = seconds if beep_at is None else beep_at
    wave = np.where((time >= start) & (time < start + 0.1), 0.5 * np.sin(2 * np.pi * 1000 * time), 0)
    whole = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
    whole.sample_rate, whole.pts, whole.time_base = 48000, 0, Fraction(1, 48000)
    context = track.codec_context
    resampler = av.AudioResampler(context.format, "mono", 48000, context.frame_size or 1024)
    for piece in [*resampler.resample(whole), *resampler.resample(None)]:
        output.mux(track.encode(piece))
    output.mux(track.encode(None))


def beep_time(path: Path) -> float:
    """Seconds from the start of the file to the first loud sample."""
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = np.abs(frame.to_ndarray().astype(np.float64))
            if not frame.format.is_planar:
                samples = samples.reshape(-1, frame.layout.nb_channels).T
            loud = np.flatnonzero(samples.max(axis=0) > 0.1 * (32768 if "s16" in frame.format.name else 1))
            if len(loud):
                return frame.time + loud[0] / frame.sample_rate - (container.start_time or 0) / av.time_base
    raise AssertionError(f"no tone in {path}")


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Decibels between two uint8 arrays."""
    error = np.mean((np.asarray(first, np.float64) - np.asarray(second, np.float64)) ** 2)
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)
