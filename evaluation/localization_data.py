"""What a benchmark of temporal action localization holds: videos, and which action happens from when to when."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Action:
    """One action of a class, from `start` to `end` in seconds of its video.

    ActivityNet holds a few actions that last 0 s; they count, though nothing can find them.
    """

    label: str
    start: float
    end: float


@dataclass(frozen=True)
class ActionVideo:
    """A video and all that happens in it."""

    name: str
    """What the annotations call it."""
    video: Path
    """The file, a video or a token file."""
    duration: float | None
    """Seconds, as the annotations have it; None if they do not say."""
    actions: tuple[Action, ...]
    ignored: tuple[tuple[float, float], ...] = ()
    """Stretches (start, end) in seconds that the annotators could not decide on: what is predicted there and matches no
    action is neither right nor wrong."""


@dataclass(frozen=True)
class LocalizationData:
    """One subset of a benchmark."""

    videos: tuple[ActionVideo, ...]
    """Those whose files are there, by name."""
    classes: tuple[str, ...]
    """All classes of the subset, sorted, those of missing videos too. They are texts that can be searched for."""
    missing: tuple[str, ...] = ()
    """Names of annotated videos whose files are not there. They count in no figure."""
    repeated: tuple[str, ...] = ()
    """Actions that the annotations of a video have more than once, in words; each counts once."""


def time_problem(start: float, end: float) -> str | None:
    """What is wrong with an action from `start` to `end` seconds, None if nothing is."""
    if not (math.isfinite(start) and math.isfinite(end)):
        return f"its times {start} and {end} are not numbers of seconds"
    if start < 0 or end < 0:
        return f"its times {start} and {end} must not be negative"
    if end < start:
        return f"it ends at {end} s, before it starts at {start} s"
    return None


def without_repeats(name: str, actions: Iterable[Action]) -> tuple[tuple[Action, ...], list[str]]:
    """The actions of the video `name`, each once, and a description of every one that came again."""
    kept: dict[Action, None] = {}
    repeated = []
    for action in actions:
        if action in kept:
            repeated.append(f"{name}: {action.label!r} from {action.start} to {action.end} s")
        kept[action] = None
    return tuple(kept), repeated
