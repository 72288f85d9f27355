"""Average precision of video instance segmentation, as YouTube-VIS (Yang et al., 2019) and OVIS define it.

An instance is an object's mask over a whole video, and two fit as well as their intersection over union in space and time:
all shared pixels over all pixels of either. Laid side by side, a video's frames are one long picture of which this is the
plain intersection over union, so pycocotools' COCOeval does the rest.

Only COCO's range of all areas is taken, which ends beyond the largest video: no object is left out for its size. A crowd
is treated as in COCO: who finds it neither gains nor loses.
"""

import contextlib
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..modeling_pyratok.optional_libraries import needs_extra
from ..training.data_errors import DataError
from .coco_masks import mask_functions, run_length_text

MOST_DETECTIONS = (1, 10, 100)
"""Per video and category, for AR@1, AR@10 and every AP."""

MOST_PIXELS = 2**32
"""Run lengths are numbers of 32 bits. (The range of all areas ends at 10**10.)"""

LONGEST_FALL = 2**29
"""By how much a run length may be below the one two before it: pycocotools misreads those whose difference has seven
characters, and then compares masks without an end."""


@dataclass(frozen=True)
class VideoInstance:
    """One object, true or predicted, in one video. Masks are held as compressed run lengths."""

    clip: str
    category_id: int
    run_lengths: dict[str, Any]
    """pycocotools' compressed run lengths of the picture (H, T W) that shows the frames side by side."""
    score: float = 1.0
    """Of a prediction; not looked at in an object that is true."""
    is_crowd: bool = False

    @classmethod
    def from_masks(
        cls, clip: str, category_id: int, masks: np.ndarray, score: float = 1.0, is_crowd: bool = False
    ) -> "VideoInstance":
        """Of bool (T, H, W).

        Raises:
            ValueError: for another array, or a score that is not finite.
            DataError: for a video of 2**32 pixels or more, and for one in which more than 2**29 pixels in a row are, or are
                not, of the object (259 frames of 1080 x 1920) before the next such row is shorter: pycocotools misreads it.
        """
        if masks.dtype != bool or masks.ndim != 3:
            raise ValueError(f"masks must be bool (frames, height, width), got {masks.dtype} {masks.shape}")
        if not math.isfinite(score):
            raise ValueError(f"score must be finite, got {score}")
        if masks.size >= MOST_PIXELS:
            raise DataError(f"the masks of {clip!r} have {masks.size} pixels; cut the video below {MOST_PIXELS}")
        counts = _run_lengths(masks)
        if (counts[1:-2] - counts[3:] > LONGEST_FALL).any():
            raise DataError(
                f"the object is in {clip!r} or out of it for so long that pycocotools misreads the run lengths (more than "
                f"{LONGEST_FALL} pixels); cut the video"
            )
        frames, height, width = masks.shape
        run_lengths = {"size": [height, frames * width], "counts": run_length_text(counts)}
        return cls(clip, category_id, run_lengths, score, is_crowd)


def _run_lengths(masks: np.ndarray) -> np.ndarray:
    """Those of the picture (H, T W) that shows the frames side by side, down its columns; the first is without the object."""
    edges, last = [], False
    for number, mask in enumerate(masks):
        pixels = mask.T.reshape(-1)  # (W H,)
        changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
        if pixels[:1].any() != last:
            changes = np.concatenate([[0], changes])
        edges.append(changes + number * mask.size)
        last = pixels[-1:].any()
    return np.diff(np.concatenate([[0], *edges, [masks.size]]).astype(np.int64))


@dataclass(frozen=True)
class AveragePrecision:
    """All in [0, 1], means over the categories that have a true object; NaN if none has."""

    ap: float
    """AP over 101 recalls, mean over thresholds .50:.05:.95 of the intersection over union."""
    ap50: float
    ap75: float
    ar1: float
    """Mean recall over the thresholds, with one prediction per video and category."""
    ar10: float
    per_category: dict[int, float]
    """Category id -> its AP; NaN without a true object."""


def video_instance_average_precision(
    truths: Iterable[VideoInstance], predictions: Iterable[VideoInstance], category_ids: Iterable[int]
) -> AveragePrecision:
    """The figures of predictions in all videos that `truths` or `predictions` name.

    Args:
        truths: the objects that there are.
        predictions: with scores. Of equal scores the one that stands first comes first.
        category_ids: those that are measured.

    Raises:
        ValueError: for an instance of another category, or sizes that differ within a video.
        PyraTokError: if pycocotools is not installed.
    """
    truths, predictions, categories = list(truths), list(predictions), sorted(set(category_ids))
    _check_instances([*truths, *predictions], categories)
    if not truths:
        return AveragePrecision(*[math.nan] * 5, dict.fromkeys(categories, math.nan))
    with needs_extra("evaluate"):
        from pycocotools.cocoeval import COCOeval
    clips = {name: number for number, name in enumerate(sorted({item.clip for item in [*truths, *predictions]}), 1)}
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        evaluation = COCOeval(
            _dataset(truths, clips, categories), _dataset(predictions, clips, categories), iouType="segm"
        )
        evaluation.params.maxDets = list(MOST_DETECTIONS)
        evaluation.params.areaRng, evaluation.params.areaRngLbl = evaluation.params.areaRng[:1], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # (thresholds, recalls, categories), -1 without truth
    recall = evaluation.eval["recall"][:, :, 0, :]  # (thresholds, categories, numbers of detections)
    thresholds = evaluation.params.iouThrs
    return AveragePrecision(
        ap=_mean(precision),
        ap50=_mean(precision[np.isclose(thresholds, 0.5)]),
        ap75=_mean(precision[np.isclose(thresholds, 0.75)]),
        ar1=_mean(recall[..., 0]),
        ar10=_mean(recall[..., 1]),
        per_category={category: _mean(precision[..., index]) for index, category in enumerate(categories)},
    )


def _mean(figures: np.ndarray) -> float:
    known = figures[figures > -1]
    return float(known.mean()) if known.size else math.nan


def _dataset(instances: Sequence[VideoInstance], clips: dict[str, int], categories: Sequence[int]) -> Any:
    """A `pycocotools.coco.COCO` of long pictures. Its ids start at 1: COCOeval takes 0 for "no match"."""
    from pycocotools.coco import COCO

    dataset = COCO()
    dataset.dataset = {
        "images": [{"id": number, "height": 0, "width": 0} for number in clips.values()],  # the masks know their sizes
        "categories": [{"id": category} for category in categories],
        "annotations": [
            {
                "id": identity,
                "image_id": clips[instance.clip],
                "category_id": instance.category_id,
                "segmentation": instance.run_lengths,
                "area": float(mask_functions().area(instance.run_lengths)),
                "iscrowd": int(instance.is_crowd),
                "score": instance.score,
            }
            for identity, instance in enumerate(instances, start=1)
        ],
    }
    dataset.createIndex()
    return dataset


def _check_instances(instances: Sequence[VideoInstance], categories: Sequence[int]) -> None:
    sizes: dict[str, list[int]] = {}
    for instance in instances:
        if instance.category_id not in categories:
            raise ValueError(
                f"{instance.clip!r} has an object of the category {instance.category_id}, not in {categories}"
            )
        size = list(instance.run_lengths["size"])
        if sizes.setdefault(instance.clip, size) != size:
            raise ValueError(f"the masks of {instance.clip!r} are of two sizes: {sizes[instance.clip]} and {size}")
