"""How well a tokenizer reconstructs a set of videos and pictures: what `pyratok evaluate reconstruction` measures.

Every file is streamed, encoded once, and decoded from each subset of levels that is asked for. The figures are those of
`reconstruction_metrics`; this module says which frames go into them.
"""

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice, tee
from pathlib import Path
from typing import Any

import torch

from ..modeling_pyratok.errors import PyraTokError, VideoReadError
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.outputs import PyraTokEncoderOutput
from ..modeling_pyratok.pixel_values import frames_to_values
from ..modeling_pyratok.reconstruction_metrics import (
    ClipMetrics,
    DatasetMetrics,
    PerceptualDistance,
    ReconstructionReport,
)
from ..modeling_pyratok.video_reading import VideoReader
from ..pipelines.token_streams import chosen_levels, keep_levels

OpenVideo = Callable[[Path], AbstractContextManager[Iterable[torch.Tensor]]]
"""A file -> its frames, uint8 (H, W, 3), one at a time."""


@dataclass(frozen=True)
class StreamOptions:
    """How a file runs through the model; as in `PyraTokModel.encode_stream`."""

    chunk_frames: int = 16
    tile_size: int | None = None
    tile_overlap: int | None = None

    @property
    def tiles(self) -> dict[str, int | None]:
        """The keyword arguments that decoding takes as well."""
        return {"tile_size": self.tile_size, "tile_overlap": self.tile_overlap}


DEFAULT_OPTIONS = StreamOptions()


@dataclass(frozen=True)
class ReconstructionEvaluation:
    """The figures of a set of files. All tuples of reports have one for each of `level_sets`, in that order."""

    level_sets: tuple[tuple[int, ...], ...]
    """The subsets of levels that were decoded, 1..L each."""
    reports: tuple[ReconstructionReport, ...]
    """Of all files that could be read."""
    file_reports: dict[str, tuple[ReconstructionReport, ...]]
    """Path, as it was given -> the file's own figures, in the order of measuring."""
    unreadable: dict[str, str]
    """Path -> what was wrong with it; such a file counts in no figure, even if it broke in the middle."""


def previews(num_levels: int) -> list[tuple[int, ...]]:
    """From the coarsest level alone to all but the finest: (4,), (3, 4), (2, 3, 4)."""
    return [tuple(range(first, num_levels + 1)) for first in range(num_levels, 1, -1)]


def evaluate_reconstruction(
    model: PyraTokModel,
    files: Sequence[str | os.PathLike[str]],
    level_sets: Sequence[Iterable[int] | None] = (None,),
    perceptual_distance: PerceptualDistance | None = None,
    options: StreamOptions = StreamOptions(),
    progress: Callable[[Sequence[Path]], Iterable[Path]] = iter,
    open_video: OpenVideo = VideoReader,
) -> ReconstructionEvaluation:
    """Measure the model, where it is and in its number format, on every file.

    Args:
        model: the tokenizer, in evaluation mode.
        files: videos and pictures.
        level_sets: which levels to decode, once for each entry; None for all levels.
        perceptual_distance: measured as well, of the first entry of `level_sets` alone; it has to be on the
            `measuring_device` of the model's.
        options: how a file runs through the model.
        progress: goes through the files and shows how far it is: `tqdm`, or rich's `track`.
        open_video: reads a file; `evaluation.raw_video.open_video` reads raw ones too.

    Raises:
        PyraTokError: if no file can be read.
        ValueError: for levels that are unknown or repeated, or other options that do not fit the model.
    """
    files = [Path(file) for file in files]
    sets = tuple(chosen_levels(model, levels) for levels in level_sets)
    totals = [DatasetMetrics(model.config.num_levels, model.config.codebook_bits) for _ in sets]
    file_reports: dict[str, tuple[ReconstructionReport, ...]] = {}
    unreadable: dict[str, str] = {}
    for path in progress(files):
        try:
            clips = measure_file(model, path, sets, perceptual_distance, options, open_video)
        except VideoReadError as problem:
            unreadable[str(path)] = str(problem)
            continue
        for total, clip in zip(totals, clips, strict=True):
            total.add(clip)
        file_reports[str(path)] = tuple(clip.report() for clip in clips)
    if not file_reports:
        first = next(iter(unreadable.values()), "there are none")
        raise PyraTokError(f"none of the {len(files)} files can be read; the first: {first}")
    return ReconstructionEvaluation(sets, tuple(total.report() for total in totals), file_reports, unreadable)


