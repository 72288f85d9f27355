"""Codes of any number of bits, packed without gaps.

Bit j of code i stands at bit i * bits + j of the stream, and bit k of the stream is bit k % 8 of byte k // 8:
little-endian throughout. The bits that fill up the last byte are zero.
"""

import numpy as np
import torch

MAX_BITS = 62
"""Bits of a code at most: the separators 2**bits and 2**bits + 1 must still fit a 64-bit integer."""

CODES_AT_ONCE = 1 << 16
"""Codes that are spread out to single bits (64 bytes each) at a time; a multiple of 8, so a run ends on a byte."""


def packed_size(count: int, bits: int) -> int:
    """Bytes that `count` codes of `bits` bits take."""
    return (count * bits + 7) // 8


def pack_codes(codes: torch.Tensor, bits: int) -> bytes:
    """Pack an int64 tensor of any shape, row by row. Raises ValueError for a code outside [0, 2**bits)."""
    flat = codes.reshape(-1).numpy()  # (n,)
    if flat.size and (flat.min() < 0 or flat.max() >= 1 << bits):
        raise ValueError(f"codes of {bits} bits lie in [0, {1 << bits}), got {flat.min()} to {flat.max()}")
    packed = np.empty(packed_size(flat.size, bits), dtype=np.uint8)
    for start in range(0, flat.size, CODES_AT_ONCE):
        octets = flat[start : start + CODES_AT_ONCE].astype("<i8").view(np.uint8).reshape(-1, 8)  # (m, 8)
        single_bits = np.unpackbits(octets, axis=1, bitorder="little")[:, :bits]  # (m, bits)
        run = np.packbits(single_bits, bitorder="little")
        first = start * bits // 8
        packed[first : first + run.size] = run
    return packed.tobytes()


def unpack_codes(packed: bytes | memoryview, count: int, bits: int) -> torch.Tensor:
    """The `count` codes that `pack_codes` packed, int64 (count,).

    Raises ValueError if the number of bytes is not `packed_size(count, bits)` or if a bit after the last code is set.
    """
    if len(packed) != packed_size(count, bits):
        raise ValueError(
            f"{count} codes of {bits} bits take {packed_size(count, bits)} bytes, got {len(packed)} bytes"
        )
    used = count * bits % 8
    if used and packed[-1] >> used:
        raise ValueError("the bits after the last code are not zero")
    stream = np.frombuffer(packed, dtype=np.uint8)
    codes = np.empty(count, dtype=np.int64)
    for start in range(0, count, CODES_AT_ONCE):
        run = min(CODES_AT_ONCE, count - start)
        first = start * bits // 8
        octets = np.zeros((run, 64), dtype=np.uint8)
        octets[:, :bits] = np.unpackbits(stream[first:], count=run * bits, bitorder="little").reshape(run, bits)
        codes[start : start + run] = np.packbits(octets, axis=1, bitorder="little").view("<i8").reshape(run)
    return torch.from_numpy(codes)
