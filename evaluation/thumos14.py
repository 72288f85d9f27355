"""The temporal annotations of THUMOS14 (Idrees et al., 2017) as they are published, a folder of text files:

    BaseballPitch_test.txt, ..., VolleyballSpiking_test.txt     one for each class; of the validation videos CLASS_val.txt
    Ambiguous_test.txt                                          what could be an action or not, which is ignored

with lines of a video, start and end in seconds: `video_test_0000324  49.2 53.5`. The videos are video_test_0000324.mp4.

Papers differ in which test videos they leave out. The times of video_test_0000270 and video_test_0001496 lie beyond the
videos' ends, and video_test_0001292 has nothing but ambiguous stretches; here they count if their files are there.
"""

import os
import re
from collections import defaultdict
from pathlib import Path

from ..modeling_pyratok.errors import PyraTokError, system_reason
from .annotation_reading import existing_folder, read_text
from .localization_data import Action, ActionVideo, LocalizationData, time_problem, without_repeats
from .named_videos import named_videos, none_found

SUBSETS = {"test": "test", "validation": "val"}
"""Subset, as in the names of its videos -> what its annotation files end with."""

AMBIGUOUS = "Ambiguous"


def read_thumos14(
    annotations_folder: str | os.PathLike[str], videos_folder: str | os.PathLike[str], subset: str = "test"
) -> LocalizationData:
    """The videos and actions of one subset. Classes become texts: BaseballPitch is "baseball pitch".

    Args:
        annotations_folder: the folder with the text files. Files of other kinds in it, such as detclasslist.txt, and those
            of the other subset are not read.
        videos_folder: where the videos lie.
        subset: "test" or "validation".

    Raises:
        PyraTokError: with file, line and reason if the annotations are not as described; if there are none of the
            subset; if none of its videos is in the folder.
        ValueError: for another name of a subset.
    """
    if subset not in SUBSETS:
        raise ValueError(f"subset must be one of {', '.join(SUBSETS)}, got {subset!r}")
    actions: dict[str, list[Action]] = defaultdict(list)
    classes = []
    for path in _class_files(Path(annotations_folder), SUBSETS[subset]):
        label = class_text(_class_name(path))
        lines = _read_lines(path, subset)
        if not lines:
            raise PyraTokError(
                f"{str(path)!r} is empty; a class has at least one line such as `video_test_0000324 1.5 4.2`"
            )
        classes.append(label)
        for name, start, end in lines:
            actions[name].append(Action(label, start, end))
    ignored: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for name, start, end in _read_lines(_ambiguous_file(Path(annotations_folder), SUBSETS[subset]), subset):
        ignored[name].append((start, end))
    files = named_videos(videos_folder)
    names = sorted({*actions, *ignored})
    missing = tuple(name for name in names if name not in files)
    videos, repeated = [], []
    for name in names:
        if name in files:
            kept, again = without_repeats(name, actions[name])
            videos.append(ActionVideo(name, files[name], None, kept, tuple(ignored[name])))
            repeated += again
    if not videos:
        raise none_found(missing, videos_folder, f"{missing[0]}.mp4")
    return LocalizationData(tuple(videos), tuple(sorted(classes)), missing, tuple(repeated))


def class_text(name: str) -> str:
    """The class of a file's name in words: "CleanAndJerk" is "clean and jerk"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()


def _class_files(folder: Path, suffix: str) -> list[Path]:
    """The files of the classes, sorted. Raises PyraTokError if there are none, or a class with an odd name."""
    try:
        names = sorted(os.listdir(existing_folder(folder, "the folder of THUMOS14 annotations")))
    except OSError as problem:
        raise PyraTokError(f"cannot list the annotations in {str(folder)!r}: {system_reason(problem)}") from problem
    paths = [folder / name for name in names if name.endswith(f"_{suffix}.txt") and not name.startswith(".")]
    paths = [path for path in paths if _class_name(path) != AMBIGUOUS]
    if not paths:
        raise PyraTokError(f"the folder {str(folder)!r} holds no annotations such as BaseballPitch_{suffix}.txt")
    for path in paths:
        if not re.fullmatch(r"([A-Z][a-z0-9]*)+", _class_name(path)):
            raise PyraTokError(
                f"{str(path)!r} must be named for its class in capitalised words, as BaseballPitch_{suffix}.txt"
            )
    return paths


def _class_name(path: Path) -> str:
    return path.stem.rpartition("_")[0]


def _ambiguous_file(folder: Path, suffix: str) -> Path:
    path = folder / f"{AMBIGUOUS}_{suffix}.txt"
    if not path.is_file():
        raise PyraTokError(
            f"{str(path)!r} is not there; it has the stretches that are ignored, and may be empty if there are none"
        )
    return path


def _read_lines(path: Path, subset: str) -> list[tuple[str, float, float]]:
    """(video, start, end) of every line. Raises PyraTokError with file, line and reason."""
    lines = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{str(path)!r}, line {number}"
        fields = line.split()
        if len(fields) != 3:
            raise PyraTokError(f"{where}: it must have a video, start and end in seconds, got {line.strip()!r:.100}")
        name, start, end = fields
        if not re.fullmatch(rf"video_{subset}_\d+", name):
            raise PyraTokError(f"{where}: the video must be named as video_{subset}_0000324, got {name!r:.100}")
        try:
            times = float(start), float(end)
        except ValueError as problem:
            raise PyraTokError(f"{where}: {start!r:.50} and {end!r:.50} must be numbers of seconds") from problem
        if (problem := time_problem(*times)) is not None:
            raise PyraTokError(f"{where}: {problem}")
        lines.append((name, *times))
    return lines
