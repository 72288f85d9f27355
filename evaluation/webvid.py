"""WebVid-10M (Bain et al., ICCV 2021): a CSV file with a line for each video and its caption, and the downloaded videos."""

import os

from ..modeling_pyratok.errors import PyraTokError
from .annotation_reading import existing_folder, path_inside, read_table
from .captioned_files import CaptionedFile, CaptionedFiles


def read_webvid(table: str | os.PathLike[str], videos: str | os.PathLike[str]) -> CaptionedFiles:
    """The videos of WebVid-10M (or WebVid-2.5M) that have been downloaded, with their captions.

    Args:
        table: results_10M_val.csv or the like, with the columns videoid, page_dir and name (the caption), and others.
        videos: the folder of the videos, PAGE_DIR/VIDEOID.mp4 as they are published, or VIDEOID.mp4.

    Raises:
        PyraTokError: for a table or a line that is not as it should be, or if no video is there.
    """
    folder = existing_folder(videos, "the folder of videos")
    files, left_out = [], {}
    for line, row in read_table(table, ("videoid", "page_dir", "name")):
        place = f"{os.fspath(table)!r}, line {line}"
        if not row["videoid"].strip():
            raise PyraTokError(f"{place}: the videoid is empty")
        name = path_inside(row["videoid"].strip() + ".mp4", place)
        paged = path_inside(f"{row['page_dir'].strip() or '.'}/{name}", place)
        path = next((folder / choice for choice in (paged, name) if (folder / choice).is_file()), None)
        if path is None:
            left_out[str(paged)] = f"it is not in {str(folder)!r}, and neither is {name}"
        else:
            files.append(CaptionedFile(path, row["name"].strip() or None))
    return CaptionedFiles("WebVid-10M", tuple(files), left_out)
