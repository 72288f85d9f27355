"""The annotations of Kinetics-400, 600 and 700 (Kay et al., 2017; Carreira et al., 2018, 2019) as they are published: CSV

    label,youtube_id,time_start,time_end,split          and, in those of Kinetics-400, is_cc
    abseiling,0wR5jVB-WPk,417,427,val
    "petting animal (not cat)",-4CnFWSrEeU,69,79,val

The clip of a row is the file {youtube_id}_{time_start:06d}_{time_end:06d}.mp4 (or mkv, webm, avi), either directly in the
folder of the videos, or in a folder there that is named as the label, with spaces or with underscores.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..modeling_pyratok.errors import PyraTokError
from .annotation_reading import read_table
from .classification_data import SPLIT_NAMES, ClassificationData, LabelledVideo
from .named_videos import named_videos, none_found

HEADER = ("label", "youtube_id", "time_start", "time_end", "split")


def read_kinetics(annotations: str | os.PathLike[str], videos_folder: str | os.PathLike[str]) -> ClassificationData:
    """The clips of a CSV file that are in the folder; those that are not are named in `missing`.

    Args:
        annotations: one of the CSV files. Those of the test splits are published without labels, and are refused.
        videos_folder: where the clips, or the folders of the labels, lie.

    Raises:
        PyraTokError: with file, line and reason for a header without one of the columns, or an invalid row; for a clip
            that stands in it twice, with whatever label; if it has no rows; if none of the clips is in the folder.
    """
    clips = _read_clips(annotations)
    flat = named_videos(videos_folder)
    of_label = {label: _label_folder(Path(videos_folder), label) for label in {clip.label for clip in clips}}
    videos, missing = [], []
    for clip in clips:
        path = of_label[clip.label].get(clip.name) or flat.get(clip.name)
        if path is None:
            missing.append(f"{clip.label}/{clip.name}")
        else:
            videos.append(LabelledVideo(path, clip.label, clip.split))
    if not videos:
        raise none_found(missing, videos_folder, f"{missing[0]}.mp4")
    return ClassificationData(tuple(videos), tuple(sorted(of_label)), tuple(missing))


@dataclass(frozen=True)
class _Clip:
    """A row; `name` is that of its file, without the extension."""

    label: str
    name: str
    split: str


def _label_folder(folder: Path, label: str) -> dict[str, Path]:
    """The videos in the folders that are named for the label, by name."""
    names = dict.fromkeys((label, label.replace(" ", "_")))
    folders = [folder / name for name in names if (folder / name).is_dir()]
    return {name: path for found in map(named_videos, folders) for name, path in found.items()}


def _read_clips(annotations: str | os.PathLike[str]) -> list[_Clip]:
    clips: list[_Clip] = []
    lines: dict[str, int] = {}
    for line, row in read_table(annotations, HEADER):
        where = f"{os.fspath(annotations)!r}, line {line}"
        clip = _clip(row, where)
        if clip.name in lines:
            raise PyraTokError(
                f"{where}: the clip {clip.name!r} stands in line {lines[clip.name]} already; keep one of them"
            )
        lines[clip.name] = line
        clips.append(clip)
    if not clips:
        raise PyraTokError(f"{os.fspath(annotations)!r} has a header and no rows")
    return clips


def _clip(row: Mapping[str, str], where: str) -> _Clip:
    label, youtube_id, start, end, split = (row[column] for column in HEADER)
    if not label.strip() or "/" in label or "\\" in label or label in (".", ".."):
        raise PyraTokError(f"{where}: the label must be the name of a class, got {label!r:.100}")
    if not re.fullmatch(r"[A-Za-z0-9_-]+", youtube_id):
        raise PyraTokError(f"{where}: youtube_id must be letters, digits, - and _, got {youtube_id!r:.100}")
    if not all(re.fullmatch(r"[0-9]{1,9}", time) for time in (start, end)):
        raise PyraTokError(
            f"{where}: time_start and time_end must be whole seconds from 0 up, got {start!r:.50} and {end!r:.50}"
        )
    if int(end) <= int(start):
        raise PyraTokError(f"{where}: time_end {end} must be after time_start {start}")
    if split not in SPLIT_NAMES:
        raise PyraTokError(f"{where}: split must be one of {', '.join(SPLIT_NAMES)}, got {split!r:.100}")
    return _Clip(label, f"{youtube_id}_{int(start):06d}_{int(end):06d}", SPLIT_NAMES[split])
