"""How well objects are segmented by their names: J and F of every object, and average precision over categories.

A segmenter is asked for names and gives one mask for each. It cannot tell two dogs apart by the word "dog", so of a category it
predicts one instance per video, and that is what its average precision is taken of.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from ..modeling_pyratok.errors import PyraTokError, VideoReadError
from ..training.data_errors import DataError
from ..training.reconstruction_evaluation import json_values
from .chance_jaccard import RegionSizes, chance_jaccard, foreground_share
from .coco_masks import mask_functions
from .segmentation_baselines import all_foreground, centre_box
from .segmentation_data import SegmentationClip, SegmentationData, SegmentedObject
from .segmentation_metrics import boundary_f_per_frame, jaccard_per_frame, jaccard_pooled
from .video_instance_precision import AveragePrecision, VideoInstance, video_instance_average_precision

Segmenter = Callable[[torch.Tensor, list[str]], tuple[torch.Tensor, torch.Tensor]]
"""(frames uint8 (T, H, W, 3), K names) -> (masks bool (K, T, H, W), scores float of that shape). All calls for one clip are
given the same tensor and follow each other, so what is made of its frames can be kept for the next call."""


BASELINES: dict[str, Segmenter] = {"all foreground": all_foreground, "box in the middle": centre_box}
"""What the J of every segmenter stands beside: masks that are the same for all names."""


@dataclass(frozen=True)
class ObjectFigures:
    """Of one object, or of all objects of one name in a clip. All figures lie in [0, 1]."""

    clip: str
    name: str
    jaccard: float
    """J, mean over frames."""
    jaccard_pooled: float
    """J of the whole clip as one region."""
    boundary: float
    """F, mean over frames."""


@dataclass(frozen=True)
class SegmentationEvaluation:
    """The figures of a segmenter on a benchmark. Means are over objects and NaN if there are none."""

    objects: tuple[ObjectFigures, ...]
    average_precision: AveragePrecision | None
    """None if the data have no categories."""
    category_names: dict[int, str]
    foreground_share: float
    """Mean over objects of the share of pixels that belong to them, over all their frames."""
    chance_jaccard: float
    """The J to expect of masks whose pixels are drawn with that share: mean over objects of their frames' mean."""
    baseline_jaccards: dict[str, float]
    """Name of one of BASELINES -> its J on the same objects: mean over them of their frames' mean."""
    clips: int
    """Measured."""
    frames: int
    ask: str
    """"all": every clip was asked for all categories; "clip": for the names in it."""
    names_at_once: int
    same_name: str
    """Objects of one name in a clip were measured "apart" or "together"."""
    crowds: int
    """Objects that mark a whole group: no J or F is taken, and average precision ignores them."""
    empty_answers: int
    """Names of categories that got an empty mask, which is no prediction."""
    left_out: dict[str, str]
    """Clip -> why it could not be measured; it counts in no figure."""

    @property
    def jaccard(self) -> float:
        """Mean J, frame by frame."""
        return _mean([figures.jaccard for figures in self.objects])

    @property
    def jaccard_pooled(self) -> float:
        """Mean J of whole clips."""
        return _mean([figures.jaccard_pooled for figures in self.objects])

    @property
    def boundary(self) -> float:
        """Mean F."""
        return _mean([figures.boundary for figures in self.objects])

    @property
    def jaccard_and_boundary(self) -> float:
        """J&F: the mean of mean J and mean F."""
        return (self.jaccard + self.boundary) / 2

    def record(self) -> dict[str, Any]:
        """All figures for JSON, per object and per category too; what is not a number is null."""
        record = {
            "jaccard": self.jaccard,
            "jaccard_pooled": self.jaccard_pooled,
            "boundary": self.boundary,
            "jaccard_and_boundary": self.jaccard_and_boundary,
            **dataclasses.asdict(self),
        }
        names = record.pop("category_names")
        if self.average_precision is not None:
            per_category = self.average_precision.per_category
            record["average_precision"]["per_category"] = {names[key]: ap for key, ap in per_category.items()}
        return json_values(record)


