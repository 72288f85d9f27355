"""The file of a token index: safetensors with the embeddings of token files and what is known of each, under a checksum.

    embeddings  float32 (N, L, W): of every file that can be searched the embedding from each level, zero if it lacks the level
    entries     uint8: canonical JSON, a list with one object for each file, in the order of their names

The header's one metadata key holds canonical JSON: the version, which weights the embeddings are of, and the SHA-256 of all the
rest. So equal indexes have equal bytes. An index is a cache: what is not exactly right is not used, and made anew.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..modeling_pyratok.atomic_writing import atomic_path
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.token_files import LENGTH_BYTES, canonical_json
from .token_file_listing import FileState

FORMAT_VERSION = 1
METADATA_KEY = "pyratok_token_index"
MAGIC = f'{{"__metadata__":{{"{METADATA_KEY}":"'.encode()
"""What follows the header's length in every index."""

MAX_HEADER_BYTES = 2**16
MAX_INDEX_BYTES = 2**36
"""64 GiB: about ten million files with four levels of 384 numbers."""

SHA256 = re.compile("[0-9a-f]{64}")


class IndexFileError(PyraTokError):
    """An index that is damaged, is none, or belongs to other weights."""


@dataclass(frozen=True)
class IndexKey:
    """What embeddings depend on beside the tokens: the weights of the alignment and of the tokenizer, and the sizes."""

    alignment_fingerprint: str
    tokenizer_fingerprint: str
    num_levels: int
    text_hidden_size: int


@dataclass(frozen=True)
class TokenEntry:
    """A token file in an index.

    name: the path within the folder, with slashes. problem: why it cannot be searched, None if it can; then the other fields
    say what the tokens do: the levels that are there, the number of frames, frames per second, and the caption, if any.
    """

    name: str
    state: FileState
    problem: str | None = None
    levels: tuple[int, ...] = ()
    num_frames: int = 0
    fps: Fraction = Fraction(1)
    caption: str | None = None

    @property
    def duration(self) -> float:
        """Seconds."""
        return float(self.num_frames / self.fps)


def is_index_file(path: str | os.PathLike[str]) -> bool:
    """Whether the file begins as an index does, whatever follows. Raises OSError if it cannot be read."""
    with open(path, "rb") as file:
        return file.read(LENGTH_BYTES + len(MAGIC))[LENGTH_BYTES:] == MAGIC


def write_index_file(
    path: str | os.PathLike[str], key: IndexKey, entries: Sequence[TokenEntry], embeddings: torch.Tensor
) -> None:
    """Write an index, whole or not at all. embeddings: float32 (N, L, W) of the entries without a problem, in order.

    Raises PyraTokError if the target cannot be written.
    """
    text = canonical_json([_record_of(entry) for entry in entries]).encode("utf-8", "surrogateescape")
    packed = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    metadata = {"version": FORMAT_VERSION, **asdict(key)}
    metadata["sha256"] = _digest_of(metadata, packed, embeddings)
    with atomic_path(path) as temporary:
        mode = stat.S_IMODE(temporary.stat().st_mode)
        tensors = {"embeddings": embeddings.contiguous(), "entries": packed}
        try:
            save_file(tensors, temporary, metadata={METADATA_KEY: canonical_json(metadata)})
        except SafetensorError as problem:
            raise PyraTokError(f"cannot write {os.fspath(path)!r}: {problem}") from problem
        temporary.chmod(mode)  # the library's files are for their owner alone


def read_index_file(path: str | os.PathLike[str], key: IndexKey) -> tuple[list[TokenEntry], torch.Tensor]:
    """Entries and embeddings, as `write_index_file` was given them for the same key.

    Raises IndexFileError if it is no index, is damaged, or was written for another key, and OSError if it cannot be read. Sizes
    are compared with the file's before anything is read into memory.
    """
    _check_head(path)
    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            metadata = _json_of((file.metadata() or {}).get(METADATA_KEY, ""))
            _check_metadata(metadata, key)
            _check_tensors(file, key)
            packed, embeddings = file.get_tensor("entries"), file.get_tensor("embeddings")
        if metadata.pop("sha256", None) != _digest_of(metadata, packed, embeddings):
            raise IndexFileError("its checksum is wrong")
        entries = [
            _entry_of(record) for record in _json_of(packed.numpy().tobytes().decode("utf-8", "surrogateescape"))
        ]
    except IndexFileError:
        raise
    except (SafetensorError, ValueError, TypeError, KeyError, RecursionError) as problem:
        raise IndexFileError(f"it cannot be read: {problem}") from problem
    names = [entry.name for entry in entries]
    if names != sorted(set(names)) or sum(entry.problem is None for entry in entries) != len(embeddings):
        raise IndexFileError("its entries and embeddings do not belong together")
    return entries, embeddings


