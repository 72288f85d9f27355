"""YouTube-VIS 2021 (Yang et al., 2019) and OVIS (Qi et al., 2022): one JSON file and a folder of frames.

The file holds `videos`, `categories` and `annotations`; an annotation is one object with a mask for each frame, or null
where it is not seen. The published validation and test files have no annotations: they are measured by the benchmark's
server. Take the training file, or a part of it, to measure here.
"""

import os
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ..training.data_errors import DataError
from .annotation_pictures import picture_size
from .annotation_reading import existing_folder
from .coco_masks import StoredMask, checked_mask, decoded_mask
from .json_entries import JsonEntry, read_json_object
from .segmentation_data import SegmentationClip, SegmentationData, SegmentedObject

YOUTUBE_VIS_RATE = 6.0
"""Frames per second: every fifth of a film of 30. The file does not say it."""


def read_youtube_vis(
    annotations_json: str | os.PathLike[str],
    frames_folder: str | os.PathLike[str],
    frames_per_second: float = YOUTUBE_VIS_RATE,
) -> SegmentationData:
    """The videos of one annotation file, in its order; frames and masks are loaded when they are asked for.

    Args:
        annotations_json: such as train/instances.json of YouTube-VIS 2021, or annotations_train.json of OVIS.
        frames_folder: where its `file_names` are, such as train/JPEGImages.
        frames_per_second: of all videos.

    Returns: data whose names of categories are those of the file with blanks for underscores ("giant panda").

    Raises:
        PyraTokError: for anything missing or wrong in the file, with the entry and the reason; for a frame that is not
            there, or a first frame of another size than the file says.
    """
    folder = existing_folder(frames_folder, "the folder of frames")
    file = read_json_object(annotations_json)
    if file.values.get("annotations") is None:
        raise file.problem(
            "it has no 'annotations', as the published validation and test files; give a file that has them"
        )
    categories = _categories(file)
    videos: dict[int, _Video] = {}
    for entry in file.entries("videos"):
        _add(videos, entry, _Video(entry, folder))
    if not videos:
        raise file.problem("it has no videos")
    objects = _objects_by_video(file, videos, categories)
    repeated = Counter(video.folder for video in videos.values())
    clips = (
        SegmentationClip(
            name=video.folder if repeated[video.folder] == 1 else f"{video.folder} ({identity})",
            video=video.frames,
            size=video.size,
            frames_per_second=frames_per_second,
            objects=tuple(objects[identity]),
        )
        for identity, video in videos.items()
    )
    return SegmentationData(tuple(clips), categories)


class _Video:
    """A checked entry of `videos`."""

    def __init__(self, entry: JsonEntry, folder: Path) -> None:
        self.size = tuple(entry.count(name) for name in ("length", "height", "width"))
        names = entry.field("file_names", list)
        if len(names) != self.size[0]:
            raise entry.problem(f"'length' is {self.size[0]}, but there are {len(names)} 'file_names'")
        for name in names:
            if not isinstance(name, str):
                raise entry.problem(f"'file_names' must hold texts, got {name!r:.80}")
        self.frames = tuple(entry.path_in(folder, name) for name in names)
        self.folder = self.frames[0].parent.relative_to(folder).as_posix()
        try:
            found = picture_size(self.frames[0])
        except DataError as problem:
            raise entry.problem(str(problem)) from problem
        if found != self.size[1:]:  # so that masks are not made larger than the frames are
            raise entry.problem(f"(height, width) are {self.size[1:]}, those of {str(self.frames[0])!r} are {found}")


def _categories(file: JsonEntry) -> dict[int, str]:
    categories: dict[int, str] = {}
    for entry in file.entries("categories"):
        name = entry.words("name").replace("_", " ")
        if name in categories.values():
            raise entry.problem(f"another category is called {name!r} too")
        _add(categories, entry, name)
    return categories


def _add(known: dict, entry: JsonEntry, value: object) -> None:
    """Enter `value` under the entry's id. Raises DataError if another has that id."""
    identity = entry.field("id", int)
    if identity in known:
        raise entry.problem(f"'id' is {identity}, as that of an entry before it")
    known[identity] = value


def _objects_by_video(
    file: JsonEntry, videos: dict[int, _Video], categories: dict[int, str]
) -> dict[int, list[SegmentedObject]]:
    """Id of a video -> its objects, in the order of the file."""
    objects: dict[int, list[SegmentedObject]] = {video: [] for video in videos}
    places: dict[int, str] = {}
    for entry in file.entries("annotations"):
        _add(places, entry, entry.place)
        video = entry.field("video_id", int)
        if video not in videos:
            raise entry.problem(f"'video_id' is {video}, but the file has no such video")
        objects[video].append(_object(entry, videos[video], categories))
    return objects


def _object(entry: JsonEntry, video: _Video, categories: dict[int, str]) -> SegmentedObject:
    category = entry.field("category_id", int)
    if category not in categories:
        raise entry.problem(f"'category_id' is {category}, but the file has no such category")
    segmentations = entry.field("segmentations", list)
    if len(segmentations) != video.size[0]:
        raise entry.problem(f"there are {len(segmentations)} 'segmentations' for a video of {video.size[0]} frames")
    is_crowd = entry.values.get("iscrowd", 0)
    if is_crowd not in (0, 1):
        raise entry.problem(f"'iscrowd' must be 0 or 1, got {is_crowd!r:.80}")
    stored = []
    for frame, value in enumerate(segmentations):
        try:
            stored.append(checked_mask(value, *video.size[1:]))
        except ValueError as problem:
            raise _in_frame(entry, frame, problem) from problem
    place = JsonEntry(entry.file, entry.place, {})  # without the values, which take far more room than `stored`
    load = partial(_load_masks, place, stored, video.size)
    return SegmentedObject(categories[category], category, load, is_crowd=bool(is_crowd))


def _load_masks(place: JsonEntry, stored: Sequence[StoredMask], size: tuple[int, int, int]) -> np.ndarray:
    """Bool (T, H, W). Raises DataError."""
    masks = np.zeros(size, bool)
    for frame, value in enumerate(stored):
        try:
            masks[frame] = decoded_mask(value, *size[1:])
        except ValueError as problem:
            raise _in_frame(place, frame, problem) from problem
    return masks


def _in_frame(place: JsonEntry, frame: int, problem: ValueError) -> DataError:
    return place.problem(f"segmentations[{frame}]: {problem}")
