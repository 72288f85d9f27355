"""MVBench (Li et al., CVPR 2024): 20 tasks of multiple-choice questions, a JSON file for each, and the videos they are about.

A file is a list of {"video", "question", "candidates", "answer"}, where `answer` is the text of one of the candidates, and in
five tasks "start" and "end" in seconds; the other published tasks are about whole videos. The videos come from eleven data
sets, each with a folder of its own, and two of these number their files alike (video_10142.mp4 of CLEVRER is not that of the
Perception Test), so that each task has its folder. Episodic reasoning has folders of pictures, three for each second, where
the others have video files.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NoReturn

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.media_opening import VIDEO_SUFFIXES
from .annotation_reading import existing_folder, path_inside
from .json_entries import JsonEntry, entry_of, read_json
from .questions_data import Question, QuestionData
from .stretch_frames import PICTURES_PER_SECOND

PUBLISHED_FOLDERS = {
    "action_antonym": "ssv2_video",
    "action_count": "perception/videos",
    "action_localization": "sta/sta_video",
    "action_prediction": "star/Charades_v1_480",
    "action_sequence": "star/Charades_v1_480",
    "character_order": "perception/videos",
    "counterfactual_inference": "clevrer/video_validation",
    "egocentric_navigation": "vlnqa",
    "episodic_reasoning": "tvqa/frames_fps3_hq",
    "fine_grained_action": "Moments_in_Time_Raw/videos",
    "fine_grained_pose": "nturgbd",
    "moving_attribute": "clevrer/video_validation",
    "moving_count": "clevrer/video_validation",
    "moving_direction": "clevrer/video_validation",
    "object_existence": "clevrer/video_validation",
    "object_interaction": "star/Charades_v1_480",
    "object_shuffle": "perception/videos",
    "scene_transition": "scene_qa/video",
    "state_change": "perception/videos",
    "unexpected_action": "FunQA_test/test",
}
"""Task, which is the name of its JSON file -> where its videos are in the published folder `video`."""

WITH_STRETCHES = frozenset(
    ("action_localization", "action_prediction", "action_sequence", "episodic_reasoning", "object_interaction")
)
"""The published tasks whose questions are about a stretch of the video; in the other ones such fields mean nothing."""

LATER_FILES = "data0613"
"""A folder with the same folders in it, for the videos that were published later."""


def read_mvbench(annotations: str | os.PathLike[str], videos: str | os.PathLike[str]) -> QuestionData:
    """The questions of MVBench, or of other data in its format.

    Args:
        annotations: the folder `json` with a file for each task, or one such file.
        videos: the folder `video`. A video is looked for in the published folder of its task, in a folder of the task's name,
            in `videos` itself, and then in all subfolders (of a published task: those of its data set, wherever they are),
            where there may be one of its name and no more.

    Returns: the questions whose videos are there, in the order of the files. In `left_out` are those whose video is missing or
        ambiguous, whose stretch of time ends before it starts (the first edition has one), or whose pictures have another rate.

    Raises:
        PyraTokError: for a file or an entry that is not as it should be, or if no question is left.
    """
    places = _Places(existing_folder(videos, "the folder of videos"))
    questions, left_out = [], {}
    for path in _task_files(Path(annotations)):
        entries = read_json(path)
        if not isinstance(entries, list):
            raise PyraTokError(f"{str(path)!r}: a list of questions is needed here, got {entries!r:.80}")
        for number, value in enumerate(entries, start=1):
            entry = entry_of(str(path), f"entry {number}", value)
            choices, answer = _choices(entry)
            start, end = _stretch(entry, path.stem)
            name, text = entry.words("video"), entry.words("question")
            video = places.find(path.stem, path_inside(name, entry.where))
            reason = video if isinstance(video, str) else _unusable(entry, video, start or 0.0, end)
            if reason is None:
                questions.append(Question(path.stem, video, text, choices, answer, start, end))
            else:
                left_out[f"{path.name}, entry {number} ({name})"] = reason
    if not questions:
        where, reason = next(iter(left_out.items()), (str(annotations), "it holds no questions"))
        raise PyraTokError(f"none of the {len(left_out)} questions of MVBench can be asked; {where}: {reason}")
    return QuestionData(tuple(questions), left_out)


def _task_files(annotations: Path) -> list[Path]:
    if not annotations.is_dir():
        return [annotations]
    files = sorted(annotations.glob("*.json"))
    if not files:
        raise PyraTokError(
            f"{str(annotations)!r} holds no JSON files; give MVBench's folder `json` with action_sequence.json and so on"
        )
    return files


def _choices(entry: JsonEntry) -> tuple[tuple[str, ...], int]:
    """The candidates as texts, and which of them is the answer. Raises PyraTokError."""
    candidates, answer = entry.field("candidates", list), entry.values.get("answer")
    if len(candidates) < 2 or not all(map(_is_choice, candidates)):
        raise entry.problem(f"'candidates' must be a list of at least two texts, got {candidates!r:.80}")
    choices = tuple(map(str, candidates))
    if not _is_choice(answer) or str(answer) not in choices:
        raise entry.problem(f"the answer {answer!r:.80} is none of the candidates {list(choices)!r:.80}")
    return choices, choices.index(str(answer))


def _is_choice(value: object) -> bool:
    """A text, or a number that stands for its digits."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _stretch(entry: JsonEntry, task: str) -> tuple[float | None, float | None]:
    if task in PUBLISHED_FOLDERS and task not in WITH_STRETCHES:
        return None, None
    return _seconds(entry, "start"), _seconds(entry, "end")