def _check_head(path: str | os.PathLike[str]) -> None:
    """Raise IndexFileError unless it is a regular file of a possible size that begins as an index does."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise IndexFileError("it is no regular file")
    if status.st_size > MAX_INDEX_BYTES:
        raise IndexFileError(f"it has {status.st_size} bytes, more than an index can have")
    with open(path, "rb") as file:
        head = file.read(LENGTH_BYTES + len(MAGIC))
    if head[LENGTH_BYTES:] != MAGIC or int.from_bytes(head[:LENGTH_BYTES], "little") > MAX_HEADER_BYTES:
        raise IndexFileError("its beginning is not that of an index")


def _check_metadata(metadata: Any, key: IndexKey) -> None:
    """Raise IndexFileError unless version and key are those of this index."""
    if not isinstance(metadata, dict) or not isinstance(metadata.get("version"), int):
        raise IndexFileError("its metadata are none")
    if metadata["version"] != FORMAT_VERSION:
        raise IndexFileError(f"it has format version {metadata['version']} and this PyraTok writes {FORMAT_VERSION}")
    if metadata.keys() != {"version", "sha256", *asdict(key)}:
        raise IndexFileError("its metadata have other fields")
    if any(metadata[name] != value for name, value in asdict(key).items()):
        raise IndexFileError("it is of another model")


def _check_tensors(file: Any, key: IndexKey) -> None:
    """Raise IndexFileError unless names, types and shapes are right; the library has compared sizes with the file's."""
    kinds = {name: (file.get_slice(name).get_dtype(), file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    if kinds.keys() != {"embeddings", "entries"}:
        raise IndexFileError(f"it holds {sorted(kinds)!r:.100}")
    (dtype, shape), (packed_dtype, packed_shape) = kinds["embeddings"], kinds["entries"]
    if (dtype, len(shape), shape[1:]) != ("F32", 3, [key.num_levels + 1, key.text_hidden_size]):
        raise IndexFileError(f"its embeddings are {dtype} {shape}")
    if (packed_dtype, len(packed_shape)) != ("U8", 1):
        raise IndexFileError(f"its entries are {packed_dtype} {packed_shape}")


def _digest_of(metadata: dict[str, Any], *tensors: torch.Tensor) -> str:
    """SHA-256 over the metadata without the digest itself and the bytes of the tensors."""
    digest = hashlib.sha256(canonical_json(metadata).encode())
    for tensor in tensors:
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _record_of(entry: TokenEntry) -> dict[str, Any]:
    """An entry in whole numbers and strings."""
    state = entry.state
    record = {"name": entry.name, "size": state.size, "modified": state.modified, "sha256": state.sha256}
    if entry.problem is not None:
        return {**record, "problem": entry.problem}
    return {
        **record,
        "levels": list(entry.levels),
        "num_frames": entry.num_frames,
        "fps": [entry.fps.numerator, entry.fps.denominator],
        "caption": entry.caption,
    }


def _entry_of(record: Any) -> TokenEntry:
    """The entry that `_record_of` described. Raises ValueError, TypeError or KeyError."""
    name, problem = record["name"], record.get("problem")
    size, modified, digest = record["size"], record["modified"], record["sha256"]
    if not isinstance(name, str) or type(size) is not int or type(modified) is not int or not SHA256.fullmatch(digest):
        raise ValueError(f"an entry is none: {record!r:.200}")
    state = FileState(size, modified, digest)
    if problem is not None:
        return TokenEntry(name, state, str(problem))
    levels, frames, fps, caption = (record[field] for field in ("levels", "num_frames", "fps", "caption"))
    if {type(number) for number in (*levels, frames, *fps)} != {int} or min(*levels, frames, *fps) < 1:
        raise ValueError(f"an entry has numbers that cannot be: {record!r:.200}")
    if caption is not None and not isinstance(caption, str):
        raise ValueError(f"an entry has a caption that is no text: {record!r:.200}")
    return TokenEntry(name, state, None, tuple(levels), frames, Fraction(*fps), caption)


def _json_of(text: str) -> Any:
    """JSON in which every number is whole. Raises ValueError, or RecursionError for deep nesting."""
    return json.loads(text, parse_float=_refuse, parse_constant=_refuse)


def _refuse(number: str) -> NoReturn:
    raise ValueError(f"{number[:50]} is not a whole number")
