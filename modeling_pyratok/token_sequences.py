"""Tokens as one flat sequence of ids for language models: `<SOI> level <Q-SEP> level <Q-SEP> level ...`.

The ids of a level are its codes, frame by frame, row by row. With codes of b bits, SOI is 2**b and Q-SEP is 2**b + 1.
A sequence does not say by itself which level comes first: the order goes with it.
"""

from collections.abc import Sequence

import torch

from .errors import PyraTokError
from .token_layout import TokenLayout

INTEGER_DTYPES = frozenset({torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8})


def soi_id(codebook_bits: int) -> int:
    """The id that starts a sequence."""
    return 1 << codebook_bits


def q_sep_id(codebook_bits: int) -> int:
    """The id that stands between two levels."""
    return (1 << codebook_bits) + 1


def sequence_from_codes(codes: Sequence[torch.Tensor], codebook_bits: int) -> torch.Tensor:
    """Join the codes of some levels (tensors of any shape), in this order, to int64 ids (1 + tokens + levels - 1,)."""
    pieces = [torch.tensor([soi_id(codebook_bits)])]
    for level_codes in codes:
        pieces += [level_codes.reshape(-1), torch.tensor([q_sep_id(codebook_bits)])]
    return torch.cat(pieces[:-1])


def bits_of_sequence(ids: torch.Tensor) -> int:
    """The codebook bits that the first id (SOI = 2**bits) tells. Raises PyraTokError if it is no such power of two."""
    first = int(ids[0])
    bits = first.bit_length() - 1
    if bits < 1 or first != soi_id(bits):
        raise PyraTokError(f"a sequence starts with SOI = 2**codebook_bits, got {first} as its first id")
    return bits


def checked_ids(ids: torch.Tensor | Sequence[int]) -> torch.Tensor:
    """`ids` as int64 (n,) on the CPU. Raises PyraTokError unless they are whole numbers in one row, at least one."""
    try:
        tensor = torch.as_tensor(ids)
    except (TypeError, ValueError, OverflowError, RuntimeError) as problem:
        raise PyraTokError(f"a sequence is a row of whole numbers below 2**63: {problem}") from problem
    if tensor.ndim != 1 or not tensor.numel():
        raise PyraTokError(f"a sequence is one row of at least one id, got the shape {tuple(tensor.shape)}")
    if tensor.dtype not in INTEGER_DTYPES:
        raise PyraTokError(f"the ids of a sequence are whole numbers, got {tensor.dtype}")
    return tensor.detach().to("cpu", torch.int64)


def codes_from_sequence(
    ids: torch.Tensor, layout: TokenLayout, order: Sequence[int]
) -> tuple[torch.Tensor | None, ...]:
    """Split int64 ids (n,) into the codes (T_l, H_l, W_l) of every level; None for the levels that `order` leaves out.

    Raises PyraTokError if the number of ids, a separator or an id is not what `layout` and `order` (the levels in the
    order of the sequence) ask for; the sentence names the position, which counts from 0.
    """
    expected = layout.count_tokens(order) + len(order)
    if len(ids) != expected:
        raise PyraTokError(
            f"a sequence of the levels {tuple(order)} of a video of {' x '.join(map(str, layout.video_size))} has "
            f"{expected} ids with its separators, got {len(ids)}"
        )
    codes: list[torch.Tensor | None] = [None] * len(layout.level_strides)
    position = 0
    for index, level in enumerate(order):
        grid = torch.Size(layout.grids[level - 1])
        name, separator = ("Q-SEP", q_sep_id) if index else ("SOI", soi_id)
        if ids[position] != separator(layout.codebook_bits):
            raise PyraTokError(
                f"id {position} of the sequence, before level {level}, is {name} = {separator(layout.codebook_bits)}, "
                f"got {int(ids[position])}"
            )
        position += 1
        level_ids = ids[position : position + grid.numel()]
        _check_range(level_ids, layout.codebook_bits, position, level)
        codes[level - 1] = level_ids.reshape(grid)
        position += grid.numel()
    return tuple(codes)


def _check_range(level_ids: torch.Tensor, codebook_bits: int, position: int, level: int) -> None:
    """Raise PyraTokError for the first id of a level that is no code."""
    wrong = (level_ids < 0) | (level_ids >= 1 << codebook_bits)
    if wrong.any():
        offset = int(wrong.nonzero()[0])
        raise PyraTokError(
            f"id {position + offset} of the sequence, in level {level}, is a code from 0 to "
            f"{(1 << codebook_bits) - 1}, got {int(level_ids[offset])}"
        )
