"""Where training data come from: folders, WebDataset shards, Parquet files and the Hub, as one kind of streaming rows.

`datasets` finds the files and their splits, and streams, shuffles, splits and resumes the rows. Three kinds of files are told
apart by what a split holds: tar shards, Parquet tables, or videos and pictures by themselves.
"""

import glob
import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import Features, Image, IterableDataset, Video, load_dataset_builder
from datasets.exceptions import DatasetsError

from ..modeling_pyratok.media_opening import MEDIA_SUFFIXES
from .data_errors import DataError
from .data_rows import Row, checked_row
from .media_listing import METADATA_FILES, MediaFile, list_media, suffix_of
from .table_shards import TABLE_SUFFIX, list_row_groups, read_footer, table_rows
from .tar_shards import DAMAGED_TAR, TAR_SUFFIXES, is_empty_tar, tar_rows

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

HUB_FOLDER = re.compile(r"hf://datasets/[^/]+/[^/]+/")
"""What precedes a file's path within a dataset of the Hub: owner, name and revision."""

MEDIA_COLUMNS = ("video", "image")


@dataclass(frozen=True)
class RowSource:
    """Rows of one split, a streaming dataset of `data_rows.Row`.

    is_listing: each row is a shard of its own and holds a path only, so that passing over rows costs nothing.
    """

    name: str
    rows: IterableDataset
    is_listing: bool

    @property
    def num_shards(self) -> int:
        """Into how many parts the rows can be split among processes and workers."""
        return self.rows.num_shards


def open_rows(source: str | os.PathLike[str], split: str | None = "train") -> RowSource:
    """The rows of a split of `source`; `split` None for those of all splits.

    `source` is one of:
        a folder of videos and pictures, with subfolders train/ and validation/ or without (then all is "train"),
            captions in metadata.jsonl as `text` or in text files beside the videos;
        a folder or a pattern of WebDataset shards, or of Parquet files with a column `video` or `image` and one `text`;
            their names tell the split ("train-00000.tar") as `datasets` explains it, and a pattern is all "train";
        owner/name, a dataset of the Hub in one of these forms.

    Raises DataError if there is nothing, no video or picture, no such split, or a shard that is empty.
    """
    source = os.fspath(source)
    files = _files_by_split(source)
    if split is not None and split not in files:
        raise DataError(f"{source} has no split '{split}', it has: {', '.join(sorted(files))}")
    paths = [path for name in files for path in files[name] if split in (None, name)]
    if shards := [path for path in paths if path.endswith(TAR_SUFFIXES)]:
        _check_tars(shards)
        return RowSource(source, IterableDataset.from_generator(tar_rows, gen_kwargs={"paths": shards}), False)
    if tables := [path for path in paths if _is_table(path)]:
        return RowSource(source, _table_rows(source, tables), False)
    media = list_media(paths, _root(source, paths))
    if not media:
        where = source if split is None else f"split '{split}' of {source}"
        raise DataError(f"{where} holds no videos or pictures; known are {', '.join(sorted(MEDIA_SUFFIXES))}")
    return listing(source, media)


def listing(name: str, files: Sequence[MediaFile]) -> RowSource:
    """Rows of videos and pictures by themselves."""
    return RowSource(name, IterableDataset.from_generator(_listed_rows, gen_kwargs={"files": list(files)}), True)


def split_names(source: str | os.PathLike[str]) -> list[str]:
    """The splits that `open_rows` finds, in order. Raises DataError."""
    return sorted(_files_by_split(os.fspath(source)))


def list_files(folder: str | os.PathLike[str]) -> dict[str, list[MediaFile]]:
    """The videos and pictures of a local folder, by split. Raises DataError."""
    source = os.fspath(folder)
    by_split = {name: list_media(paths, _root(source, paths)) for name, paths in _files_by_split(source).items()}
    by_split = {name: files for name, files in by_split.items() if files}
    if not by_split:
        raise DataError(f"{source} holds no videos or pictures; known are {', '.join(sorted(MEDIA_SUFFIXES))}")
    return by_split


def _files_by_split(source: str) -> dict[str, list[str]]:
    """Split -> paths, as `datasets` tells them apart."""
    builder, place = "videofolder", {}
    if Path(source).is_dir():
        place = {"data_dir": glob.escape(source)}
    elif Path(source).is_file():
        place = {"data_files": [glob.escape(source)]}
    elif glob.has_magic(source):
        place = {"data_files": source}
    elif HUB_ID.fullmatch(source):
        builder = source
    else:
        raise DataError(
            f"there is nothing at '{source}': give a folder, a pattern of shards, or owner/name of the Hub"
        )
    try:
        found = load_dataset_builder(builder, **place).config.data_files or {}
    except (DatasetsError, OSError, ValueError) as error:
        missing = (
            f"no files in '{source}'" if place else f"there is no folder '{source}', and the Hub has no such dataset"
        )
        raise DataError(f"{missing}: {error}") from error
    files = {str(name): sorted(map(str, paths)) for name, paths in found.items() if paths}
    if not files:
        raise DataError(f"no file matches '{source}'; mind the folder that the pattern starts from")
    return files


def _root(source: str, paths: Sequence[str]) -> str:
    """What the names of samples leave out, so that the same data have the same names in another place."""
    if hub := HUB_FOLDER.match(paths[0]):
        return hub.group()
    folder = (
        os.path.abspath(source) if Path(source).is_dir() else os.path.commonpath([posixpath.dirname(p) for p in paths])
    )
    return folder.replace(os.sep, "/").rstrip("/") + "/"


def _listed_rows(files: list[MediaFile]) -> Iterator[Row]:
    for file in files:
        try:
            yield checked_row(file.path, file.name, file.read_caption())
        except (OSError, UnicodeDecodeError) as error:
            yield checked_row(file.path, file.name, problem=f"its caption cannot be read: {error}")


def _check_tars(paths: Sequence[str]) -> None:
    for path in filter(os.path.exists, paths):
        try:
            is_empty = is_empty_tar(path)
        except DAMAGED_TAR as error:
            raise DataError(f"the shard {path} is damaged ({error}); copy it again, or remove it") from error
        if is_empty:
            raise DataError(f"the shard {path} is empty; copy it again, or remove it")


def _is_table(path: str) -> bool:
    return suffix_of(path) == TABLE_SUFFIX and posixpath.basename(path) not in METADATA_FILES


def _table_rows(source: str, paths: Sequence[str]) -> IterableDataset:
    row_groups = list_row_groups(paths)
    column = _media_column(source, paths[0])
    return IterableDataset.from_generator(table_rows, gen_kwargs={"row_groups": row_groups, "column": column})


def _media_column(source: str, path: str) -> str:
    schema = read_footer(path).schema.to_arrow_schema()
    try:
        features = Features.from_arrow_schema(schema)
    except ValueError as error:
        raise DataError(f"the columns of {path} are of a kind that is not known: {error}") from error
    by_kind = [name for kind in (Video, Image) for name, feature in features.items() if isinstance(feature, kind)]
    candidates = by_kind or [name for name in MEDIA_COLUMNS if name in features]
    if not candidates:
        raise DataError(f"{source} has no column 'video' or 'image', it has: {', '.join(features)}")
    return candidates[0]
