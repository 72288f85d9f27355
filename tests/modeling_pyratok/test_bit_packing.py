import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyratok.modeling_pyratok import bit_packing
from pyratok.modeling_pyratok.bit_packing import MAX_BITS, pack_codes, packed_size, unpack_codes


def pack_by_definition(codes, bits):
    """One big number: bit j of code i is bit i * bits + j, and the bytes are little-endian."""
    number = sum(code << (index * bits) for index, code in enumerate(codes))
    return number.to_bytes((len(codes) * bits + 7) // 8, "little")


@st.composite
def codes_and_bits(draw):
    bits = draw(st.integers(1, MAX_BITS))
    return draw(st.lists(st.integers(0, 2**bits - 1), min_size=1, max_size=40)), bits


@given(codes_and_bits())
def test_packs_by_its_definition_and_back(drawn):
    codes, bits = drawn
    packed = pack_codes(torch.tensor(codes), bits)
    assert packed == pack_by_definition(codes, bits)
    assert len(packed) == packed_size(len(codes), bits)
    assert unpack_codes(packed, len(codes), bits).tolist() == codes


@pytest.mark.parametrize("bits", [1, 5, 16, 61, 62])
def test_runs_join_without_gaps(bits, monkeypatch):
    codes = torch.randint(0, 2**bits, (7, 29), generator=torch.Generator().manual_seed(0))
    whole = pack_codes(codes, bits)
    monkeypatch.setattr(bit_packing, "CODES_AT_ONCE", 8)
    assert pack_codes(codes, bits) == whole
    assert torch.equal(unpack_codes(memoryview(whole), 7 * 29, bits), codes.reshape(-1))


def test_known_bytes():
    assert pack_codes(torch.tensor([1, 2, 3]), 3) == bytes([0b11_010_001, 0b0])
    assert pack_codes(torch.tensor([0x1234, 0xABCD]), 16) == bytes([0x34, 0x12, 0xCD, 0xAB])


def test_no_codes_take_no_bytes():
    assert pack_codes(torch.tensor([], dtype=torch.int64), 16) == b""
    assert unpack_codes(b"", 0, 16).shape == (0,)


@pytest.mark.parametrize("code", [-1, 8, 2**62])
def test_refuses_codes_with_other_bits(code):
    with pytest.raises(ValueError, match=r"lie in \[0, 8\)"):
        pack_codes(torch.tensor([0, code]), 3)


@pytest.mark.parametrize("size", [0, 1, 3])
def test_refuses_another_number_of_bytes(size):
    with pytest.raises(ValueError, match=f"take 2 bytes, got {size}"):
        unpack_codes(bytes(size), 3, 3)


@pytest.mark.parametrize("bit", range(1, 8))
def test_refuses_bits_after_the_last_code(bit):
    with pytest.raises(ValueError, match="not zero"):
        unpack_codes(bytes([0, 1 << bit]), 3, 3)
