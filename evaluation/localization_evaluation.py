"""How well actions are found in time: runs a localizer over the videos of a benchmark and takes the mean average precision."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from ..modeling_pyratok.errors import PyraTokError, TokenFileError, VideoReadError
from .localization_data import ActionVideo, LocalizationData
from .localization_metrics import LocalizationMetrics, Segment

Localize = Callable[[Path, Sequence[str]], Sequence[Sequence[Segment]]]
"""(video or token file, texts) -> for each text the (start s, end s, score) that it happens in. Of the pipeline:
`lambda video, texts: pipeline(video, list(texts)).segments`."""


@dataclass(frozen=True)
class LocalizationEvaluation:
    """The figures of one localizer on one subset of a benchmark."""

    thresholds: tuple[float, ...]
    """The smallest overlaps (tIoU) that count."""
    average_precisions: dict[str, tuple[float, ...]]
    """Class -> average precision at each threshold, in [0, 1]; of the classes that have actions in these videos."""
    num_actions: dict[str, int]
    """Class -> how many actions there are to find, of all classes that were searched for."""
    num_predictions: int
    num_videos: int
    unreadable: dict[str, str]
    """Video -> why it could not be read; neither it nor its actions count in any figure."""
    missing: tuple[str, ...]
    """Annotated videos whose files are not there; they do not count either."""
    repeated: tuple[str, ...]
    """Actions that the annotations have more than once, each counted once."""
    segments: Mapping[str, Mapping[str, tuple[Segment, ...]]]
    """Video -> class -> what was predicted, in the localizer's order; of the classes of which there is any in the video."""

    @property
    def mean_average_precisions(self) -> tuple[float, ...]:
        """At each threshold the mean over classes, in [0, 1]."""
        return tuple(fmean(column) for column in zip(*self.average_precisions.values(), strict=True))

    @property
    def mean_average_precision(self) -> float:
        """The mean over thresholds as well: the figure that tables show, in [0, 1]."""
        return fmean(self.mean_average_precisions)

    def record(self) -> dict[str, Any]:
        """What is written as JSON; names are those of the annotations."""
        return {
            "mean_average_precision": self.mean_average_precision,
            "thresholds": list(self.thresholds),
            "mean_average_precisions": list(self.mean_average_precisions),
            "videos": self.num_videos,
            "actions": sum(self.num_actions.values()),
            "predictions": self.num_predictions,
            "classes": {
                label: {"actions": self.num_actions[label], "average_precisions": list(values)}
                for label, values in self.average_precisions.items()
            },
            "classes_without_actions": sorted({*self.num_actions} - {*self.average_precisions}),
            "unreadable_videos": self.unreadable,
            "missing_videos": list(self.missing),
            "repeated_actions": list(self.repeated),
            "segments": {  # start s, end s, score
                video: {label: [list(segment) for segment in found] for label, found in classes.items()}
                for video, classes in self.segments.items()
            },
        }


def evaluate_localization(
    localize: Localize,
    data: LocalizationData,
    thresholds: Sequence[float],
    progress: Callable[[Sequence[ActionVideo]], Iterable[ActionVideo]] = iter,
) -> LocalizationEvaluation:
    """Search every video for every class of `data`.

    Args:
        localize: gets all classes as texts, in the order of `data.classes`, and a video.
        data: a subset of a benchmark.
        thresholds: such as THUMOS14_THRESHOLDS and ACTIVITYNET_THRESHOLDS.
        progress: goes through the videos and shows how far it is: `tqdm`, or rich's `track`.

    Raises:
        PyraTokError: if no video can be read, or those that can have no actions.
        ValueError: for thresholds outside (0, 1], and for what `localize` returns if it is not one list for each text
            of finite segments that are not reversed.
    """
    metrics = LocalizationMetrics(data.classes, thresholds)
    unreadable: dict[str, str] = {}
    segments: dict[str, dict[str, tuple[Segment, ...]]] = {}
    for video in progress(data.videos):
        try:
            found = localize(video.video, data.classes)
        except (VideoReadError, TokenFileError) as problem:
            unreadable[video.name] = str(problem)
            continue
        if len(found) != len(data.classes):
            raise ValueError(
                f"the localizer must return a list for each of {len(data.classes)} texts, got {len(found)}"
            )
        metrics.add(video, dict(zip(data.classes, found, strict=True)))
        segments[video.name] = {
            label: tuple((float(start), float(end), float(score)) for start, end, score in runs)
            for label, runs in zip(data.classes, found, strict=True)
            if len(runs)
        }
    if len(unreadable) == len(data.videos):
        first = next(iter(unreadable.values()), "there are none")
        raise PyraTokError(f"none of the {len(data.videos)} videos can be read; the first: {first}")
    precisions = metrics.average_precisions()
    if not precisions:
        count = len(data.videos) - len(unreadable)
        raise PyraTokError(f"the {count} videos that can be read have no actions, so that there is nothing to find")
    return LocalizationEvaluation(
        thresholds=metrics.thresholds,
        average_precisions=precisions,
        num_actions=metrics.num_actions,
        num_predictions=metrics.num_predictions,
        num_videos=len(data.videos) - len(unreadable),
        unreadable=unreadable,
        missing=data.missing,
        repeated=data.repeated,
        segments=segments,
    )
