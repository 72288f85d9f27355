"""The container of a token file: safetensors whose every byte is determined by what it holds, sealed with a checksum.

A file is, in this order:

    8 bytes     the header's length, little-endian
    header      {"__metadata__": {"pyratok_video_tokens": "<canonical JSON>"}, "level_1": ..., "sha256": ...}, spaces
    payload     one uint8 tensor per stored level, then `sha256`, the last 32 bytes of the file

Canonical JSON has sorted keys, no spaces and no escapes but those JSON demands; its "version" says how to read the
rest. The digest is that of the whole file with its own 32 bytes zero. Every later version keeps the start of the
header and the digest where they are, so that an older reader can tell a newer file from a damaged one.

Reading is strict: the digest is checked before anything is parsed, and then the header must be, byte for byte, the one
that `seal` writes. So there is one file for given contents, and no room in it for anything else.
"""

import hashlib
import json
import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any

from .bit_packing import MAX_BITS, packed_size
from .errors import TokenFileError, system_reason
from .token_layout import MAX_LEVELS, MAX_TOKENS

TOKEN_FILE_SUFFIX = ".safetensors"
"""How the name of a token file ends."""

FORMAT_VERSION = 1
METADATA_KEY = "pyratok_video_tokens"
DIGEST_NAME = "sha256"
DIGEST_BYTES = hashlib.sha256().digest_size
LENGTH_BYTES = 8
MAGIC = f'{{"__metadata__":{{"{METADATA_KEY}":"'.encode()
"""What follows the header's length in every token file."""

MAX_HEADER_BYTES = 2**20
MAX_FILE_BYTES = LENGTH_BYTES + MAX_HEADER_BYTES + packed_size(MAX_TOKENS, MAX_BITS) + MAX_LEVELS + DIGEST_BYTES


def canonical_json(value: object) -> str:
    """The one JSON text of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def seal(metadata: Mapping[str, Any], tensors: Sequence[tuple[str, bytes]]) -> bytes:
    """A whole file of these named byte strings. `metadata` holds "version" and what JSON can say without floats."""
    text = canonical_json(dict(metadata))
    sizes = [(name, len(data)) for name, data in tensors] + [(DIGEST_NAME, DIGEST_BYTES)]
    body = b"".join([_header(text, sizes), *(data for _, data in tensors)])
    return body + _digest_of(body)


def unseal(file: bytes) -> tuple[dict[str, Any], list[tuple[str, memoryview]]]:
    """The metadata and the named byte strings that were sealed; the strings are views of `file`.

    Raises TokenFileError if `file` is no token file, was changed or cut, comes from a newer version, or is not what
    `seal` writes. What the metadata and the byte strings mean is not checked here.
    """
    if len(file) < LENGTH_BYTES + len(MAGIC) + DIGEST_BYTES or file[LENGTH_BYTES : LENGTH_BYTES + len(MAGIC)] != MAGIC:
        raise TokenFileError("this is not a PyraTok token file, or its beginning is damaged")
    body = memoryview(file)[:-DIGEST_BYTES]
    if _digest_of(body) != file[-DIGEST_BYTES:]:
        raise TokenFileError("the token file is damaged or cut off (its checksum is wrong); encode the video again")
    header_end = LENGTH_BYTES + int.from_bytes(file[:LENGTH_BYTES], "little")
    if header_end > min(len(body), LENGTH_BYTES + MAX_HEADER_BYTES):
        raise TokenFileError("the token file announces a header that is longer than a header can be")
    try:
        text, metadata, sizes = _parse_header(bytes(body[LENGTH_BYTES:header_end]))
        expected = _header(text, sizes)
    except (ValueError, RecursionError) as problem:
        if isinstance(problem, TokenFileError):
            raise
        raise TokenFileError(f"the token file's header cannot be read: {problem}") from problem
    if expected != body[:header_end] or sizes[-1:] != [(DIGEST_NAME, DIGEST_BYTES)]:
        raise TokenFileError("the token file's header is not laid out as PyraTok writes it")
    if header_end + sum(size for _, size in sizes) != len(file):
        raise TokenFileError("the token file's size is not the one that its header announces")
    tensors, start = [], header_end
    for name, size in sizes[:-1]:
        tensors.append((name, body[start : start + size]))
        start += size
    return metadata, tensors


def is_token_file(path: str | os.PathLike[str]) -> bool:
    """Whether the file begins as a token file does, whatever follows. Raises OSError if it cannot be read."""
    with open(path, "rb") as file:
        return file.read(LENGTH_BYTES + len(MAGIC))[LENGTH_BYTES:] == MAGIC


def read_token_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a regular file that is not larger than a token file can be. Raises TokenFileError."""
    name = os.fspath(path)
    try:
        status = os.stat(name)
        # Asked before opening: opening a pipe would wait for somebody to write into it.
        if not stat.S_ISREG(status.st_mode):
            raise TokenFileError(f"cannot read {name!r}: that is a folder, a device or a pipe, not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise TokenFileError(f"cannot read {name!r}: {status.st_size} bytes are more than a token file can have")
        with open(name, "rb") as file:
            head = file.read(LENGTH_BYTES + len(MAGIC))
            # A film or a model that was given by mistake is told from a token file without reading it to its end.
            if head[LENGTH_BYTES:] != MAGIC:
                return head
            file.seek(0)
            return file.read(status.st_size)
    except TokenFileError:
        raise
    except OSError as problem:
        raise TokenFileError(f"cannot read {name!r}: {system_reason(problem)}") from problem
    except ValueError as problem:
        raise TokenFileError(f"cannot read {name!r}: {problem}") from problem


def _header(text: str, sizes: Sequence[tuple[str, int]]) -> bytes:
    """Length and header of a file with this metadata text and these tensors, padded with spaces to 8 bytes."""
    entries: dict[str, Any] = {"__metadata__": {METADATA_KEY: text}}
    start = 0
    for name, size in sizes:
        entries[name] = {"dtype": "U8", "shape": [size], "data_offsets": [start, start + size]}
        start += size
    header = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % LENGTH_BYTES)
    return len(header).to_bytes(LENGTH_BYTES, "little") + header


