"""Small data to train on, in each of the forms that are read: folders, tar shards, Parquet files."""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from clip_examples import clip_bytes, smooth_frames
from PIL import Image
from pyarrow import parquet


def small_video(seed: int, num_frames: int = 6) -> bytes:
    """An mp4 of 24 x 32 pixels, another one for each seed."""
    return clip_bytes("mp4", smooth_frames(num_frames, 24, 32, seed))


def small_picture(seed: int) -> bytes:
    """A PNG of 40 x 60 pixels."""
    target = io.BytesIO()
    Image.fromarray(smooth_frames(1, 40, 60, seed)[0]).save(target, "png")
    return target.getvalue()


def write_videos(folder: Path, count: int) -> list[str]:
    """video_0.mp4 ... with a caption each in metadata.jsonl; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"video_{number}.mp4" for number in range(count)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(small_video(number))
    write_metadata(folder, [{"file_name": name, "text": f"caption of {name}"} for name in names])
    return names


def write_metadata(folder: Path, rows: Sequence[dict]) -> None:
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def write_shards(folder: Path, sizes: Sequence[int]) -> None:
    """train-00000.tar ..., each with so many videos and captions."""
    number = 0
    for shard, size in enumerate(sizes):
        members = {}
        for _ in range(size):
            members |= {f"v{number}.mp4": small_video(number), f"v{number}.txt": f"caption {number}".encode()}
            number += 1
        write_tar(folder / f"train-{shard:05d}.tar", members)


def write_table(path: Path, columns: dict[str, list], row_group_size: int = 2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), path, row_group_size=row_group_size)


def damage_table(path: Path, row_group: int) -> None:
    """Overwrite the head of the first page of a row group; the list of row groups, at the file's end, stays whole."""
    column = parquet.read_metadata(path).row_group(row_group).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 64] = b"\xff" * 64
    path.write_bytes(data)


def starts_in(frames: np.ndarray, clip: np.ndarray) -> list[int]:
    """Where the stretch `clip` (t, h, w, 3) begins in `frames` (T, h, w, 3), exactly."""
    return [
        start
        for start in range(len(frames) - len(clip) + 1)
        if np.array_equal(frames[start : start + len(clip)], clip)
    ]
