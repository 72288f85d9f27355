"""Videos as tokens, with what is to be said of them: what a token projector is trained on.

The tokens of each file are made once, from a few views of it, and kept in memory.
"""

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.pixel_values import frames_to_values
from ..modeling_pyratok.video_processing_pyratok import PyraTokVideoProcessor
from ..pipelines.video_tokens_of import tokens_from
from .clip_buckets import ClipBucket
from .clip_decoding import UNREADABLE, announced_frames, open_media, random_clip
from .clip_windows import ClipVariation, resized
from .data_errors import DataError
from .data_rows import Row
from .data_sources import RowSource

logger = logging.getLogger(__name__)

FRAMES = (9, 17, 33)
"""Lengths of views; a shorter video is taken whole."""

SMALLEST_SHARE = 0.8
"""A view shows at least this share of the height and of the width, so that what the caption tells of is to be seen."""

SMALLEST_SCALE = 2 / 3
"""The short side of a view is at least this share of the largest that is asked for."""

SIDES = ("left", "right")
"""Captions with these words are not true of a mirrored video."""

Codes = tuple[torch.Tensor, ...]
"""Per level (1, T_l, H_l, W_l), int32."""


@dataclass(frozen=True)
class AnsweredVideo:
    """A video, all of it or the seconds from `start` to `end`, and the right answer to a question; None asks for a caption."""

    name: str
    media: bytes | str
    answer: str
    question: str | None = None
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class TokenizedVideo:
    """The codes of some views of a video, and pairs of a question (None asks for a caption) and its right answer."""

    name: str
    views: tuple[Codes, ...]
    answers: tuple[tuple[str | None, str], ...]


def described(source: RowSource) -> list[AnsweredVideo]:
    """The rows of a source that have a caption; what is left out is logged. Raises DataError if none has one."""
    rows: list[Row] = list(source.rows)
    for row in rows:
        if row["problem"] is not None:
            logger.warning("left out: %s: %s", row["name"], row["problem"])
    usable = [row for row in rows if row["problem"] is None and row["caption"] and row["caption"].strip()]
    if without := sum(row["problem"] is None for row in rows) - len(usable):
        logger.warning("left out: %d files of %s that have no caption", without, source.name)
    if not usable:
        raise DataError(f"no file of {source.name} has a caption; put them into metadata.jsonl as `text`")
    return [AnsweredVideo(row["name"], row["media"], row["caption"].strip()) for row in usable]


def tokenized(
    videos: Sequence[AnsweredVideo],
    codes_of: Callable[[AnsweredVideo, int], tuple[Codes, ...]],
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> list[TokenizedVideo]:
    """The videos with their tokens; those of one file, and of one stretch of it, are made once for all its questions.

    Files that cannot be read are logged and left out. Raises DataError if none can be read.

    Args:
        codes_of: a video and its number -> the codes of its views.
        progress: goes through the videos and shows how far it is.
    """
    groups: dict[Any, list[AnsweredVideo]] = {}
    for video in videos:
        groups.setdefault((video.media, video.start, video.end), []).append(video)
    found = []
    for number, group in enumerate(progress(list(groups.values()))):
        first = group[0]
        try:
            views = codes_of(first, number)
        except UNREADABLE as problem:
            logger.warning("left out: %s: %s", first.name, problem)
            continue
        found.append(TokenizedVideo(first.name, views, tuple((video.question, video.answer) for video in group)))
    if not found:
        raise DataError(f"none of the {len(groups)} videos can be read")
    return found


def whole_video(model: PyraTokModel, video: AnsweredVideo) -> tuple[Codes, ...]:
    """The codes of the video as a pipeline makes them, as its one view. Raises what reading a video raises."""
    tokens = tokens_from(model, PyraTokVideoProcessor(), video.media, start=video.start, end=video.end)
    return (tuple(codes.int() for codes in tokens.video_codes),)


@torch.no_grad()
def random_views(
    model: PyraTokModel, video: AnsweredVideo, count: int, side: int, seed: Sequence[int]
) -> tuple[Codes, ...]:
    """The codes of `count` views of a video that differ in time, place, size and, if nothing speaks against it, by mirroring.

    side: the largest short side of a view in pixels. seed: the same numbers give the same views. Of a stretch of a video there
    is one view, the whole of it. Raises what reading a video raises.
    """
    if video.start is not None or video.end is not None:
        return whole_video(model, video)
    generator = np.random.default_rng(list(seed))
    found = []
    for _ in range(count):
        values = frames_to_values(_view(video, side, generator)[None])  # (1, T, 3, H, W)
        codes = model.encode(values.to(model.device)).video_codes
        found.append(tuple(level.cpu().int() for level in codes))
    return tuple(found)


def _view(video: AnsweredVideo, side: int, generator: np.random.Generator) -> torch.Tensor:
    """uint8 (T, H, W, 3)."""
    with open_media(video.media) as reader:
        info = reader.info
    frames = 1 if info.is_image else min(int(generator.choice(FRAMES)), announced_frames(info) or FRAMES[0])
    share = generator.uniform(SMALLEST_SHARE, 1.0, size=2)
    height, width = (max(round(s * size), 1) for s, size in zip(share, (info.height, info.width), strict=True))
    clip = random_clip(video.media, ClipBucket(frames, height, width, 1), ClipVariation(), generator)
    short = side * math.exp(generator.uniform(math.log(SMALLEST_SCALE), 0.0))
    scale = min(short / min(height, width), 1.0)
    clip = resized(clip, max(round(scale * height), 1), max(round(scale * width), 1))
    can_mirror = not set(SIDES) & set(f"{video.question or ''} {video.answer}".lower().split())
    return clip.flip(2) if can_mirror and generator.random() < 0.5 else clip
