"""The Frechet distance between two sets of videos: between the normal distributions that have the means and covariances of
their features (Heusel et al., NeurIPS 2017, for images; Unterthiner et al. 2018 for videos, as FVD).

It is one figure of the whole sets. Distances of parts, averaged, are another and larger one.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance

from ..modeling_pyratok.errors import PyraTokError, VideoReadError
from ..modeling_pyratok.video_processing_pyratok import PyraTokVideoProcessor
from .video_features import VideoFeatures

REAL, GENERATED = "real", "generated"


@dataclass(frozen=True)
class FrechetDistance:
    """A distance and what it is of; 0 for equal sets."""

    name: str
    """Of the features: figures of different names are not to be compared."""
    value: float
    real_videos: int
    generated_videos: int
    num_features: int
    num_frames: int
    resolution: int
    is_singular: bool
    """A set has no more videos than there are features, so that its covariance has no full rank: the figure is too large by
    an unknown amount, and fit at most to compare sets of the same numbers of videos."""
    left_out: dict[str, str]
    """Video -> why it counts in no figure."""

    def record(self) -> dict[str, Any]:
        """The same as a dictionary, for JSON."""
        return asdict(self)


def frechet_distance(
    features_of: VideoFeatures,
    real: Iterable[Any],
    generated: Iterable[Any],
    num_frames: int = 16,
    resolution: int = 128,
    batch_size: int = 8,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> FrechetDistance:
    """How far the generated videos are from the real ones.

    Args:
        features_of: what makes a vector of a video; where it is, it computes.
        real, generated: videos as `PyraTokVideoProcessor` takes them: files, tensors (T, 3, H, W) in [0, 1], and so on. They
            are taken one at a time, so that a generator can make them.
        num_frames: of each video the first so many are taken; shorter ones are left out.
        resolution: frames are scaled to this many pixels at their shorter side, and the square in the middle is taken.
        batch_size: videos that go through the network at once; it changes nothing.
        progress: goes through either set and shows how far it is.

    Raises:
        PyraTokError: if a set has fewer than two videos that can be taken, or features are not finite.
        ValueError: if a number is below 1.
    """
    for name, number in (("num_frames", num_frames), ("resolution", resolution), ("batch_size", batch_size)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    metric = FrechetInceptionDistance(_Given(features_of.num_features))
    left_out: dict[str, str] = {}
    counts = {}
    for kind, videos in ((REAL, real), (GENERATED, generated)):
        clips = _clips(progress(videos), kind, num_frames, resolution, left_out)
        counts[kind] = _add(metric, features_of, clips, batch_size, is_real=kind == REAL)
        if counts[kind] < 2:
            first = next((f"; {name}: {why}" for name, why in left_out.items() if name.startswith(kind)), "")
            raise PyraTokError(
                f"a Frechet distance needs at least two {kind} videos of {num_frames} frames, got {counts[kind]}{first}"
            )
    return FrechetDistance(
        features_of.distance_name,
        float(metric.compute()),
        counts[REAL],
        counts[GENERATED],
        features_of.num_features,
        num_frames,
        resolution,
        is_singular=min(counts.values()) <= features_of.num_features,
        left_out=left_out,
    )


class _Given(nn.Module):
    """In the place of the metric's own network: what it is given are the features."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


@torch.no_grad()
def _add(
    metric: FrechetInceptionDistance,
    features_of: VideoFeatures,
    clips: Iterator[torch.Tensor],
    size: int,
    is_real: bool,
) -> int:
    """Put the features of all clips into the sums of the metric, which are in double precision; returns how many."""
    device = next((tensor.device for tensor in features_of.state_dict().values()), torch.device("cpu"))
    count = 0
    while batch := list(islice(clips, size)):
        features = features_of(torch.stack(batch).to(device))
        if not torch.isfinite(features).all():
            raise PyraTokError(
                f"the network of {features_of.distance_name!r} gives features that are not finite numbers"
            )
        metric.update(features.cpu().double(), real=is_real)
        count += len(batch)
    return count


def _clips(
    videos: Iterable[Any], kind: str, num_frames: int, resolution: int, left_out: dict[str, str]
) -> Iterator[torch.Tensor]:
    """Clips (num_frames, 3, resolution, resolution) in [-1, 1] of the videos that have so many frames."""
    processor = PyraTokVideoProcessor()
    for number, video in enumerate(videos, start=1):
        name = f"{kind} video {number}" + (f" ({video})" if isinstance(video, str | os.PathLike) else "")
        try:
            frames = list(islice(processor.stream(video), num_frames))
        except VideoReadError as problem:
            left_out[name] = str(problem)
            continue
        if len(frames) < num_frames:
            left_out[name] = f"it has {len(frames)} frames, and {num_frames} are taken"
        else:
            yield _square(torch.stack(frames), resolution)


def _square(frames: torch.Tensor, side: int) -> torch.Tensor:
    """(T, 3, H, W) -> (T, 3, side, side): scaled at the shorter side, cut in the middle."""
    height, width = frames.shape[-2:]
    scale = side / min(height, width)
    size = [max(side, round(height * scale)), max(side, round(width * scale))]
    if size != [height, width]:
        frames = F.interpolate(frames, size, mode="bilinear", antialias=True)
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    return frames[..., top : top + side, left : left + side]
