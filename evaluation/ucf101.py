"""UCF-101 (Soomro et al. 2012): videos in a folder for each of 101 classes, and three ways to split them into two parts."""

import os
import re
from pathlib import Path

from ..modeling_pyratok.errors import PyraTokError
from .annotation_reading import existing_folder, path_inside, read_text
from .classification_data import ClassificationData, LabelledVideo


def read_ucf101(
    videos: str | os.PathLike[str], lists: str | os.PathLike[str], split: str = "test", fold: int = 1
) -> ClassificationData:
    """The videos of one part of UCF-101. Labels are the names of the classes in words: "Apply Eye Makeup".

    Args:
        videos: the folder UCF-101, with CLASS/v_CLASS_g01_c01.avi and so on.
        lists: the folder ucfTrainTestlist, with classInd.txt, trainlist01.txt, testlist01.txt and so on.
        split: "train" or "test".
        fold: 1, 2 or 3.

    Raises:
        PyraTokError: for a list or a line that is not as it should be, or if no video is there.
        ValueError: for another split or fold.
    """
    if split not in ("train", "test") or fold not in (1, 2, 3):
        raise ValueError(f"split is 'train' or 'test' and fold 1, 2 or 3, got {split!r} and {fold!r}")
    folder, lists = existing_folder(videos, "the folder of videos"), existing_folder(lists, "the folder of lists")
    classes = _classes(lists / "classInd.txt")
    found, missing = [], []
    for place, line in _lines(lists / f"{split}list{fold:02d}.txt"):
        name, number = _parts(line, is_numbered=split == "train", place=place)
        label = path_inside(name, place).parts[0]
        if label not in classes:
            raise PyraTokError(f"{place}: {label!r} is no class of classInd.txt")
        if number not in (None, classes[label]):
            raise PyraTokError(
                f"{place}: the class {label!r} is number {classes[label]} in classInd.txt, not {number}"
            )
        if (folder / name).is_file():
            found.append(LabelledVideo(folder / name, _in_words(label), split))
        else:
            missing.append(name)
    if not found:
        first = next(iter(missing), "the list is empty")
        raise PyraTokError(f"none of the {len(missing)} videos of UCF-101 is in {str(folder)!r}; the first: {first}")
    return ClassificationData(tuple(found), tuple(sorted(map(_in_words, classes))), tuple(missing))


def _in_words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)


def _classes(path: Path) -> dict[str, int]:
    """Name of the class -> its number."""
    classes: dict[str, int] = {}
    for place, line in _lines(path):
        match = re.fullmatch(r"(\d+)\s+(\S+)", line)
        if match is None:
            raise PyraTokError(f"{place}: it has to be a number and the name of a class, got {line!r}")
        number, name = int(match[1]), match[2]
        if name in classes or number in classes.values():
            raise PyraTokError(f"{place}: the class {number} {name} stands there twice")
        classes[name] = number
    return classes


def _parts(line: str, is_numbered: bool, place: str) -> tuple[str, int | None]:
    """The name of the video, CLASS/FILE.avi, and the number of its class, which only the lists for training have."""
    match = re.fullmatch(r"(\S+/\S+)" + (r"\s+(\d+)" if is_numbered else ""), line)
    if match is None:
        what = "CLASS/VIDEO.avi" + (" and the number of the class" if is_numbered else "")
        raise PyraTokError(f"{place}: it has to be {what}, got {line!r}")
    return match[1], int(match[2]) if is_numbered else None


def _lines(path: Path) -> list[tuple[str, str]]:
    """(place, line) of the lines that are not empty."""
    lines = enumerate(read_text(path).splitlines(), start=1)
    return [(f"{str(path)!r}, line {number}", line.strip()) for number, line in lines if line.strip()]
