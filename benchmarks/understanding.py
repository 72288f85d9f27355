"""What tokens tell of language, task by task: segmentation, localization and classification, against chance and baselines.

    python benchmarks/understanding.py results.json [--segmentation FOLDER] [--localization FOLDER] [--classification FOLDER] \\
        [--model pyratok] [--untrained]

Folders are as `captioned_tasks.py` (real clips) and `simulated_scenes.py` (simulated ones) write them; for segmentation any
folder of mask archives, DAVIS clips for example. Each is measured alone, and never mixed with another. `--untrained` measures
the same model with an alignment of random weights: what the pipelines give without language. Questions have
`benchmarks/questions.py`. Clips are encoded once; everything else sees tokens alone (and the CRF pixels).
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measuring import print_table
from tqdm import tqdm

from pyratok import (
    PyraTokActionLocalizationPipeline,
    PyraTokClassificationPipeline,
    PyraTokSegmentationPipeline,
    PyraTokTextAlignment,
    VideoTokens,
)
from pyratok.evaluation.activitynet import read_activitynet
from pyratok.evaluation.class_folders import read_class_folders
from pyratok.evaluation.classification_evaluation import evaluate_classification, evaluate_linear_probe
from pyratok.evaluation.localization_baselines import RandomSegments, WholeVideo
from pyratok.evaluation.localization_evaluation import evaluate_localization
from pyratok.evaluation.localization_metrics import THUMOS14_THRESHOLDS
from pyratok.evaluation.mask_archives import read_mask_archives
from pyratok.evaluation.segmentation_baselines import RandomMasks, all_foreground, centre_box
from pyratok.evaluation.segmentation_evaluation import evaluate_segmentation
from pyratok.modeling_pyratok.atomic_writing import atomic_path
from pyratok.pipelines.text_aligned_loading import load_text_aligned
from pyratok.pipelines.text_aligned_pipeline import TextAlignedPipeline

LEVELS: dict[str, tuple[int, ...]] = {
    **{f"level {level}": (level,) for level in (1, 2, 3, 4)},
    "all levels": (1, 2, 3, 4),
}
WITH_CRF = ("level 4", "all levels")
SEED = 0
WEIGHTS = "weights_fingerprint"
"""In the results beside the figures: which tokenizer they are of."""

Figures = dict[str, Any]


class TokensOnce:
    """The tokens of videos, each encoded once; several pipelines of one model share it."""

    def __init__(self, pipeline: TextAlignedPipeline):
        self._pipeline = pipeline
        self._seen: dict[Any, VideoTokens] = {}

    def of(self, video: Path | torch.Tensor) -> VideoTokens:
        """A file's, or those of frames uint8 (T, H, W, 3)."""
        is_file = isinstance(video, Path)
        key = video if is_file else hashlib.blake2b(video.numpy().tobytes()).digest()
        if key not in self._seen:
            self._seen[key] = self._pipeline.video_tokens(video if is_file else video.numpy())
        return self._seen[key]


def segmentation(pipeline: PyraTokSegmentationPipeline, tokens: TokensOnce, folder: Path, with_crf: bool) -> Figures:
    """J and F of each choice of levels, with and without the CRF, and of the baselines."""
    data = read_mask_archives(folder)
    segmenters: dict[str, Callable[..., Any]] = {}
    for name, levels in LEVELS.items():
        segmenters[name] = lambda frames, names, levels=levels: pipeline(
            tokens.of(frames), list(names), levels, return_dict=False
        )
        if with_crf and name in WITH_CRF:
            segmenters[f"{name}, CRF"] = lambda frames, names, levels=levels: _refined(
                pipeline, tokens.of(frames), frames, names, levels
            )
    figures = {
        name: evaluate_segmentation(
            segment,
            data,
            "clip",
            same_name="together",
            progress=lambda clips, name=name: tqdm(clips, desc=name, unit="clip"),
        )
        for name, segment in segmenters.items()
    }
    share = figures["all levels"].foreground_share
    baselines = {"chance": RandomMasks(share, SEED), "all foreground": all_foreground, "centre box": centre_box}
    figures |= {
        name: evaluate_segmentation(baseline, data, "clip", same_name="together")
        for name, baseline in baselines.items()
    }
    return {
        name: {
            "J": one.jaccard,
            "J of whole clips": one.jaccard_pooled,
            "F": one.boundary,
            "objects": len(one.objects),
        }
        for name, one in figures.items()
    }


def _refined(
    pipeline: PyraTokSegmentationPipeline,
    tokens: VideoTokens,
    frames: torch.Tensor,
    names: Sequence[str],
    levels: Sequence[int],
) -> tuple[torch.Tensor, torch.Tensor]:
    maps = pipeline.maps(tokens, list(names), levels)
    likely = pipeline.refine(maps, frames.numpy())
    return likely >= 0.5, likely


