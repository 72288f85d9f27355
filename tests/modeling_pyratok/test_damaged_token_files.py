"""Nothing but an undamaged token file is ever decoded: damage of every kind, and lies under a right checksum."""

import random

import pytest
from token_examples import make_tokens, parts_of

from pyratok.modeling_pyratok.errors import TokenFileError
from pyratok.modeling_pyratok.token_files import seal
from pyratok.modeling_pyratok.video_tokens import VideoTokens


def damaged(contents, chance):
    """One random damage of a file, never the file itself."""
    start = chance.randrange(len(contents))
    length = chance.choice([1, 2, 8, 32, 500])
    before, part, after = contents[:start], contents[start : start + length], contents[start + length :]
    choices = {
        "one bit": before + bytes([contents[start] ^ 1 << chance.randrange(8)]) + contents[start + 1 :],
        "other bytes": before + chance.randbytes(len(part)) + after,
        "zeros": before + bytes(len(part)) + after,
        "end cut off": before,
        "start cut off": part + after,
        "part removed": before + after,
        "part repeated": before + part + part + after,
        "part inserted": before + chance.randbytes(length) + part + after,
        "turned round": part + after + before,
        "zeros behind": contents + bytes(length),
        "more behind": contents + chance.randbytes(length),
    }
    choices = [choice for choice in choices.values() if choice != contents]
    return chance.choice(choices)


def test_500_random_damages_are_all_noticed(tmp_path):
    chance = random.Random(20260121)
    originals = [
        make_tokens(caption="a man and a dog").to_bytes(),
        make_tokens((1, 8, 8), bits=3, levels=(1, 4)).to_bytes(),
        make_tokens((5, 70, 33), bits=13, levels=(2,)).to_bytes(),
    ]
    path = tmp_path / "clip.safetensors"
    for number in range(500):
        path.write_bytes(damaged(originals[number % 3], chance))
        with pytest.raises(TokenFileError) as caught:
            VideoTokens.load(path)
        assert type(caught.value) is TokenFileError and "clip.safetensors" in str(caught.value)


def test_every_single_bit_matters():
    contents = make_tokens((1, 8, 8), bits=3).to_bytes()
    for position in range(len(contents) * 8):
        changed = bytearray(contents)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(TokenFileError):
            VideoTokens.from_bytes(bytes(changed))


def test_every_length_matters():
    contents = make_tokens((1, 8, 8), bits=3).to_bytes()
    for length in range(len(contents)):
        with pytest.raises(TokenFileError):
            VideoTokens.from_bytes(contents[:length])


def test_the_parts_of_a_file_seal_to_the_same_file():
    assert seal(*parts_of(make_tokens())) == make_tokens().to_bytes()


HUGE = 2**31 - 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("video_size", [HUGE, HUGE, HUGE]),
        ("video_size", [2**62, 1, 1]),
        ("video_size", [10**4000, 1, 1]),
        ("video_size", [-9, 40, 50]),
        ("video_size", [9, 40, 0]),
        ("video_size", [9, 40, 66]),  # one column of tokens more
        ("video_size", [9, 66, 50]),
        ("video_size", [14, 40, 50]),
        ("video_size", [9, 40]),
        ("video_size", "9x40x50"),
        ("video_size", None),
        ("video_size", {"0": 9}),
        ("video_size", [9, 40, True]),
        ("fps", [0, 1]),
        ("fps", [1, 0]),
        ("fps", [-24, 1]),
        ("fps", [48, 2]),  # not in lowest terms
        ("fps", [1, 10**3000]),
        ("fps", 24),
        ("fps", "NaN"),
        ("fps", None),
        ("levels", [1, 2, 3]),
        ("levels", [4, 3, 2, 1]),
        ("levels", [1, 2, 3, 3]),
        ("levels", [1, 2, 3, 5]),
        ("levels", []),
        ("levels", 4),
        ("level_strides", [[4, 8]] * 4),
        ("level_strides", [[4, 8]] * 3),
        ("level_strides", [[4, 8]] * 1000),
        ("level_strides", [[4, 0]] * 4),
        ("level_strides", [[0, 8]] * 4),
        ("level_strides", [[4, -8]] * 4),
        ("level_strides", [[4, 8, 1]] * 4),
        ("level_strides", [48, 48, 416, 416]),
        ("level_strides", [[4, 2**60]] * 4),
        ("level_strides", [[4, 65535], [4, 65533], [4, 65531], [4, 65529]]),
        ("codebook_bits", 0),
        ("codebook_bits", 15),
        ("codebook_bits", 17),
        ("codebook_bits", 2**40),
        ("codebook_bits", "16"),
        ("spatial_multiple", None),
        ("spatial_multiple", 8),
        ("spatial_multiple", 2**16),
        ("spatial_multiple", 0),
        ("model_id", 5),
        ("model_id", ""),
        ("model_id", "x" * 321),
        ("weights_fingerprint", "0" * 63),
        ("weights_fingerprint", [0] * 64),
        ("caption", ["a man"]),
        ("caption", "x" * (2**16 + 1)),
        ("version", 2),
        ("unknown", 1),
    ],
)
def test_refuses_metadata_that_lies_under_a_right_checksum(name, value):
    metadata, tensors = parts_of(make_tokens())
    with pytest.raises(TokenFileError):
        VideoTokens.from_bytes(seal(metadata | {name: value}, tensors))