def _parse_header(header: bytes) -> tuple[str, dict[str, Any], list[tuple[str, int]]]:
    """Metadata text, metadata, name and size of every tensor. Raises ValueError (a TokenFileError for the version)."""
    entries = _parse_json(header.decode())
    if not isinstance(entries, dict):
        raise ValueError("it is not an object")
    attached = entries.pop("__metadata__", None)
    text = attached.get(METADATA_KEY) if isinstance(attached, dict) else None
    metadata = _parse_json(text) if isinstance(text, str) else None
    if not isinstance(metadata, dict):
        raise ValueError("the metadata is not an object")
    version = metadata.get("version")
    if type(version) is not int or version < 1:
        raise ValueError(f"it has no valid version number, got {version!r:.50}")
    if version > FORMAT_VERSION:
        raise TokenFileError(
            f"the token file has format version {version!r:.50} and this PyraTok reads up to {FORMAT_VERSION}; "
            "install a newer PyraTok"
        )
    if canonical_json(metadata) != text:
        raise ValueError("the metadata is not in canonical form")
    return text, metadata, [(name, _size_of(entry)) for name, entry in entries.items()]


def _size_of(entry: object) -> int:
    """The number of bytes that a tensor's header entry announces; all else in the entry follows from it."""
    shape = entry.get("shape") if isinstance(entry, dict) else None
    if not isinstance(shape, list) or len(shape) != 1 or type(shape[0]) is not int or shape[0] < 0:
        raise ValueError(f"a tensor in it is not one row of bytes: {entry!r:.100}")
    return shape[0]


def _parse_json(text: str) -> Any:
    """Parse JSON in which every number is whole. Raises ValueError, or RecursionError for deep nesting."""
    return json.loads(text, parse_float=_refuse_fraction)


def _refuse_fraction(number: str) -> None:
    """There is no fraction in a token file (and no NaN or infinity, which canonical JSON refuses)."""
    raise ValueError(f"{number[:50]} is not a whole number")


def _digest_of(body: bytes | memoryview) -> bytes:
    """SHA-256 of a file with this body and a digest of zeros behind it."""
    digest = hashlib.sha256(body)
    digest.update(bytes(DIGEST_BYTES))
    return digest.digest()
