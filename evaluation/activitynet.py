"""The annotations of ActivityNet 1.3 (Caba Heilbron et al., CVPR 2015) as they are published, a JSON file:

    {"version": "VERSION 1.3", "taxonomy": [...], "database": {
        "--1DO2V4K74": {"duration": 211.53, "subset": "training", "resolution": "320x240",
                        "url": "https://www.youtube.com/watch?v=--1DO2V4K74",
                        "annotations": [{"segment": [30.02, 205.21], "label": "Rock climbing"}]}, ...}}

The video of an entry is the file v_ID.mp4 (or mkv, webm, avi). Many are gone from YouTube; those that are not in the folder
are left out and named, as the published evaluation leaves out the videos on its list of blocked ones.
"""

import math
import os
from collections import Counter
from typing import Any

from ..modeling_pyratok.errors import PyraTokError
from .json_entries import JsonEntry, entry_of, read_json_object
from .localization_data import Action, ActionVideo, LocalizationData, time_problem, without_repeats
from .named_videos import named_videos, none_found

SUBSETS = ("training", "validation", "testing")


def read_activitynet(
    annotations: str | os.PathLike[str], videos_folder: str | os.PathLike[str], subset: str = "validation"
) -> LocalizationData:
    """The videos and actions of one subset.

    Times are kept as they are, beyond the stated duration too, where the published file has a few. Every entry of the
    file is checked, of whatever subset.

    Args:
        annotations: the JSON file.
        videos_folder: where the files v_ID.mp4 lie.
        subset: "training" or "validation"; the annotations of "testing" are not published.

    Raises:
        PyraTokError: with file, entry and reason if the annotations are not as described; if the subset has no actions;
            if none of its videos is in the folder.
        ValueError: for another name of a subset.
    """
    if subset not in SUBSETS:
        raise ValueError(f"subset must be one of {', '.join(SUBSETS)}, got {subset!r}")
    entries = _database(annotations)
    files = named_videos(videos_folder)
    videos, missing, repeated, classes = [], [], [], set()
    for name in sorted(entries):
        duration, of_subset, actions = _video(entries[name])
        if of_subset != subset:
            continue
        classes.update(action.label for action in actions)
        path = files.get(f"v_{name}")
        if path is None:
            missing.append(name)
            continue
        kept, again = without_repeats(name, actions)
        videos.append(ActionVideo(name, path, duration, kept))
        repeated += again
    if not classes:
        raise PyraTokError(f"{os.fspath(annotations)!r} has no actions in the subset {subset!r}")
    if not videos:
        raise none_found(missing, videos_folder, f"v_{missing[0]}.mp4")
    return LocalizationData(tuple(videos), tuple(sorted(classes)), tuple(missing), tuple(repeated))


def _database(annotations: str | os.PathLike[str]) -> dict[str, JsonEntry]:
    """Video -> its entry. Raises PyraTokError, for a key that stands twice as well: Python would keep the last one."""
    repeated: list[str] = []

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        repeated.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return dict(pairs)

    whole = read_json_object(annotations, object_of)
    if repeated:
        raise whole.problem(f"{repeated[0]!r:.100} stands twice in one object; keep one of them")
    database = whole.field("database", dict)
    if not database:
        raise whole.problem("'database' is empty")
    return {name: entry_of(whole.file, f"entry {name!r}", value) for name, value in database.items()}


def _video(entry: JsonEntry) -> tuple[float, str, list[Action]]:
    """Duration, subset and actions of one entry. Raises PyraTokError."""
    duration = _seconds(entry.values.get("duration"))
    if duration is None or time_problem(0.0, duration) is not None:
        given = entry.values.get("duration")
        raise entry.problem(f"'duration' must be a number of seconds from 0 up, got {given!r:.80}")
    subset = entry.field("subset", str)
    if subset not in SUBSETS:
        raise entry.problem(f"'subset' must be one of {', '.join(SUBSETS)}, got {subset!r:.80}")
    return duration, subset, [_action(annotation) for annotation in entry.entries("annotations")]


def _action(annotation: JsonEntry) -> Action:
    segment = annotation.field("segment", list)
    times = [_seconds(value) for value in segment]
    if len(times) != 2 or None in times:
        raise annotation.problem(f"'segment' must be [start, end] in seconds, got {segment!r:.80}")
    if (problem := time_problem(*times)) is not None:
        raise annotation.problem(problem)
    return Action(annotation.words("label"), *times)


def _seconds(value: Any) -> float | None:
    """A number of JSON as a float, None for anything else; what is too large for one is infinite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
