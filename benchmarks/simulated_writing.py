"""Writes the parts of the simulated benchmark, in the formats of the benchmarks that they stand in for.

captions/train, captions/validation   films, and metadata.jsonl with `file_name` and `text`: a `videofolder`
segmentation                          films, metadata.jsonl, and an archive of masks for each name in a film
localization                          films v_NAME.mp4, and annotations.json as ActivityNet 1.3 has it
classification                        CLASS/NAME.mp4
questions                             video/NAME.mp4, and json/TASK.json as MVBench has it
training/classification, training/questions   the same, to train on
scenes/PART.jsonl                     what each clip was made from, and the SHA-256 of its pixels before they were coded
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from simulated_actions import FRAMES_PER_SECOND
from simulated_building import task_of
from simulated_captions import seen_names
from simulated_clips import Clip, draw_clip
from simulated_recording import HEIGHT, WIDTH, load_vizdoom

from pyratok import PyraTokError, write_video
from pyratok.modeling_pyratok.atomic_writing import atomic_path
from pyratok.modeling_pyratok.errors import system_reason

LOSSLESS = 0
"""The crf of H.264 that loses nothing but the finer colours (4:2:0). Above 0 the encoder's threads decide about the last bits,
and two runs would not have the same frames."""

NOTICE = """# Simulated scenes

Made by `benchmarks/simulated_scenes.py` of PyraTok with VizDoom {version} (MIT licence). All pictures are drawn from Freedoom:
Phase 2, copyright (c) 2001-2024 Contributors to the Freedoom project, https://freedoom.github.io, under the BSD 3-clause
licence.
"""

Progress = Callable[[Sequence[int]], Iterable[int]]


def write_part(folder: Path, part: str, clips: int, seed: int, progress: Progress = iter) -> None:
    """Write the clips 0 to `clips` - 1 of a part into FOLDER/PART. progress: goes through their numbers.

    Raises PyraTokError if something is there already, if it cannot be written, or without VizDoom.
    """
    place = folder / part
    if place.is_dir() and any(place.iterdir()):
        raise PyraTokError(f"{str(place)!r} is not empty; give another folder, or remove it first")
    for made in (place, folder / "scenes"):
        try:
            made.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise PyraTokError(f"cannot make the folder {str(made)!r}: {system_reason(problem)}") from problem
    scenes: list[dict] = []
    WRITERS[task_of(part)](place, _noted(part, seed, progress(range(clips)), scenes))
    _write_lines(folder / "scenes" / f"{part.replace('/', '_')}.jsonl", scenes)
    _write_text(folder / "README.md", NOTICE.format(version=load_vizdoom().__version__))


def _noted(part: str, seed: int, indices: Iterable[int], scenes: list[dict]) -> Iterator[Clip]:
    """The clips; what each was made from is added to `scenes`."""
    for index in indices:
        clip = draw_clip(part, seed, index)
        recording = clip.recording
        scenes.append({"name": clip.name, "seed": seed, "sha256": recording.checksum(), **recording.scene.record()})
        yield clip


def _write_captions(place: Path, clips: Iterable[Clip]) -> None:
    lines = []
    for clip in clips:
        lines.append({"file_name": _write_film(place, clip), "text": clip.caption})
    _write_lines(place / "metadata.jsonl", lines)


def _write_segmentation(place: Path, clips: Iterable[Clip]) -> None:
    """A name whose things are seen too little has no masks; it is listed under `left_out`."""
    lines = []
    for clip in clips:
        recording = clip.recording
        seen = seen_names(recording)
        objects = [{"name": name, "masks": f"{clip.name}.{name.replace(' ', '_')}.masks.npz"} for name in seen]
        for entry in objects:
            _write_masks(place / entry["masks"], recording.masks(entry["name"]))
        others = sorted({thing.name for thing in recording.scene.things} - set(seen))
        lines.append(
            {
                "file_name": _write_film(place, clip),
                "text": clip.caption,
                "objects": objects,
                "frames": len(recording.frames),
                "left_out": [name for name in others if recording.masks(name).any()],
            }
        )
    _write_lines(place / "metadata.jsonl", lines)


def _write_localization(place: Path, clips: Iterable[Clip]) -> None:
    database: dict[str, Any] = {}
    for clip in clips:
        _write_film(place, clip, prefix="v_")
        script = clip.recording.scene.script
        database[clip.name] = {
            "duration": script[-1].seconds[1],
            "subset": "validation",
            "resolution": f"{WIDTH}x{HEIGHT}",
            "url": "",
            "annotations": [{"segment": list(s.seconds), "label": s.action.name} for s in script],
        }
    annotations = {"version": "simulated", "taxonomy": [], "database": database}
    _write_text(place / "annotations.json", json.dumps(annotations, indent=1))


def _write_classification(place: Path, clips: Iterable[Clip]) -> None:
    for clip in clips:
        label = place / clip.recording.scene.script[0].action.name
        label.mkdir(exist_ok=True)
        _write_film(label, clip)


def _write_questions(place: Path, clips: Iterable[Clip]) -> None:
    tasks: dict[str, list[dict]] = {}
    for name in ("video", "json"):
        (place / name).mkdir()
    for clip in clips:
        film = _write_film(place / "video", clip)
        for quiz in clip.questions:
            entry = {"video": film, "question": quiz.question, "candidates": quiz.choices, "answer": quiz.answer}
            tasks.setdefault(quiz.task, []).append(entry)
    for task, entries in tasks.items():
        _write_text(place / "json" / f"{task}.json", json.dumps(entries, indent=1))


WRITERS = {
    "captions": _write_captions,
    "segmentation": _write_segmentation,
    "localization": _write_localization,
    "classification": _write_classification,
    "questions": _write_questions,
}


def _write_film(place: Path, clip: Clip, prefix: str = "") -> str:
    """The name of the film."""
    name = f"{prefix}{clip.name}.mp4"
    write_video(place / name, torch.from_numpy(clip.recording.frames), FRAMES_PER_SECOND, crf=LOSSLESS)
    return name


def _write_masks(path: Path, masks: np.ndarray) -> None:
    """masks: bool (T, H, W)."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, masks=np.packbits(masks, axis=-1), shape=np.array(masks.shape))


def _write_lines(path: Path, entries: list[dict]) -> None:
    _write_text(path, "\n".join(map(json.dumps, entries)))


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text.rstrip("\n") + "\n", "utf-8")