@dataclass
class _ClipFigures:
    """What is known of one clip; it is entered into the whole when all of the clip could be read."""

    clip: SegmentationClip
    objects: list[ObjectFigures] = dataclasses.field(default_factory=list)
    regions: list[RegionSizes] = dataclasses.field(default_factory=list)
    baselines: list[dict[str, float]] = dataclasses.field(default_factory=list)
    truths: list[VideoInstance] = dataclasses.field(default_factory=list)
    predictions: list[VideoInstance] = dataclasses.field(default_factory=list)
    empty_answers: int = 0


def evaluate_segmentation(
    segment: Segmenter,
    data: SegmentationData,
    ask: Literal["all", "clip"] = "all",
    names_at_once: int = 4,
    same_name: Literal["apart", "together"] = "apart",
    progress: Callable[[Sequence[SegmentationClip]], Iterable[SegmentationClip]] = iter,
) -> SegmentationEvaluation:
    """Ask a segmenter for names in every clip and measure its masks; the frames and masks of one clip are held at a time.

    Args:
        segment: the pipeline, wrapped, or one of `segmentation_baselines`.
        data: what one of the readers has read.
        ask: "all" asks every clip for every category, as the benchmarks of instances do; "clip" only for those that are in
            it, which is easier: nothing is found that is not there. Without categories it is always "clip".
        names_at_once: with how many names `segment` is called, which bounds memory. It may matter for the answer if
            `segment` lets names compete.
        same_name: objects of one name in a clip are measured "apart", each for itself as the benchmarks do, or "together",
            as one region, which is what a name alone can ask for. Average precision is always taken of them apart.
        progress: goes through the clips and shows how far it is: `tqdm`, or rich's `track`.

    Returns: the figures. A clip whose files cannot be read, or with nothing to ask for, is left out with the reason.

    Raises:
        PyraTokError: if no clip can be measured, or a library is missing.
        ValueError: for another choice, or an answer of `segment` of the wrong shape or kind.
    """
    if ask not in ("all", "clip") or same_name not in ("apart", "together") or names_at_once < 1:
        raise ValueError(
            f'ask must be "all" or "clip", same_name "apart" or "together" and names_at_once 1 or more, got {ask!r}, '
            f"{same_name!r} and {names_at_once!r}"
        )
    choices = {"ask": ask if data.categories else "clip", "names_at_once": names_at_once, "same_name": same_name}
    if data.categories:
        mask_functions()  # average precision is taken at the end: whoever lacks its library is told at once
    measured: list[_ClipFigures] = []
    left_out: dict[str, str] = {}
    for clip in progress(data.clips):
        try:
            measured.append(_measure_clip(segment, clip, data.categories, **choices))
        except (DataError, VideoReadError) as problem:
            left_out[clip.name] = str(problem)
    if not measured:
        first = next(iter(left_out.values()), "there are none")
        raise PyraTokError(f"none of the {len(data.clips)} clips can be measured; the first: {first}")
    return _summary(measured, left_out, data.categories, choices)


def _summary(
    measured: Sequence[_ClipFigures], left_out: dict[str, str], categories: dict[int, str], choices: dict[str, Any]
) -> SegmentationEvaluation:
    regions = [region for figures in measured for region in figures.regions]
    baselines = [jaccards for figures in measured for jaccards in figures.baselines]
    share = foreground_share(regions)
    precision = None
    if categories:
        precision = video_instance_average_precision(
            [instance for figures in measured for instance in figures.truths],
            [instance for figures in measured for instance in figures.predictions],
            categories,
        )
    return SegmentationEvaluation(
        objects=tuple(item for figures in measured for item in figures.objects),
        average_precision=precision,
        category_names=categories,
        foreground_share=share,
        chance_jaccard=chance_jaccard(regions, share),
        baseline_jaccards={name: _mean([jaccards[name] for jaccards in baselines]) for name in BASELINES},
        clips=len(measured),
        frames=sum(figures.clip.size[0] for figures in measured),
        crowds=sum(item.is_crowd for figures in measured for item in figures.clip.objects),
        empty_answers=sum(figures.empty_answers for figures in measured),
        left_out=left_out,
        **choices,
    )