def _seconds(entry: JsonEntry, name: str) -> float | None:
    value = entry.values.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise entry.problem(f"{name!r} must be a number of seconds, 0 or more, got {value!r:.80}")
    return float(value)


def _unusable(entry: JsonEntry, video: Path, start: float, end: float | None) -> str | None:
    """Why the question cannot be asked although its video is there, if so."""
    if end is not None and end <= start:
        return f"the stretch that it asks about starts at {start:g} s and ends at {end:g} s"
    rate = entry.values.get("fps")
    if video.is_dir() and rate not in (None, PICTURES_PER_SECOND):
        return f"its folder has {rate} pictures a second, and only {PICTURES_PER_SECOND:g} are read"
    return None


class _Places:
    """Where the videos of a task are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, task: str, name: PurePosixPath) -> Path | str:
        """The video, or why there is none to take."""
        published, folders = PUBLISHED_FOLDERS.get(task), [task, "."]
        if published is not None:
            folders = [published, f"{LATER_FILES}/{published}", *folders]
        for place in folders:
            if (path := self._folder / place / name).exists():
                return path
        data_set = "" if published is None else published.split("/")[0]
        found = [path for path in self._by_name[name.name] if _is_the_same(path, name, data_set)]
        if len(found) == 1:
            return self._folder / found[0]
        if found:
            several = " and ".join(repr(str(path)) for path in found[:2])
            return (
                f"there are {len(found)} of this name in {str(self._folder)!r}, {several}, and none in {folders[0]!r}"
            )
        where = ", ".join(map(repr, folders[:-1]))
        rest = f"the subfolders that begin with {data_set!r}" if data_set else "all its subfolders"
        return f"it is not in {str(self._folder)!r}: looked in {where}, in the folder itself and in {rest}"

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        """Paths within the folder of all videos and all folders, by their own name."""
        found = defaultdict(list)
        for path in _videos_and_folders(self._folder):
            found[path.name].append(path.relative_to(self._folder))
        return found


def _is_the_same(path: Path, name: PurePosixPath, data_set: str) -> bool:
    """Whether the file is what `name` stands for: data sets number their files alike, so its own has to be in the path."""
    is_of_data_set = any(part.startswith(data_set) for part in path.parts)
    return is_of_data_set and path.parts[-len(name.parts) :] == name.parts


def _videos_and_folders(folder: Path) -> Iterator[Path]:
    for place, subfolders, names in os.walk(folder, onerror=_raise):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        videos = sorted(name for name in names if Path(name).suffix.lower() in VIDEO_SUFFIXES)
        yield from (Path(place, name) for name in [*subfolders, *videos])


def _raise(problem: OSError) -> NoReturn:
    raise problem
