"""The rows to train on and those to validate on, also where the data have no split for validation.

Of a plain folder of videos a few are then held out. A hash of their names says which, so that every process and every run
holds out the same ones.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from .data_errors import DataError
from .data_sources import RowSource, list_files, listing, open_rows, split_names
from .media_listing import MediaFile

VALIDATION = "validation"
"""The usual name: files are held out in place of this split, and not where another one is asked for."""

HELD_OUT_SHARE = 0.05
MOST_HELD_OUT = 16


@dataclass(frozen=True)
class SplitRows:
    """train, validation: rows, which have no file in common; None without validation. held_out: names of files, if any."""

    train: RowSource
    validation: RowSource | None
    held_out: tuple[str, ...] = ()


def open_split_rows(source: str, train_split: str, validation_split: str | None) -> SplitRows:
    """The rows of two splits of `source` (see `open_rows`).

    Where loose videos and pictures have no split but `train_split`, and `validation_split` is "validation", a twentieth of
    the files is held out for it: at least one, at most 16. Raises DataError.
    """
    train = open_rows(source, train_split)
    if validation_split is None:
        return SplitRows(train, None)
    splits = split_names(source)
    if validation_split in splits:
        return SplitRows(train, open_rows(source, validation_split))
    if not train.is_listing or validation_split != VALIDATION or splits != [train_split]:
        raise DataError(
            f"{source} has no split '{validation_split}', it has: {', '.join(splits)}; give one of them as "
            "validation_split, or validation_split=null to train without validation"
        )
    files = list_files(source)[train_split]
    if len(files) < 2:
        raise DataError(
            f"{source} holds one file, and none can be held out for validation; add files, or set validation_split=null"
        )
    names = held_out_names(files)
    return SplitRows(
        listing(train.name, [file for file in files if file.name not in names]),
        listing(train.name, [file for file in files if file.name in names]),
        tuple(sorted(names)),
    )


def held_out_names(files: Sequence[MediaFile]) -> set[str]:
    """Which of the files are held out: those whose names have the smallest hashes."""
    count = min(max(round(HELD_OUT_SHARE * len(files)), 1), MOST_HELD_OUT)
    return set(sorted((file.name for file in files), key=_hash)[:count])


def _hash(name: str) -> bytes:
    return hashlib.blake2b(os.fsencode(name), digest_size=8).digest()
