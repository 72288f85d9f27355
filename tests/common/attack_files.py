"""Files as an attacker would upload them: small, and huge once they are opened."""

import struct
import zlib
from pathlib import Path


def huge_picture(path: Path, side: int = 16_000) -> Path:
    """A grey PNG of side x side zeros: a few hundred kB that decode to side x side bytes, in a few lines of code."""
    packer = zlib.compressobj(1)
    row = bytes(1 + side)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b""))
    return path


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
