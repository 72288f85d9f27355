"""A folder of videos to classify: FOLDER/CLASS/clip.mp4, or with splits FOLDER/train/CLASS/clip.mp4 and so on."""

import os
from pathlib import Path

from ..modeling_pyratok.errors import PyraTokError, system_reason
from ..modeling_pyratok.media_opening import VIDEO_SUFFIXES
from ..modeling_pyratok.token_files import TOKEN_FILE_SUFFIX
from .annotation_reading import existing_folder
from .classification_data import SPLIT_NAMES, ClassificationData, LabelledVideo


def read_class_folders(folder: str | os.PathLike[str]) -> ClassificationData:
    """The videos and token files of a folder, sorted by their path in it; the label is the name of their class's folder.

    Underscores in a class's name become spaces, so that the label is a text. Splits are folders named train, validation
    (or val) and test that hold the folders of the classes. Names that begin with a dot, and files that are neither videos
    nor token files, are passed over.

    Raises PyraTokError if the folder is none or cannot be listed; for classes beside splits; for a class without
    videos, or with folders in it; for two names of one label or split; for fewer than two classes.
    """
    folder = existing_folder(folder, "the folder of classes")
    videos: list[LabelledVideo] = []
    for split, place in _split_folders(folder):
        videos += _class_videos(place, split)
    labels = tuple(sorted({video.label for video in videos}))
    if len(labels) < 2:
        raise PyraTokError(
            f"the folder {str(folder)!r} must hold two or more folders, one for each class, such as CLASS/clip.mp4; it has "
            f"{len(labels)}"
        )
    return ClassificationData(tuple(videos), labels)


def _split_folders(folder: Path) -> list[tuple[str | None, Path]]:
    """(split, folder that holds its classes), or one entry with None for the split. Raises PyraTokError for a mixture."""
    subfolders = _subfolders(folder)
    places = [place for place in subfolders if place.name in SPLIT_NAMES and _subfolders(place)]
    if not places:
        return [(None, folder)]
    if others := [place.name for place in subfolders if place not in places]:
        raise PyraTokError(
            f"the folder {str(folder)!r} holds the splits {', '.join(place.name for place in places)} and beside them "
            f"{', '.join(others)}; put every class into a split, or none"
        )
    splits = [SPLIT_NAMES[place.name] for place in places]
    if len(set(splits)) != len(splits):
        raise PyraTokError(
            f"the folder {str(folder)!r} has two names for one split: {', '.join(place.name for place in places)}"
        )
    return list(zip(splits, places, strict=True))


def _class_videos(folder: Path, split: str | None) -> list[LabelledVideo]:
    """The videos of every class in `folder`."""
    videos: list[LabelledVideo] = []
    names: dict[str, str] = {}
    for place in _subfolders(folder):
        label = place.name.replace("_", " ").strip()
        if label in names:
            raise PyraTokError(
                f"the folders {names[label]!r} and {place.name!r} in {str(folder)!r} are one label: {label!r}"
            )
        names[label] = place.name
        if deeper := _subfolders(place):
            raise PyraTokError(
                f"the class {str(place)!r} holds the folder {deeper[0].name!r}; its videos must lie in it directly"
            )
        files = [path for path in _entries(place) if path.suffix.lower() in (*VIDEO_SUFFIXES, TOKEN_FILE_SUFFIX)]
        if not files:
            raise PyraTokError(f"the class {str(place)!r} holds no videos, such as clip.mp4")
        videos += [LabelledVideo(path, label, split) for path in files]
    return videos


def _subfolders(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_dir()]


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, sorted, hidden names left out."""
    try:
        return [folder / name for name in sorted(os.listdir(folder)) if not name.startswith(".")]
    except OSError as problem:
        raise PyraTokError(f"cannot list the folder {str(folder)!r}: {system_reason(problem)}") from problem