def localization(pipeline: PyraTokActionLocalizationPipeline, tokens: TokensOnce, folder: Path) -> Figures:
    """mAP at THUMOS14's overlaps, which are the easier ones, of each level, and of the baselines."""
    data = read_activitynet(folder / "annotations.json", folder)
    localizers: dict[str, Callable[..., Any]] = {
        f"level {level}": lambda video, texts, level=level: pipeline(tokens.of(video), list(texts), level).segments
        for level in (1, 2, 3, 4)
    }
    localizers |= {"chance": RandomSegments(SEED), "whole video": WholeVideo(SEED)}
    found = {
        name: evaluate_localization(
            localize, data, THUMOS14_THRESHOLDS, lambda videos, name=name: tqdm(videos, desc=name, unit="video")
        )
        for name, localize in localizers.items()
    }
    return {
        name: {
            "mAP": one.mean_average_precision,
            **{f"at {t:g}": value for t, value in zip(one.thresholds, one.mean_average_precisions, strict=True)},
            "videos": one.num_videos,
        }
        for name, one in found.items()
    }


def classification(pipeline: PyraTokClassificationPipeline, tokens: TokensOnce, folder: Path) -> Figures:
    """Zero-shot with each choice of levels, and a linear probe where there are videos to fit it on."""
    data = read_class_folders(folder)
    videos = data.measured
    labels = tuple(sorted({video.label for video in videos}))
    found = {
        name: evaluate_classification(
            lambda video, names, levels=levels: pipeline(tokens.of(video), list(names), levels).scores,
            videos,
            labels,
            lambda items, name=name: tqdm(items, desc=name, unit="video"),
        )
        for name, levels in LEVELS.items()
    }
    if "train" in data.splits and data.measured_split != "train":
        known = {video.label for video in data.of_split("train")}
        common = [video for video in videos if video.label in known]
        found["linear probe"] = evaluate_linear_probe(
            lambda video: pipeline.features(tokens.of(video)), data.of_split("train"), common, SEED, tqdm
        ).test
    figures = {
        name: {
            "top-1": one.figures.top_1,
            "mean over classes": one.figures.mean_per_class,
            "chance": one.chance.top_1,
            "most frequent": one.most_frequent.top_1,
            "videos": len(one.predictions),
            "classes": len(one.labels),
        }
        for name, one in found.items()
    }
    return figures


def untrained(pipeline: TextAlignedPipeline) -> None:
    """Put an alignment of random weights into the place of the trained one; it has the names that places are compared
    through."""
    torch.manual_seed(SEED)
    alignment = PyraTokTextAlignment(pipeline.alignment.config).eval()
    alignment.vocabulary.copy_(pipeline.alignment.vocabulary)
    pipeline.register_modules(alignment=alignment)


def measure(
    task: str, folder: Path, loaded: TextAlignedPipeline, name: str, without_language: bool, with_crf: bool
) -> dict[str, Figures]:
    """Name of the model -> its figures of one task on one folder; clips are encoded once."""
    kind, figures_of = {
        "segmentation": (PyraTokSegmentationPipeline, partial(segmentation, with_crf=with_crf)),
        "localization": (PyraTokActionLocalizationPipeline, localization),
        "classification": (PyraTokClassificationPipeline, classification),
    }[task]
    pipeline = kind(**loaded.components)
    tokens = TokensOnce(pipeline)
    found = {name: figures_of(pipeline, tokens, folder)}
    if without_language:
        untrained(pipeline)
        found[f"{name}, untrained alignment"] = figures_of(pipeline, tokens, folder)
    return found


def main() -> None:
    """Measure what is asked for, print, and add to the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="a JSON file, which is read and added to")
    for task in ("segmentation", "localization", "classification"):
        parser.add_argument(f"--{task}", type=Path, action="append", default=[], metavar="FOLDER")
    parser.add_argument("--model", default="pyratok")
    parser.add_argument("--untrained", action="store_true", help="and with an alignment of random weights")
    parser.add_argument("--no-crf", action="store_true", help="leave the CRF out, which takes most of the time")
    given = parser.parse_args()
    results = json.loads(given.results.read_text("utf-8")) if given.results.is_file() else {}
    loaded, name = load_text_aligned(PyraTokSegmentationPipeline, given.model), Path(given.model).name
    weights = loaded.vq_model.weights_fingerprint()
    if results and results.get(WEIGHTS) != weights:
        parser.error(f"{given.results} has figures of other weights than those of {given.model}: give another file")
    results[WEIGHTS] = weights
    for task in ("segmentation", "localization", "classification"):
        for folder in getattr(given, task):
            measured = measure(task, folder, loaded, name, given.untrained, not given.no_crf)
            for model, figures in measured.items():
                results[f"{task} | {folder.parent.name}/{folder.name} | {model}"] = figures
                columns = list(next(iter(figures.values())))
                rows = [[row, *(_written(values[column]) for column in columns)] for row, values in figures.items()]
                print_table(f"{task}, {folder}, {model}", ["", *columns], rows)
            with atomic_path(given.results) as path:
                path.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


def _written(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.1%}"


if __name__ == "__main__":
    main()
