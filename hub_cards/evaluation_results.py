"""The measured figures of a model as the Hub's model-index results."""

from collections.abc import Iterator, Mapping
from typing import Any

from huggingface_hub import EvalResult

HELD_OUT = "held-out-clips"
UNTRAINED = "untrained"
"""In the names of `understanding.json`: a control with random weights, which is no result of the model."""


def evaluation_results(figures: Mapping[str, Any]) -> list[EvalResult]:
    """What `read_figures` found, as results; each value stands in one of the files as it is."""
    makers = {
        "evaluation": _reconstruction,
        "language": _retrieval,
        "understanding": _understanding,
        "questions": _questions,
    }
    return [result for name, maker in makers.items() if figures.get(name) for result in maker(figures[name])]


def _reconstruction(found: Mapping[str, Any]) -> Iterator[EvalResult]:
    dataset = f"{found['clips']} held-out clips ({found['frames']:,} frames)"
    names = {
        "psnr_clip": ("psnr", "PSNR of whole clips (dB)"),
        "psnr_frames": ("psnr", "PSNR, mean over frames (dB)"),
        "ssim": ("ssim", "SSIM"),
        "bits_per_pixel": ("bits_per_pixel", "Bits per pixel"),
    }
    for key, (metric, shown) in names.items():
        if found.get(key) is not None:
            yield _result(
                "video-reconstruction", "Video reconstruction", (dataset, HELD_OUT), metric, shown, found[key]
            )


def _retrieval(found: Mapping[str, Any]) -> Iterator[EvalResult]:
    levels = [name for name in found if name.startswith("retrieval from levels")]
    if levels:
        best = found[max(levels, key=len)]  # all levels together
        dataset = f"{found['clips']} held-out clips and their captions"
        for key, metric in (("R@1", "recall_at_1"), ("R@5", "recall_at_5")):
            yield _result(
                "text-retrieval", "Captions of clips, from tokens", (dataset, HELD_OUT), metric, key, best[key]
            )


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
        dataset = f"{len(seen['answers'])} held-out clips, one of four captions"
        value = seen["mean_over_tasks"]
        yield _result(
            "video-question-answering", "Questions", (dataset, HELD_OUT), "accuracy", "mean over tasks", value
        )


def _result(task_type: str, task: str, dataset: tuple[str, str], metric: str, shown: str, value: float) -> EvalResult:
    """A result on a dataset, given by its name and an identifier; those of one identifier are shown together."""
    name, identifier = dataset
    return EvalResult(
        task_type=task_type,
        task_name=task,
        dataset_type=identifier,
        dataset_name=name,
        metric_type=metric,
        metric_name=shown,
        metric_value=value,
    )
