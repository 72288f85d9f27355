"""Localization, classification and questions from captioned real clips, in the published formats of the benchmarks.

    python benchmarks/captioned_tasks.py path/to/video OUTPUT [--films 12] [--seed 0]

- OUTPUT/localization: films of four clips of the validation split, one after the other, with ActivityNet's annotations: when
each
  caption is true is known exactly. Captions that two clips share are not taken.
- OUTPUT/classification: the clips of both splits by what they are, which their names begin with, as CLASS/clip.mp4.
- OUTPUT/questions: "Which of these describes the video?" for each clip of the validation split, its caption and three others,
  as MVBench has questions.

The same seed gives the same. Clips are brought to 144 x 192 in films, and are linked elsewhere.
"""

import argparse
import json
import os
import random
from collections import Counter
from pathlib import Path

import torch
from tqdm import tqdm

from pyratok import read_video, write_video
from pyratok.modeling_pyratok.atomic_writing import atomic_path
from pyratok.training.clip_windows import resized
from pyratok.training.data_sources import open_rows

KINDS = {
    "asl": "a person in an office signs a word",
    "bbb": "an animated film about a rabbit",
    "webcam": "a face in front of a webcam",
    "cup": "a cup on a table",
    "box": "a box on a table",
    "dog": "a dog",
    "park": "people in a park",
    "title": "the title of a film",
    "tree": "a tree",
    "earth": "the Earth at night",
    "city": "a city at night",
    "road": "cars on a road",
    "bottle": "bottles",
    "onebyone": "people who come to a table",
}
"""What the first part of a clip's name says that it is."""

CLIPS_IN_A_FILM, FRAME_SIZE, FRAMES_PER_SECOND = 4, (144, 192), 24
CHOICES = 4
TASK = "caption_choice"


def described_files(source: str, split: str) -> list[tuple[Path, str]]:
    """The files of a split with their captions, by name."""
    rows = [row for row in open_rows(source, split).rows if row["caption"] and row["problem"] is None]
    return sorted((Path(row["media"]), row["caption"]) for row in rows)


def write_json(path: Path, content: object) -> None:
    """Write JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def cut(frames: torch.Tensor) -> torch.Tensor:
    """uint8 (T, H, W, 3): the largest window in the middle of the films' shape, brought to their size."""
    height, width = frames.shape[1:3]
    scale = min(height / FRAME_SIZE[0], width / FRAME_SIZE[1])
    rows, columns = round(scale * FRAME_SIZE[0]), round(scale * FRAME_SIZE[1])
    top, left = (height - rows) // 2, (width - columns) // 2
    return resized(frames[:, top : top + rows, left : left + columns], *FRAME_SIZE)


def write_films(files: list[tuple[Path, str]], output: Path, films: int, seed: int) -> None:
    """Films of several clips, and when each caption is true."""
    counts = Counter(caption for _, caption in files)
    usable = [(path, caption) for path, caption in files if counts[caption] == 1]
    generator = random.Random(seed)
    database = {}
    output.mkdir(parents=True, exist_ok=True)
    for number in tqdm(range(films), desc="films", unit="film"):
        parts, actions, frames_so_far = [], [], 0
        for path, caption in generator.sample(usable, CLIPS_IN_A_FILM):
            parts.append(cut(read_video(path)[0]))
            start, frames_so_far = frames_so_far, frames_so_far + len(parts[-1])
            segment = [start / FRAMES_PER_SECOND, frames_so_far / FRAMES_PER_SECOND]
            actions.append({"segment": segment, "label": caption})
        name = f"film_{number:03d}"
        write_video(output / f"v_{name}.mp4", torch.cat(parts), FRAMES_PER_SECOND)
        database[name] = {
            "duration": frames_so_far / FRAMES_PER_SECOND,
            "subset": "validation",
            "resolution": f"{FRAME_SIZE[1]}x{FRAME_SIZE[0]}",
            "url": "",
            "annotations": actions,
        }
    write_json(
        output / "annotations.json", {"version": "made of captioned clips", "taxonomy": [], "database": database}
    )


def write_classes(source: str, output: Path) -> None:
    """Links to the clips, by what they are; a kind that one of the splits lacks is only in the other."""
    for split in ("train", "validation"):
        for path, _ in described_files(source, split):
            kind = next((name for prefix, name in KINDS.items() if path.name.startswith(prefix)), None)
            if kind is not None:
                place = output / split / kind
                place.mkdir(parents=True, exist_ok=True)
                if not (place / path.name).exists():
                    os.symlink(path.resolve(), place / path.name)


def write_questions(files: list[tuple[Path, str]], output: Path, seed: int) -> None:
    """A question for each clip; wrong choices are captions of other clips."""
    generator = random.Random(seed)
    captions = sorted({caption for _, caption in files})
    entries = []
    (output / "video").mkdir(parents=True, exist_ok=True)
    for path, caption in files:
        choices = [caption, *generator.sample([other for other in captions if other != caption], CHOICES - 1)]
        generator.shuffle(choices)
        entries.append(
            {
                "video": path.name,
                "question": "Which of these describes the video?",
                "candidates": choices,
                "answer": caption,
            }
        )
        if not (output / "video" / path.name).exists():
            os.symlink(path.resolve(), output / "video" / path.name)
    write_json(output / "json" / f"{TASK}.json", entries)


def main() -> None:
    """Write all three."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="a folder of videos with captions, with train/ and validation/ inside")
    parser.add_argument("output", type=Path)
    parser.add_argument("--films", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    files = described_files(given.source, "validation")
    write_films(files, given.output / "localization", given.films, given.seed)
    write_classes(given.source, given.output / "classification")
    write_questions(files, given.output / "questions", given.seed)


if __name__ == "__main__":
    main()
