"""The files that clips are cut from: listed by streaming `datasets`, decoded on demand, kept while there is room."""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import fsspec
import torch
from datasets import Image, Video, load_dataset

from ..modeling_pyratok.errors import VideoReadError
from ..modeling_pyratok.video_reading import VideoReader
from .data_errors import DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MediaFile:
    """One video or image: where it is (a path, or an address that fsspec opens) and its caption, if it has one."""

    path: str
    caption: str | None


def list_videos(folder: str, split: str) -> list[MediaFile]:
    """The videos of one split of a `videofolder`, in the order of the dataset. Raises DataError if there are none."""
    return _listed("videofolder", "video", Video(decode=False), folder, split)


def list_images(folder: str, split: str) -> list[MediaFile]:
    """The images of one split of an `imagefolder`, in the order of the dataset. Raises DataError if there are none."""
    return _listed("imagefolder", "image", Image(decode=False), folder, split)


def _listed(builder: str, column: str, feature: Video | Image, folder: str, split: str) -> list[MediaFile]:
    # Streaming lists names and captions without copying or decoding a single file, whatever the size of the data.
    try:
        rows = load_dataset(builder, data_dir=folder, split=split, streaming=True).cast_column(column, feature)
        files = [MediaFile(row[column]["path"], row.get("text")) for row in rows]
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise DataError(f"cannot list the {column}s of split '{split}' in {folder}: {error}") from error
    if not files:
        raise DataError(f"split '{split}' of {folder} holds no {column}s")
    return files


class DecodedFiles:
    """Decoded files by index, least recently used ones leaving first when `cache_bytes` are exceeded.

    A file that cannot be read, or that alone would exceed `cache_bytes`, is logged by name, counted in `unreadable`, and
    replaced by the next one in the list, so that which frames an index stands for depends on the files and on
    `cache_bytes` alone.
    """

    def __init__(self, files: Sequence[MediaFile], cache_bytes: float):
        self.files = files
        self.unreadable: dict[str, str] = {}
        """Path -> what was wrong with it."""
        self._cache_bytes = cache_bytes
        self._cached: OrderedDict[int, torch.Tensor] = OrderedDict()
        self._used_bytes = 0

    def __len__(self) -> int:
        return len(self.files)

    def frames(self, index: int) -> tuple[MediaFile, torch.Tensor]:
        """The file at `index`, or the next readable one, and its frames, uint8 (T, H, W, 3).

        Raises DataError when no file can be read.
        """
        for candidate in range(index, index + len(self.files)):
            candidate %= len(self.files)
            frames = self._decoded(candidate)
            if frames is not None:
                return self.files[candidate], frames
        raise DataError(f"none of the {len(self.files)} files can be read, the first is {self.files[0].path}")

    def _decoded(self, index: int) -> torch.Tensor | None:
        if index in self._cached:
            self._cached.move_to_end(index)
            return self._cached[index]
        path = self.files[index].path
        if path in self.unreadable:
            return None
        try:
            frames = self._read(path)
        except (VideoReadError, OSError) as error:
            self.unreadable[path] = str(error)
            logger.warning("skipped unreadable file %s (%d so far): %s", path, len(self.unreadable), error)
            return None
        self._cached[index] = frames
        self._used_bytes += frames.nbytes
        while self._used_bytes > self._cache_bytes:
            self._used_bytes -= self._cached.popitem(last=False)[1].nbytes
        return frames

    def _read(self, path: str) -> torch.Tensor:
        """All frames, uint8 (T, H, W, 3). Raises VideoReadError, also if they do not fit into the cache."""
        with VideoReader(path if Path(path).exists() else _fetched(path)) as reader:
            info = reader.info
            room = int(self._cache_bytes // (info.height * info.width * 3))  # frames
            too_long = VideoReadError(
                f"{path} has more than the {room} frames of {info.width}x{info.height} that fit into "
                f"{self._cache_bytes / 1e9:.3g} GB; split it, or raise cache_gigabytes."
            )
            if (info.num_frames or 0) > room:
                raise too_long
            frames = []
            for frame in reader:
                if len(frames) == room:  # the header said less, or nothing
                    raise too_long
                frames.append(frame)
        return torch.stack(frames)


def _fetched(path: str) -> bytes:
    with fsspec.open(path, "rb") as file:
        return file.read()