@torch.no_grad()
def measure_file(
    model: PyraTokModel,
    path: Path,
    level_sets: Sequence[tuple[int, ...]],
    perceptual_distance: PerceptualDistance | None,
    options: StreamOptions,
    open_video: OpenVideo = VideoReader,
) -> list[ClipMetrics]:
    """The figures of one file for each of `level_sets`, in memory that does not grow with its length.

    Raises VideoReadError if it cannot be read to its end, and ValueError as `evaluate_reconstruction` does.
    """
    distances = [perceptual_distance, *[None] * (len(level_sets) - 1)]
    clips = [ClipMetrics(model.config.num_levels, model.config.codebook_bits, distance) for distance in distances]
    with open_video(path) as reader:
        # What is behind a tee waits in memory for the slower branch, here a chunk.
        originals, frames = tee(frames_to_values(frame.to(model.device)) for frame in reader)  # (3, H, W)
        encoded = model.encode_stream(frames, chunk_frames=options.chunk_frames, **options.tiles)
        pieces, *branches = tee(encoded, 1 + len(level_sets))
        decoded = [
            model.decode_stream(_kept(model, branch, levels), **options.tiles)
            for branch, levels in zip(branches, level_sets, strict=True)
        ]
        for piece, *copies in zip(pieces, *decoded, strict=True):
            original = _measurable(torch.stack(list(islice(originals, piece.video_size[0]))))
            for clip, levels, copy in zip(clips, level_sets, copies, strict=True):
                clip.update_frames(original, _measurable(copy))
                clip.update_codes(keep_levels(model, piece.video_codes, levels))
    return clips


def measuring_device(device: torch.device) -> torch.device:
    """Where the frames of a model on `device` are measured: there, or on the CPU if double precision is missing there."""
    return torch.device("cpu") if device.type == "mps" else device


def evaluation_record(
    evaluation: ReconstructionEvaluation,
    folder: str | os.PathLike[str],
    model_id: str,
    weights_fingerprint: str,
    perceptual_distance: str | None = None,
) -> dict[str, Any]:
    """What is written as JSON: the figures of the first of the evaluation's `level_sets`, at the top level and per file.

    Names of files are relative to `folder`. What is not a finite number is null: figures of levels that
    are left out, the SSIM of frames under 6 pixels. `perceptual_distance` names the distance.
    """
    record = {
        **dataclasses.asdict(evaluation.reports[0]),
        "perceptual_distance_name": perceptual_distance,
        "levels": evaluation.level_sets[0],
        "model": model_id,
        "weights_fingerprint": weights_fingerprint,
        "files": {
            _within(folder, path): dataclasses.asdict(reports[0]) for path, reports in evaluation.file_reports.items()
        },
        "unreadable_files": {_within(folder, path): reason for path, reason in evaluation.unreadable.items()},
    }
    return json_values(record)


def json_values(value: Any) -> Any:
    """The same with lists for tuples, and None for every number that JSON does not have."""
    if isinstance(value, dict):
        return {key: json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _within(folder: str | os.PathLike[str], path: str) -> str:
    return Path(path).relative_to(folder).as_posix()


def _kept(
    model: PyraTokModel, pieces: Iterable[PyraTokEncoderOutput], levels: tuple[int, ...]
) -> Iterator[PyraTokEncoderOutput]:
    for piece in pieces:
        codes = keep_levels(model, piece.video_codes, levels)
        yield PyraTokEncoderOutput(video_codes=codes, video_size=piece.video_size)


def _measurable(values: torch.Tensor) -> torch.Tensor:
    """Frames in [-1, 1] as floats in [0, 1] where they are measured."""
    return (values.to(measuring_device(values.device)).float() + 1) / 2