@pytest.mark.parametrize("name", ["fps", "levels", "caption", "video_size", "model_id", "version"])
def test_refuses_metadata_that_lacks_a_field(name):
    metadata, tensors = parts_of(make_tokens())
    del metadata[name]
    with pytest.raises(TokenFileError):
        VideoTokens.from_bytes(seal(metadata, tensors))


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("name", ["video_size", "caption", "fps", "levels"])
@pytest.mark.parametrize("depth", [100, 500, 700, 800, 850, 900])
def test_deep_nesting_is_refused_like_all_else(name, depth):
    metadata, tensors = parts_of(make_tokens())
    with pytest.raises(TokenFileError):
        VideoTokens.from_bytes(seal(metadata | {name: nested(depth)}, tensors))


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors[:3],
        lambda tensors: [*tensors, ("level_5", b"abcd")],
        lambda tensors: [tensors[1], tensors[0], *tensors[2:]],
        lambda tensors: [("level_0", tensors[0][1]), *tensors[1:]],
        lambda tensors: [(tensors[0][0], tensors[0][1] + b"\0"), *tensors[1:]],
        lambda tensors: [(tensors[0][0], tensors[0][1][:-1]), *tensors[1:]],
        lambda tensors: [(name, b"") for name, _ in tensors],
        lambda tensors: [],
    ],
)
def test_refuses_tensors_that_are_not_the_levels(change):
    metadata, tensors = parts_of(make_tokens())
    with pytest.raises(TokenFileError, match="levels are not"):
        VideoTokens.from_bytes(seal(metadata, change(tensors)))


def test_refuses_padding_bits_that_are_not_zero():
    metadata, [(name, packed)] = parts_of(make_tokens((1, 8, 8), bits=3, levels=(1,)))
    assert len(packed) == 2  # 4 tokens of 3 bits leave 4 bits over
    with pytest.raises(TokenFileError, match="not zero"):
        VideoTokens.from_bytes(seal(metadata, [(name, bytes([packed[0], packed[1] | 0x80]))]))


def test_nothing_is_allocated_for_a_lie(monkeypatch):
    metadata, tensors = parts_of(make_tokens())

    def must_not_unpack(*_):
        raise AssertionError("unpacked before the sizes were compared")

    monkeypatch.setattr("pyratok.modeling_pyratok.video_tokens.unpack_codes", must_not_unpack)
    for video_size in ([13, 40, 50], [HUGE, 40, 50], [9, HUGE, HUGE]):
        with pytest.raises(TokenFileError):
            VideoTokens.from_bytes(seal(metadata | {"video_size": video_size}, tensors))
    monkeypatch.setattr("pyratok.modeling_pyratok.token_layout.MAX_TOKENS", 10)
    with pytest.raises(TokenFileError, match="holds at most 10"):
        VideoTokens.from_bytes(seal(metadata, tensors))


def test_a_newer_version_is_told_from_a_damaged_file(tmp_path):
    (tmp_path / "new").write_bytes(seal({"version": 2}, []))
    with pytest.raises(TokenFileError, match="install a newer PyraTok"):
        VideoTokens.load(tmp_path / "new")
