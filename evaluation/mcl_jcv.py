"""MCL-JCV (Wang et al., ICIP 2016): thirty sources of about five seconds, 1920 x 1080, as raw 4:2:0 files or as mp4."""

import os
import re
from collections import defaultdict
from pathlib import Path

from .annotation_reading import existing_folder
from .captioned_files import CaptionedFile, CaptionedFiles

NUM_SOURCES = 30

SOURCE_NAME = re.compile(r"videoSRC(\d\d)(_\d+x\d+_\d+\.yuv|(_\d+x\d+_\d+)?\.mp4)", re.IGNORECASE)
"""A source; the coded versions that are published beside them have more in their names."""


def read_mcl_jcv(folder: str | os.PathLike[str]) -> CaptionedFiles:
    """The sources under `folder`, subfolders included, by number; none has a caption.

    They are videoSRC01_1920x1080_30.yuv and so on, raw files that `raw_video.open_video` reads, or mp4 files with that name or
    videoSRC01.mp4. Where a source is there twice, the raw file is taken and the other one is in `left_out`.

    Raises:
        PyraTokError: if there is no such folder or no source in it.
    """
    folder = existing_folder(folder, "the folder of MCL-JCV")
    found: dict[int, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if (match := SOURCE_NAME.fullmatch(path.name)) and path.is_file():
            found[int(match[1])].append(path)
    files, left_out = [], {}
    for number in range(1, NUM_SOURCES + 1):
        paths = sorted(found[number], key=lambda path: path.suffix.lower() != ".yuv")
        files.extend(CaptionedFile(path, None) for path in paths[:1])
        for path in paths[1:]:
            left_out[str(path.relative_to(folder))] = f"{paths[0].relative_to(folder)} is taken for this source"
        if not paths:
            left_out[f"videoSRC{number:02d}"] = f"neither a .yuv nor an .mp4 file of it is in {str(folder)!r}"
    return CaptionedFiles("MCL-JCV", tuple(files), left_out)
