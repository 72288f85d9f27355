"""Clips as tokens, with what a classifier sees in them: made once, kept on disk, for training what looks at tokens alone."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ..modeling_pyratok.atomic_writing import atomic_path
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.pixel_values import frames_to_values
from .class_teacher import ClassTeacher
from .clip_stream import ClipBatch
from .data_errors import DataError

SETTINGS, CAPTIONS = "settings", "captions"


@dataclass(frozen=True)
class TaughtClips:
    """N clips of one size.

    codes: per level int32 (N, T_l, H_l, W_l). seen: float16 (N, T', 320, h, w), the classifier's features at the last frame of
    each group of frames that a feature of the alignment covers, (N, 0) without a classifier. captions: None for a clip without
    one.
    """

    codes: tuple[torch.Tensor, ...]
    seen: torch.Tensor
    captions: tuple[str | None, ...]

    @classmethod
    def joined(cls, parts: Sequence["TaughtClips"]) -> "TaughtClips":
        """All clips of several."""
        return cls(
            tuple(torch.cat(level) for level in zip(*(part.codes for part in parts), strict=True)),
            torch.cat([part.seen for part in parts]),
            tuple(caption for part in parts for caption in part.captions),
        )


@torch.no_grad()
def taught(
    model: PyraTokModel, teacher: ClassTeacher | None, frames: torch.Tensor, captions: Sequence[str | None], every: int
) -> TaughtClips:
    """uint8 (N, T, H, W, 3), T = 1 + k * every, to tokens (made without the captions) and what the teacher sees."""
    values = frames_to_values(frames).to(model.device)  # (N, T, 3, H, W)
    codes = model.encode(values).video_codes
    if teacher is None:
        return TaughtClips(tuple(level.cpu().int() for level in codes), torch.zeros(len(frames), 0), tuple(captions))
    looked_at = values[:, ::every]  # the first frame, then the last of each group
    seen = teacher.features(looked_at.flatten(0, 1)).unflatten(0, looked_at.shape[:2])
    return TaughtClips(tuple(level.cpu().int() for level in codes), seen.cpu().half(), tuple(captions))


def kept_clips(
    folder: Path,
    batches: Iterator[ClipBatch],
    count: int,
    make: Callable[[ClipBatch], TaughtClips],
    settings: dict[str, Any],
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> TaughtClips:
    """The clips of `count` batches: those that `folder` holds, and the others, which are made and written into it.

    settings: what the clips depend on, as JSON can hold it. Raises DataError if the folder holds clips of other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for number in progress(range(count)):
        batch = next(batches)  # also of one that is there, so that the next is the right one
        path = folder / f"clips_{number:05d}.safetensors"
        part = _read(path, settings) if path.is_file() else None
        if part is None:
            part = make(batch)
            _write(path, part, settings)
        parts.append(part)
    return TaughtClips.joined(parts)


def _write(path: Path, clips: TaughtClips, settings: dict[str, Any]) -> None:
    tensors = {f"level_{level}": codes for level, codes in enumerate(clips.codes, start=1)}
    notes = {SETTINGS: json.dumps(settings, sort_keys=True), CAPTIONS: json.dumps(clips.captions)}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save({**tensors, "seen": clips.seen}, metadata=notes))


def _read(path: Path, settings: dict[str, Any]) -> TaughtClips | None:
    """The clips of a file; None if it is damaged, and they have to be made anew."""
    try:
        with safe_open(path, "pt") as file:
            notes = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dictionary
    except (SafetensorError, OSError):
        return None
    if notes.get(SETTINGS) != json.dumps(settings, sort_keys=True):
        raise DataError(f"{path} holds clips that were made with other settings; give another output folder")
    codes = tuple(tensors[f"level_{level}"] for level in range(1, len(tensors)))
    return TaughtClips(codes, tensors["seen"], tuple(json.loads(notes[CAPTIONS])))
