"""The measured figures of a model as the Hub's model-index results."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from huggingface_hub import EvalResult

from ..modeling_pyratok.errors import PyraTokError

CLIPS = "clips"
UNTRAINED = "untrained"
"""In the names of `understanding.json`: a control with random weights, which is no result of the model."""


COMMANDS = {
    "evaluation": "`pyratok evaluate reconstruction --json`",
    "language": "`python benchmarks/language.py --json`",
    "understanding": "`python benchmarks/understanding.py`",
    "questions": "`python benchmarks/questions.py --json`",
}
"""What writes the files."""


def evaluation_results(figures: Mapping[str, Any]) -> list[EvalResult]:
    """What `read_figures` found, as results; each value stands in one of the files as it is.

    Raises PyraTokError for a file with other contents than its command writes.
    """
    makers = {
        "evaluation": _reconstruction,
        "language": _retrieval,
        "understanding": _understanding,
        "questions": _questions,
    }
    results = []
    for name, maker in makers.items():
        try:
            results += maker(figures[name]) if figures.get(name) else ()
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise PyraTokError(
                f"{name}.json has other figures than {COMMANDS[name]} writes ({type(problem).__name__}: {problem})"
            ) from problem
    return results


def _reconstruction(found: Mapping[str, Any]) -> Iterator[EvalResult]:
    dataset = f"{found['clips']:d} clips ({found['frames']:,d} frames)"
    names = {
        "psnr_clip": ("psnr", "PSNR of whole clips (dB)"),
        "psnr_frames": ("psnr", "PSNR, mean over frames (dB)"),
        "ssim": ("ssim", "SSIM"),
        "bits_per_pixel": ("bits_per_pixel", "Bits per pixel"),
    }
    for key, (metric, shown) in names.items():
        if found.get(key) is not None:
            yield _result("video-reconstruction", "Video reconstruction", (dataset, CLIPS), metric, shown, found[key])


def _retrieval(found: Mapping[str, Any]) -> Iterator[EvalResult]:
    levels = [name for name in found if name.startswith("retrieval from levels")]
    if levels:
        best = found[max(levels, key=len)]  # all levels together
        dataset = f"{found['clips']:d} clips and their captions"
        for key, metric in (("R@1", "recall_at_1"), ("R@5", "recall_at_5")):
            yield _result("text-retrieval", "Captions of clips, from tokens", (dataset, CLIPS), metric, key, best[key])


def _understanding(found: Mapping[str, Any]) -> Iterator[EvalResult]:
    tasks = {
        "classification": (
            "video-classification",
            "Classification by names",
            "all levels",
            "mean over classes",
            "accuracy",
        ),
        "localization": ("action-localization", "Action localization", "level 1", "mAP", "mean_average_precision"),
        "segmentation": ("video-segmentation", "Segmentation by words", "level 4", "J", "jaccard"),
    }
    for name, rows in found.items():
        task, source, _ = (part.strip() for part in name.split("|"))
        if UNTRAINED not in name and task in tasks:
            task_type, task_name, row, key, metric = tasks[task]
            dataset = (SOURCES.get(source, source), source.replace("/", "-"))
            yield _result(task_type, task_name, dataset, metric, f"{key}, {row}", rows[row][key])


SOURCES = {
    "real/classification": "real clips, by their kinds",
    "sim/classification": "simulated clips, by their actions",
    "real/localization": "films of joined real clips",
    "sim/localization": "simulated clips",
    "data/davis_dev": "DAVIS clips (real)",
    "sim/segmentation": "simulated clips",
}
"""Folders of the benchmarks, in words."""


def _questions(found: Mapping[str, Any]) -> Iterator[EvalResult]:
    if seen := found.get("with the video"):
        dataset = f"{len(seen['answers'])} clips, one of four captions"
        value = seen["mean_over_tasks"]
        yield _result("video-question-answering", "Questions", (dataset, CLIPS), "accuracy", "mean over tasks", value)


def _result(task_type: str, task: str, dataset: tuple[str, str], metric: str, shown: str, value: float) -> EvalResult:
    """A result on a dataset, given by its name and an identifier; those of one identifier are shown together."""
    name, identifier = dataset
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{shown} is no number but {value!r:.40}")
    return EvalResult(
        task_type=task_type,
        task_name=task,
        dataset_type=identifier,
        dataset_name=name,
        metric_type=metric,
        metric_name=shown,
        metric_value=value,
    )
