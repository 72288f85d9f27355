"""Token files into the shards of a dataset: what `datasets` streams, and the Hub shows."""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..hub_cards.dataset_facts import TokenKind
from ..modeling_pyratok.errors import PyraTokError, TokenFileError, system_reason
from ..modeling_pyratok.token_files import read_token_file
from ..modeling_pyratok.video_tokens import VideoTokens
from .parquet_shards import DATA_FOLDER, ShardWriter, check_split, shard_name
from .token_kinds import KIND_KEY, difference, kind_of, kind_to_json
from .token_rows import row_of

SHARD_BYTES = 2**28
"""Bytes of token files in a shard."""

Progress = Callable[[Sequence[str]], Iterable[str]]


@dataclass(frozen=True)
class TokenShards:
    """What was written: the shards of a split, and the token files that cannot be read, by name, with the reason."""

    paths: tuple[Path, ...]
    clips: int
    left_out: dict[str, str]


def write_shards(
    files: Mapping[str, Path], folder: Path, split: str, shard_bytes: int = SHARD_BYTES, progress: Progress = iter
) -> TokenShards:
    """Write token files as one split of a dataset in a new folder; they have to be of the same tokenizer and levels.

    Their order depends on the names alone, and mixes them, since what streams a dataset shuffles little more than its
    shards. Equal files give equal shards.

    Args:
        files: token files by the names of their rows.
        folder: empty; what is in it is complete when this has ended.
        split: "train", "validation" or the like.
        shard_bytes: a shard holds no more bytes of token files than this, or one of them.
        progress: goes through the names and shows how far it is: `tqdm`, for example.

    Raises PyraTokError if no file can be read, if they are of different tokenizers or levels, if the shards cannot be
    written, and without pyarrow (extra `train`).
    """
    check_split(split)
    if shard_bytes < 1:
        raise PyraTokError(f"a shard takes at least one byte, got shard_bytes = {shard_bytes}")
    data = folder / DATA_FOLDER
    try:
        data.mkdir()
        writing = _Writing(data, shard_bytes)
        with writing:
            for name in progress(sorted(files, key=_place_in_order)):
                writing.add(name, files[name])
        if not writing.clips:
            raise PyraTokError(
                f"none of the {len(files)} token files can be read; the first: {next(iter(writing.left_out.values()))}"
            )
        count = len(writing.paths)
        paths = [path.rename(data / shard_name(split, index, count)) for index, path in enumerate(writing.paths)]
    except OSError as problem:
        raise PyraTokError(f"the shards cannot be written into {str(data)!r}: {system_reason(problem)}") from problem
    return TokenShards(tuple(paths), writing.clips, writing.left_out)


class _Writing:
    """Token files on their way into shards: the first that can be read says of which kind all have to be."""

    def __init__(self, folder: Path, shard_bytes: int) -> None:
        self._folder, self._shard_bytes = folder, shard_bytes
        self._stack = contextlib.ExitStack()
        self._writer: ShardWriter | None = None
        self._first: tuple[str, TokenKind] | None = None
        self.clips = 0
        self.left_out: dict[str, str] = {}

    @property
    def paths(self) -> list[Path]:
        """Of the shards that were written."""
        return [] if self._writer is None else self._writer.paths

    def __enter__(self) -> None:
        self._stack.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def add(self, name: str, path: Path) -> None:
        """Write a file's row, or note why it cannot be read. Raises TokenFileError for tokens of another kind."""
        try:
            contents = read_token_file(path)
            tokens = VideoTokens.from_bytes(contents)
            row = row_of(name, contents, tokens)
        except TokenFileError as problem:
            self.left_out[name] = str(problem)
            return
        kind = kind_of(tokens)
        if self._writer is None:
            self._first = name, kind
            writer = ShardWriter(self._folder, {KIND_KEY: kind_to_json(kind)}, self._shard_bytes)
            self._writer = self._stack.enter_context(writer)
        if found := difference(self._first[1], kind):
            raise TokenFileError(
                f"a dataset holds tokens of one tokenizer; {self._first[0]!r} and {name!r} differ: {found}"
            )
        self._writer.add(row)
        self.clips += 1


def _place_in_order(name: str) -> bytes:
    """Mixes names, the same way everywhere."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