def _measure_clip(
    segment: Segmenter,
    clip: SegmentationClip,
    categories: dict[int, str],
    ask: str,
    names_at_once: int,
    same_name: str,
) -> _ClipFigures:
    """Raises DataError and VideoReadError for files that cannot be read, and if there is nothing to ask for."""
    present = [item.name for item in clip.objects if not item.is_crowd]
    names = list(dict.fromkeys([*(categories.values() if ask == "all" else ()), *present]))
    if not names:
        raise DataError(f"the clip {clip.name!r} has no object to ask for")
    ids = {name: category for category, name in categories.items()}
    figures = _ClipFigures(clip)
    void, frames = clip.void(), clip.frames()
    baselines = {name: baseline(frames, [name])[0][0].numpy() for name, baseline in BASELINES.items()}
    for name, predicted, scores in _answers(segment, clip, frames, names, names_at_once):
        asked = [item for item in clip.objects if item.name == name and not item.is_crowd]
        for truth in _targets(figures, asked, same_name):
            figures.regions.append(RegionSizes.from_masks(truth, void))
            figures.baselines.append(
                {known: float(jaccard_per_frame(mask, truth, void).mean()) for known, mask in baselines.items()}
            )
            figures.objects.append(_object_figures(clip.name, name, predicted, truth, void))
        if name in ids and predicted.any():
            score = float(scores[predicted].mean(dtype=np.float64))
            figures.predictions.append(VideoInstance.from_masks(clip.name, ids[name], predicted, score))
        elif name in ids:
            figures.empty_answers += 1
    for crowd in (item for item in clip.objects if item.is_crowd):
        _add_truth(figures, crowd, _truth(clip, crowd))
    return figures


def _answers(
    segment: Segmenter, clip: SegmentationClip, frames: torch.Tensor, names: Sequence[str], names_at_once: int
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """For each name: itself, masks bool (T, H, W) and scores float (T, H, W). Raises ValueError for a wrong answer."""
    for start in range(0, len(names), names_at_once):
        batch = list(names[start : start + names_at_once])
        masks, scores = (torch.as_tensor(answer).cpu() for answer in segment(frames, batch))
        shape = (len(batch), *clip.size)
        for what, answer, fits in (
            ("masks", masks, masks.dtype == torch.bool),
            ("scores", scores, scores.is_floating_point()),
        ):
            if tuple(answer.shape) != shape or not fits:
                kind = "bool" if what == "masks" else "floating point"
                raise ValueError(f"segment must give {what} {kind} {shape}, got {answer.dtype} {tuple(answer.shape)}")
        for index, name in enumerate(batch):
            yield name, masks[index].numpy(), scores[index].float().numpy()


def _targets(figures: _ClipFigures, asked: Sequence[SegmentedObject], same_name: str) -> Iterator[np.ndarray]:
    """The true masks to measure one name's answer on, bool (T, H, W); those with a category are entered as instances."""
    union = None
    for item in asked:
        truth = _truth(figures.clip, item)
        _add_truth(figures, item, truth)
        if same_name == "apart":
            yield truth
        else:
            union = truth if union is None else union | truth
    if union is not None:
        yield union


def _truth(clip: SegmentationClip, item: SegmentedObject) -> np.ndarray:
    """The masks of an object. Raises DataError if they do not fit the clip."""
    masks = item.masks()
    if masks.shape != clip.size:
        raise DataError(f"the masks of {item.name!r} in {clip.name!r} are {masks.shape}, the clip is {clip.size}")
    return masks


def _add_truth(figures: _ClipFigures, item: SegmentedObject, masks: np.ndarray) -> None:
    if item.category_id is not None:
        figures.truths.append(
            VideoInstance.from_masks(figures.clip.name, item.category_id, masks, is_crowd=item.is_crowd)
        )


def _object_figures(
    clip: str, name: str, predicted: np.ndarray, truth: np.ndarray, void: np.ndarray | None
) -> ObjectFigures:
    return ObjectFigures(
        clip,
        name,
        jaccard=float(jaccard_per_frame(predicted, truth, void).mean()),
        jaccard_pooled=jaccard_pooled(predicted, truth, void),
        boundary=float(boundary_f_per_frame(predicted, truth, void).mean()),
    )


def _mean(figures: Sequence[float]) -> float:
    return float(np.mean(figures)) if figures else math.nan
