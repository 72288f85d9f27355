"""Write a folder of videos into shuffled WebDataset shards: `python -m pyratok.training.shard_writing FOLDER OUTPUT`.

Training reads shards from front to end, which suits large data and remote disks, and shuffles their order alone: so their
contents are shuffled here. Each split of the folder gets shards of its own, `train-00000.tar` and so on.
"""

import argparse
import logging
import os
import posixpath
import secrets
import shutil
import sys
import tarfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.video_reading import VideoReader
from .clip_decoding import UNREADABLE
from .data_errors import DataError
from .data_rows import checked_row
from .data_sources import list_files
from .media_listing import MediaFile, suffix_of

logger = logging.getLogger(__name__)

TEMPORARY = ".writing-"


def write_shards(folder: str | os.PathLike[str], output: str | os.PathLike[str], shards: int, seed: int) -> list[Path]:
    """Write the videos and pictures of `folder` (see `data_sources.open_rows`) into `shards` tar files for each split.

    Every file is decoded to its end first; one that cannot be, or whose caption is no text, is logged by name and left out.
    Files of equal contents, the same seed and the same version of this code give the same bytes. The shards appear in
    `output` when all are complete. A split with fewer files gets a shard for each.

    Returns the paths of the shards. Raises DataError if there is nothing to write or `output` has shards already.
    """
    if shards < 1:
        raise DataError(f"the number of shards must be at least 1, got {shards}")
    target = Path(output)
    _refuse_occupied(target)
    samples = {split: _readable(files, split) for split, files in list_files(folder).items()}
    if not any(samples.values()):
        raise DataError(f"none of the files of {os.fspath(folder)} can be read")
    target.mkdir(parents=True, exist_ok=True)
    temporary = target / f"{TEMPORARY}{secrets.token_hex(8)}"
    temporary.mkdir()
    try:
        for number, (split, files) in enumerate(sorted(samples.items())):
            _write_split(temporary, split, files, shards, np.random.default_rng([seed, number]))
        written = sorted(temporary.iterdir())
        return [path.rename(target / path.name) for path in written]
    except OSError as error:
        raise DataError(f"the shards cannot be written to {target}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _refuse_occupied(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise DataError(f"{target} is a file; give a folder for the shards")
    if present := sorted(target.glob("*.tar")):
        raise DataError(f"{target} has shards already ({present[0].name}); give another folder, or remove them")


def _readable(files: Sequence[MediaFile], split: str) -> list[tuple[MediaFile, str | None]]:
    """Those files that can be read to their end, with their captions."""
    kept = []
    for file in tqdm(files, desc=f"checking {split}", unit="file", disable=not sys.stderr.isatty()):
        try:
            row = checked_row(file.path, file.name, file.read_caption())
            problem = row["problem"] or _decode(file.path)
        except (*UNREADABLE, UnicodeDecodeError) as error:
            problem = str(error)
        if problem is None:
            kept.append((file, row["caption"]))
        else:
            logger.warning("left out %s: %s", file.name, problem)
    return kept


def _decode(path: str) -> None:
    with VideoReader(path) as reader:
        for _ in reader:
            pass


def _write_split(
    folder: Path,
    split: str,
    samples: Sequence[tuple[MediaFile, str | None]],
    shards: int,
    generator: np.random.Generator,
) -> None:
    keys = _keys([file.name for file, _ in samples])
    order = generator.permutation(len(samples))
    bar = tqdm(total=len(samples), desc=f"writing {split}", unit="file", disable=not sys.stderr.isatty())
    with bar:
        for shard in range(min(shards, len(samples))):
            # Neither owners nor times, and a format that is the same everywhere.
            with tarfile.open(folder / f"{split}-{shard:05d}.tar", "w", format=tarfile.PAX_FORMAT) as archive:
                for index in order[shard::shards]:
                    file, caption = samples[index]
                    with open(file.path, "rb") as content:
                        size = os.fstat(content.fileno()).st_size
                        archive.addfile(_member(keys[index] + suffix_of(file.name), size), content)
                    if caption is not None:
                        text = caption.encode()
                        archive.addfile(_member(f"{keys[index]}.txt", len(text)), BytesIO(text))
                    bar.update()


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member


def _keys(names: Sequence[str]) -> list[str]:
    """What the files of each sample are called, without suffix: its name, without dots, which would end it, and unique."""
    taken: set[str] = set()
    keys = []
    for name in names:
        folder, file_name = posixpath.split(posixpath.splitext(name)[0])
        key = base = posixpath.join(folder, file_name.replace(".", "_"))
        repeat = 1
        while key in taken:
            repeat += 1
            key = f"{base}-{repeat}"
        taken.add(key)
        keys.append(key)
    return keys


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code, 2 for a clear error."""
    parser = argparse.ArgumentParser(
        prog="python -m pyratok.training.shard_writing", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folder", help="videos and pictures, with captions in metadata.jsonl or text files")
    parser.add_argument("output", help="the folder for the shards")
    parser.add_argument(
        "--shards", type=int, default=16, help="how many for each split; at least one per worker of training"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the order of the videos")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        written = write_shards(given.folder, given.output, given.shards, given.seed)
    except PyraTokError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{len(written)} shards in {given.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
