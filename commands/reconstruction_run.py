"""The work of `pyratok reconstruct`, frame by frame: no more than a chunk of the film is in memory."""

import contextlib
import time
from pathlib import Path
from typing import NamedTuple

import torch

from ..modeling_pyratok.atomic_writing import atomic_path
from ..modeling_pyratok.errors import PyraTokError, VideoWriteError
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.pixel_values import frames_to_values, values_to_frames
from ..modeling_pyratok.reconstruction_metrics import ClipMetrics, ReconstructionReport
from ..modeling_pyratok.video_reading import VideoInfo, VideoReader
from ..modeling_pyratok.video_writing import VideoWriter
from ..pipelines.pictures import ContactSheet, side_by_side
from ..pipelines.token_streams import reconstruct_stream
from .frame_source import FrameSource
from .model_use import Work

KEPT_EXTENSIONS = (".mp4", ".mkv", ".webm", ".avi")
"""A clip of these gives a reconstruction of the same kind, so that its sound is copied as it is; others give mp4."""


class OutputNames(NamedTuple):
    """The files that are written, in one folder."""

    reconstruction: str
    side_by_side: str
    contact_sheet: str


class ReconstructionResult(NamedTuple):
    """The figures of a run."""

    report: ReconstructionReport
    level_strides: tuple[tuple[int, int], ...]
    """The stride (t, s) of every level."""
    sound: str
    """What became of the sound, in the words of `VideoWriter`."""
    model_seconds: float
    """Time spent in encoding and decoding."""
    total_seconds: float
    """The same with reading, measuring and writing."""


def output_names(clip: str, info: VideoInfo, folder: Path) -> OutputNames:
    """What the files are called. Raises PyraTokError if one of them would replace the clip itself."""
    extension = Path(clip).suffix.lower()
    video = ".png" if info.is_image else extension if extension in KEPT_EXTENSIONS else ".mp4"
    names = OutputNames(f"reconstruction{video}", f"side_by_side{video}", "contact_sheet.png")
    for path in (folder / name for name in names):
        if path.exists() and path.samefile(clip):
            raise PyraTokError(f"{str(path)!r} is the clip itself and would be replaced; give another --output")
    return names


def run_reconstruction(
    model: PyraTokModel,
    reader: VideoReader,
    clip: str,
    folder: Path,
    names: OutputNames,
    work: Work,
    max_frames: int | None,
) -> ReconstructionResult:
    """Write the three files into `folder`, which is empty, and measure the result."""
    started, model_seconds = time.perf_counter(), 0.0
    source = FrameSource(reader, max_frames, model.device)
    metrics = ClipMetrics(model.config.num_levels, model.config.codebook_bits)
    sheet = ContactSheet()
    pieces = reconstruct_stream(model, source, work.levels, chunk_frames=work.chunk_frames, **work.tiles)
    sound = {"copy_audio_from": clip, "trim_audio": max_frames is not None}
    with contextlib.ExitStack() as stack:
        video = stack.enter_context(VideoWriter(folder / names.reconstruction, reader.info.fps, **sound))
        both = stack.enter_context(VideoWriter(folder / names.side_by_side, reader.info.fps))
        while True:
            waited, read = time.perf_counter(), source.seconds
            piece = next(pieces, None)
            copies = None if piece is None else piece.video_values.float().cpu()  # waits for the device
            model_seconds += time.perf_counter() - waited - (source.seconds - read)
            if piece is None:
                break
            metrics.update_codes(piece.video_codes)
            for values in copies:
                seconds, original = source.take()
                copy = values_to_frames(values)
                metrics.update_frames(_unit_range(frames_to_values(original)), _unit_range(values))
                video.write(copy, seconds)
                both.write(side_by_side(original, copy), seconds)
                sheet.add(original, copy)
    with atomic_path(folder / names.contact_sheet, error=VideoWriteError) as path:
        sheet.picture().save(path)
    return ReconstructionResult(
        report=metrics.report(),
        level_strides=model.config.level_strides,
        sound=video.sound,
        model_seconds=model_seconds,
        total_seconds=time.perf_counter() - started,
    )


def _unit_range(values: torch.Tensor) -> torch.Tensor:
    """A frame (3, H, W) in [-1, 1] as a batch (1, 3, H, W) in [0, 1], what the metrics are defined on."""
    return (values[None] + 1) / 2
