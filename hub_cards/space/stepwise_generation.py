"""Text to video as a generator: a preview after each level, news in between, and an end as soon as nobody listens."""

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import torch
from shared_models import model_lock

from pyratok import PyraTokTextToVideoPipeline, VideoTokens
from pyratok.modeling_pyratok.pixel_values import values_to_frames

PATIENCE = 0.5
"""Seconds without news after which the generator says so; then a visitor who has gone is noticed."""


@dataclass(frozen=True)
class Wish:
    """What a visitor asked for."""

    prompt: str
    num_frames: int
    height: int
    width: int
    guidance: float
    seed: int
    fps: float


@dataclass(frozen=True)
class News:
    """How far a generation is."""

    share: float
    """Of the tokens, 0 to 1."""
    level: int | None = None
    """The level that has just been finished, if one has."""
    frames: torch.Tensor | None = None
    """uint8 (T, H, W, 3): what the levels so far decode to, when one has been finished."""
    tokens: VideoTokens | None = None
    """When all are."""


class _Stopped(Exception):
    """Raised in the working thread when the visitor has cancelled or gone."""


class _CountedGeneration(PyraTokTextToVideoPipeline):
    """The pipeline with a progress bar that reports, and that can be stopped at any token."""

    on_token: Callable[[float], None]

    def progress_bar(self, iterable: Any = None, total: int | None = None) -> "_TokenCount":
        """What the pipeline counts its tokens with."""
        return _TokenCount(total or 1, self.on_token)


class _TokenCount:
    def __init__(self, total: int, on_token: Callable[[float], None]) -> None:
        self._total, self._count, self._on_token = total, 0, on_token

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        pass

    def update(self, count: int = 1) -> None:
        """One more token is drawn."""
        self._count += count
        self._on_token(self._count / self._total)


def generate_stepwise(pipeline: PyraTokTextToVideoPipeline, wish: Wish) -> Iterator[News]:
    """Draw a video in a thread of its own. Closing the generator stops it at the next token.

    Raises what the pipeline raises.
    """
    news: queue.Queue[News | BaseException | None] = queue.Queue()
    stop = threading.Event()
    worker = threading.Thread(target=_work, args=(pipeline, wish, news, stop), name="generation", daemon=True)
    worker.start()
    share = 0.0
    try:
        while True:
            try:
                item = news.get(timeout=PATIENCE)
            except queue.Empty:
                item = News(share)
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            share = item.share
            yield item
    finally:
        stop.set()


def _work(
    pipeline: PyraTokTextToVideoPipeline,
    wish: Wish,
    news: queue.Queue[News | BaseException | None],
    stop: threading.Event,
) -> None:
    """Run the pipeline and put what happens into `news`, None at the end."""
    try:
        with model_lock:
            tokens = _generated(pipeline, wish, news.put, stop)
        news.put(News(1.0, tokens=tokens))
    except _Stopped:
        pass
    except BaseException as problem:
        news.put(problem)
    finally:
        news.put(None)


def _generated(
    pipeline: PyraTokTextToVideoPipeline, wish: Wish, tell: Callable[[News], None], stop: threading.Event
) -> VideoTokens:
    """The tokens; a preview of each level is told. Raises _Stopped at the next token once `stop` is set."""
    share = 0.0

    def on_token(done: float) -> None:
        nonlocal share
        share = done
        if stop.is_set():
            raise _Stopped

    def on_level(counted: PyraTokTextToVideoPipeline, step: int, level: int, given: dict) -> None:
        size = (wish.num_frames, wish.height, wish.width)
        preview = counted.decode_preview(given["video_codes"], size, output_type="pt")  # (1, T, 3, H, W) in [0, 1]
        tell(News(share, level, values_to_frames(2 * preview[0] - 1).cpu()))

    counted = _CountedGeneration(**pipeline.components)
    counted.register_to_config(_name_or_path=pipeline.name_or_path)
    counted.on_token = on_token
    return counted(
        wish.prompt,
        num_frames=wish.num_frames,
        height=wish.height,
        width=wish.width,
        guidance_scale=wish.guidance,
        generator=torch.Generator().manual_seed(wish.seed),
        fps=wish.fps,
        output_type="codes",
        callback_on_step_end=on_level,
    ).tokens
