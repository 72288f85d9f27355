import numpy as np
import pytest
import torch

from pyratok.modeling_pyratok.errors import PyraTokError
from pyratok.modeling_pyratok.token_layout import TokenLayout
from pyratok.modeling_pyratok.token_sequences import (
    bits_of_sequence,
    checked_ids,
    codes_from_sequence,
    q_sep_id,
    sequence_from_codes,
    soi_id,
)

LAYOUT = TokenLayout((2, 16, 20), ((4, 8), (4, 16)), 4)  # grids (2, 2, 4) and (2, 1, 2): 16 and 4 tokens


def ids_of(order):
    """Ids that count up, so that a swapped pair would show."""
    codes = {1: torch.arange(16).reshape(2, 2, 4), 2: torch.arange(4).reshape(2, 1, 2)}
    return sequence_from_codes([codes[level] for level in order], 4)


def test_separators_follow_the_codes():
    assert soi_id(16) == 65536 and q_sep_id(16) == 65537
    assert soi_id(62) == 2**62


def test_the_sequence_is_soi_level_separator_level():
    assert ids_of((1, 2)).tolist() == [16, *range(16), 17, *range(4)]
    assert ids_of((2, 1)).tolist() == [16, *range(4), 17, *range(16)]
    assert ids_of((2,)).tolist() == [16, *range(4)]


@pytest.mark.parametrize("order", [(1, 2), (2, 1), (1,), (2,)])
def test_splits_what_was_joined(order):
    codes = codes_from_sequence(ids_of(order), LAYOUT, order)
    for level in (1, 2):
        assert (codes[level - 1] is None) == (level not in order)
    if 2 in order:
        assert codes[1].tolist() == [[[0, 1]], [[2, 3]]]


@pytest.mark.parametrize("length", [0, 1, 21, 23])
def test_refuses_another_length(length):
    with pytest.raises(PyraTokError, match=f"has 22 ids with its separators, got {length}"):
        codes_from_sequence(torch.zeros(length, dtype=torch.int64), LAYOUT, (1, 2))


@pytest.mark.parametrize("position", range(22))
@pytest.mark.parametrize("wrong", [-1, 16, 17, 18, -(2**63), 2**63 - 1])
def test_refuses_every_wrong_id_at_its_position(position, wrong):
    ids = ids_of((1, 2))
    if ids[position] == wrong:
        return
    ids[position] = wrong
    with pytest.raises(PyraTokError, match=f"id {position} of the sequence.*got {wrong}"):
        codes_from_sequence(ids, LAYOUT, (1, 2))


@pytest.mark.parametrize("position", [0, 17])
def test_refuses_a_code_where_a_separator_belongs(position):
    ids = ids_of((1, 2))
    ids[position] = 3
    with pytest.raises(PyraTokError, match=f"id {position} of the sequence, before level"):
        codes_from_sequence(ids, LAYOUT, (1, 2))


@pytest.mark.parametrize("bits", [1, 16, 62])
def test_the_first_id_tells_the_bits(bits):
    assert bits_of_sequence(torch.tensor([2**bits, 0])) == bits


@pytest.mark.parametrize("first", [-4, 0, 1, 3, 65537, 2**63 - 1, -(2**63)])
def test_refuses_a_first_id_that_is_no_soi(first):
    with pytest.raises(PyraTokError, match="starts with SOI"):
        bits_of_sequence(torch.tensor([first]))


@pytest.mark.parametrize("ids", [[1, 2], (1, 2), torch.tensor([1, 2], dtype=torch.int32), np.array([1, 2])])
def test_takes_rows_of_whole_numbers(ids):
    assert torch.equal(checked_ids(ids), torch.tensor([1, 2]))


@pytest.mark.parametrize(
    "ids",
    [
        [],
        torch.zeros(2, 2, dtype=torch.int64),
        5,
        [1.0, 2.0],
        [1, None],
        ["1"],
        [2**70],
        [True],
        None,
        "12",
        [[1], [2, 3]],
    ],
)
def test_refuses_all_other_ids(ids):
    with pytest.raises(PyraTokError, match="sequence"):
        checked_ids(ids)
