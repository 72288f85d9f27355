"""How long each task takes on a clip whose tokens are there: tokens are enough, and encoding is paid once.

    python benchmarks/tasks.py path/to/clip.mp4 [--seconds 10] [--model pyratok] [--repeats 5]

The clip is repeated or cut to the length. What needs more than tokens (the CRF, which sees pixels, and texts that a language
model writes word by word) stands below the line. Without a language model that can be loaded, questions are left out.
"""

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measuring import alternate, print_table

from pyratok import (
    PyraTokActionLocalizationPipeline,
    PyraTokClassificationPipeline,
    PyraTokError,
    PyraTokReconstructionPipeline,
    PyraTokSegmentationPipeline,
    VideoReader,
    VideoTokens,
)
from pyratok.pipelines.question_answering_loading import load_question_answering
from pyratok.pipelines.text_aligned_loading import load_text_aligned

WORDS = ["rabbit", "meadow"]
LABELS = [
    f"a video of {thing}" for thing in ("a rabbit", "a city", "a dog", "a face", "a car", "a tree", "water", "hands")
]
CHOICES = ["a rabbit on a meadow", "a city at night", "a person signs a word", "the Earth from space"]


def clip_of(path: Path, seconds: float) -> tuple[Any, Any]:
    """uint8 (T, H, W, 3) of this length, the file's frames again and again, and their rate."""
    with VideoReader(path) as reader:
        frames, rate = list(reader), reader.info.fps
    return torch.stack(list(itertools.islice(itertools.cycle(frames), round(seconds * float(rate))))).numpy(), rate


def questions(model: str, tokens: VideoTokens) -> tuple[dict[str, Callable[[], Any]], dict[str, Callable[[], Any]]]:
    """A choice and a written answer; nothing if there is no projector or no language model."""
    try:
        pipeline = load_question_answering(model)
    except PyraTokError as problem:
        print(f"questions are left out: {problem}")
        return {}, {}
    asked = "What is in the video?"
    return (
        {"a question with 4 choices": lambda: pipeline(tokens, asked, CHOICES)},
        {"a written answer of up to 40 tokens": lambda: pipeline(tokens, asked)},
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--model", default="pyratok")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    frames, rate = clip_of(given.clip, given.seconds)
    segment, localize, classify = (
        load_text_aligned(kind, given.model)
        for kind in (PyraTokSegmentationPipeline, PyraTokActionLocalizationPipeline, PyraTokClassificationPipeline)
    )
    reconstruct = PyraTokReconstructionPipeline(segment.vq_model)
    tokens = reconstruct(frames, fps=rate).tokens
    choice, written = questions(given.model, tokens)
    fast = {
        "segmentation, 2 words, level 4": lambda: segment(tokens, WORDS),
        "segmentation, 2 words, all levels": lambda: segment(tokens, WORDS, (1, 2, 3, 4)),
        "localization, 2 texts": lambda: localize(tokens, WORDS),
        f"classification, {len(LABELS)} labels": lambda: classify(tokens, LABELS),
        "features of a probe": lambda: classify.features(tokens),
        **choice,
    }
    maps = segment.maps(tokens, WORDS)
    slow = {
        "encoding": lambda: segment.video_tokens(frames, fps=rate),
        "CRF, 2 words": lambda: segment.refine(maps, frames),
        **written,
    }
    size = " x ".join(map(str, frames.shape[:3]))
    rows = [[name, f"{seconds:.2f} s"] for name, seconds in alternate(fast, given.repeats).items()]
    print_table(f"from tokens, {size}, {torch.get_num_threads()} threads", ["task", "median"], rows)
    rows = [[name, f"{seconds:.2f} s"] for name, seconds in alternate(slow, 1).items()]
    print_table("apart: what needs pixels, or writes", ["", "seconds"], rows)


if __name__ == "__main__":
    main()
