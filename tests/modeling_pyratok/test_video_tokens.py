import copy
import dataclasses
import hashlib
import math
import pickle
from fractions import Fraction
from itertools import permutations
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from token_examples import FINGERPRINT, STRIDES, make_tokens

from pyratok.modeling_pyratok.bit_packing import pack_codes
from pyratok.modeling_pyratok.errors import PyraTokError, TokenFileError
from pyratok.modeling_pyratok.token_fields import MAX_FPS_DENOMINATOR
from pyratok.modeling_pyratok.token_layout import MAX_LEVELS
from pyratok.modeling_pyratok.video_tokens import VideoTokens


@st.composite
def any_tokens(draw):
    strides = draw(
        st.lists(st.tuples(st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4, 8, 16, 12])), min_size=1, max_size=5)
    )
    count = len(strides)
    levels = draw(st.sets(st.integers(1, count), min_size=1))
    multiple = draw(st.sampled_from([None, 1, 2])) and math.lcm(*(s for _, s in strides)) * draw(st.integers(1, 2))
    return make_tokens(
        video_size=tuple(draw(st.tuples(st.integers(1, 9), st.integers(1, 24), st.integers(1, 24)))),
        strides=tuple(strides),
        bits=draw(st.integers(1, 62)),
        levels=levels,
        seed=draw(st.integers(0, 2**32)),
        spatial_multiple=multiple,
        fps=draw(st.fractions(Fraction(1, 1000), 1000, max_denominator=MAX_FPS_DENOMINATOR) | st.floats(0.001, 1000)),
        model_id=draw(st.none() | st.sampled_from(["pyratok", 'a "quoted" \\ name', "größe"])),
        weights_fingerprint=draw(st.none() | st.just(FINGERPRINT)),
        caption=draw(st.none() | st.text(max_size=60)),
    )


@settings(max_examples=100, deadline=None)
@given(any_tokens())
def test_round_trip_is_exact(tokens):
    contents = tokens.to_bytes()
    again = VideoTokens.from_bytes(contents)
    assert again == tokens
    assert again.to_bytes() == contents
    for codes, original in zip(again.video_codes, tokens.video_codes, strict=True):
        assert (codes is None) == (original is None)
        assert codes is None or torch.equal(codes, original)
    for name in [field.name for field in dataclasses.fields(VideoTokens)][1:]:
        assert getattr(again, name) == getattr(tokens, name)
        assert type(getattr(again, name)) is type(getattr(tokens, name))


@settings(max_examples=100, deadline=None)
@given(any_tokens(), st.randoms(use_true_random=False))
def test_sequences_round_trip_in_every_order(tokens, chance):
    order = list(tokens.levels)
    chance.shuffle(order)
    ids = tokens.to_sequence(order)
    assert ids.dtype == torch.int64 and ids.shape == (tokens.num_tokens + len(order),)
    again = VideoTokens.from_sequence(
        ids,
        video_size=tokens.video_size,
        level_strides=tokens.level_strides,
        order=order,
        spatial_multiple=tokens.spatial_multiple,
        fps=tokens.fps,
        model_id=tokens.model_id,
        weights_fingerprint=tokens.weights_fingerprint,
        caption=tokens.caption,
    )
    assert again == tokens


def test_save_and_load(tmp_path):
    tokens = make_tokens(caption="a man")
    path = tmp_path / "clip.safetensors"
    tokens.save(path)
    assert VideoTokens.load(str(path)) == tokens
    assert path.read_bytes() == tokens.to_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_any_safetensors_reader_opens_it(tmp_path):
    tokens = make_tokens(levels=(1, 4))
    tokens.save(tmp_path / "clip.safetensors")
    tensors = load_file(tmp_path / "clip.safetensors")
    assert set(tensors) == {"level_1", "level_4", "sha256"}
    assert bytes(tensors["level_4"].tolist()) == pack_codes(tokens.video_codes[3], 16)


def test_the_bytes_are_the_same_on_every_machine():
    codes = (torch.arange(4).reshape(1, 2, 2), None)
    tokens = VideoTokens(codes, (1, 2, 2), 24, ((4, 1), (4, 2)), 2, "m", None, "c")
    digest = hashlib.sha256(tokens.to_bytes()).hexdigest()
    assert digest == "2f59e6ec583bd972abe5d604f5714fcbc3ef6ec3714ccc4dd4d87370924c3a8b", "a new format, a new version"


def test_equal_means_equal_in_everything():
    tokens = make_tokens()
    assert tokens == make_tokens() and tokens.to_bytes() == make_tokens().to_bytes()
    changed = [torch.clone(codes) for codes in tokens.video_codes]
    changed[2][0, 1, 1, 1] ^= 1
    for other in (
        make_tokens(caption=""),
        make_tokens(fps=30),
        make_tokens(levels=(1, 2, 3)),
        make_tokens(spatial_multiple=32, video_size=(9, 40, 50)),
        dataclasses.replace(tokens, video_codes=tuple(changed)),
    ):
        assert other != tokens and other.to_bytes() != tokens.to_bytes()
    assert tokens != 5
    with pytest.raises(TypeError):
        hash(tokens)


def test_copies_and_pickles():
    tokens = make_tokens()
    assert copy.deepcopy(tokens) == tokens == pickle.loads(pickle.dumps(tokens))


@pytest.mark.parametrize("bits", [1, 7, 16, 62])
@pytest.mark.parametrize("video_size", [(1, 1, 1), (17, 144, 256), (13, 99, 35)])
def test_the_size_of_a_file(bits, video_size):
    tokens = make_tokens(video_size, bits=bits, caption="x" * 512)
    assert len(tokens.to_bytes()) <= math.ceil(tokens.num_bits / 8) + 4096


def test_the_size_of_a_file_with_everything_at_its_longest():
    tokens = make_tokens(
        (2**16, 700, 800), ((4, 2**16),) * MAX_LEVELS, 62, fps=1e-6 * 1.1, model_id='"' * 320, caption="x" * 512
    )
    assert len(tokens.to_bytes()) <= math.ceil(tokens.num_bits / 8) + 4096


def test_a_long_caption_adds_its_own_length():
    short, long = make_tokens(caption="x" * 512), make_tokens(caption="x" * 2**16)
    assert len(long.to_bytes()) - len(short.to_bytes()) == 2**16 - 512
    assert VideoTokens.from_bytes(long.to_bytes()) == long


def test_the_longest_file_can_be_read_back():
    tokens = make_tokens((1, 1, 1), caption="\1" * 2**16)
    assert VideoTokens.from_bytes(tokens.to_bytes()) == tokens


def test_counts():
    tokens = make_tokens((10, 33, 47), levels=(1, 3))  # padded to 13 x 48 x 48: 4 x 6 x 6 and 4 x 3 x 3 tokens
    assert tokens.levels == (1, 3)
    assert tokens.num_tokens == 144 + 36
    assert tokens.num_bits == 180 * 16
    assert tokens.bits_per_pixel == 180 * 16 / (10 * 33 * 47)


def test_codes_are_ready_for_decode():
    tokens = make_tokens((5, 32, 32), levels=(1, 3, 4))
    assert [codes if codes is None else tuple(codes.shape) for codes in tokens.video_codes] == [
        (1, 2, 4, 4),
        None,
        (1, 2, 2, 2),
        (1, 2, 2, 2),
    ]


def test_the_text_of_the_tokens_is_short():
    assert len(repr(make_tokens())) < 500


def test_fields_come_back_in_one_form():
    tokens = make_tokens()
    same = VideoTokens(
        list(tokens.video_codes), [9, 40, 50], 30000 / 1001, [list(pair) for pair in STRIDES], 16, None, None
    )
    assert same.video_size == (9, 40, 50) and same.level_strides == STRIDES
    assert same.fps == 30000 / 1001 and same.fps != Fraction(30000, 1001)
    assert same.spatial_multiple == 16
    with pytest.raises(dataclasses.FrozenInstanceError):
        same.fps = 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("video_codes", None),
        ("video_size", (9, 40)),
        ("video_size", (9, 40, 66)),
        ("fps", float("nan")),
        ("level_strides", STRIDES[:3]),
        ("codebook_bits", 15),
        ("codebook_bits", 63),
        ("model_id", 7),
        ("weights_fingerprint", "abc"),
        ("caption", b"bytes"),
        ("spatial_multiple", 24),
    ],
)
def test_refuses_wrong_fields(name, value):
    with pytest.raises(PyraTokError):
        dataclasses.replace(make_tokens(), **{name: value})


def test_codes_that_were_changed_for_the_worse_are_not_written(tmp_path):
    tokens = make_tokens()
    tokens.video_codes[0][0, 0, 0, 0] = -1
    with pytest.raises(ValueError, match="codes of 16 bits"):
        tokens.save(tmp_path / "clip")
    assert not list(tmp_path.iterdir())


def test_all_permutations_are_different_sequences():
    tokens = make_tokens((1, 16, 16))
    sequences = {tuple(tokens.to_sequence(order).tolist()) for order in permutations((1, 2, 3, 4))}
    assert len(sequences) == 24
    assert tuple(tokens.to_sequence().tolist()) == tuple(tokens.to_sequence((1, 2, 3, 4)).tolist())
    ids = tokens.to_sequence((4, 3, 2, 1)).tolist()
    assert ids[0] == 65536 and ids[1] == int(tokens.video_codes[3]) and ids[2] == 65537


@pytest.mark.parametrize("order", [(1, 2, 3), (1, 2, 3, 3), (0, 1, 2, 3), (1, 2, 3, 5), (), "1234", 4])
def test_refuses_an_order_that_is_no_permutation(order):
    with pytest.raises(PyraTokError, match="order"):
        make_tokens().to_sequence(order)


def test_refuses_an_order_with_a_level_that_is_not_there():
    with pytest.raises(PyraTokError, match=r"that are there, \(1, 4\); got \(1, 2\)"):
        make_tokens(levels=(1, 4)).to_sequence((1, 2))


def test_a_sequence_needs_no_more_than_its_sizes():
    tokens = make_tokens(fps=24, model_id=None, weights_fingerprint=None)
    ids = tokens.to_sequence()
    assert VideoTokens.from_sequence(ids, tokens.video_size, STRIDES) == tokens
    assert VideoTokens.from_sequence(ids.tolist(), tokens.video_size, STRIDES, (1, 2, 3, 4)) == tokens
    part = VideoTokens.from_sequence(
        make_tokens(levels=(2, 4)).to_sequence((4, 2)), tokens.video_size, STRIDES, (4, 2)
    )
    assert part.levels == (2, 4) and part.video_codes[0] is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ids": [5, 1, 2]}, "starts with SOI"),
        ({"ids": []}, "at least one id"),
        ({"codebook_bits": 15}, "SOI = 32768, got 65536"),
        ({"codebook_bits": "16"}, "codebook_bits"),
        ({"video_size": (9, 40, 70)}, "ids with its separators"),
        ({"level_strides": STRIDES[:3]}, "ids with its separators"),
        ({"order": (1, 2, 3)}, "ids with its separators"),
        ({"order": (3, 4, 1, 2)}, "Q-SEP"),
        ({"order": (1, 1, 2, 3)}, "order"),
        ({"order": (5,)}, "order"),
        ({"fps": 0}, "fps"),
    ],
)
def test_refuses_sequences_that_do_not_fit(change, sentence):
    arguments = {"ids": make_tokens().to_sequence(), "video_size": (9, 40, 50), "level_strides": STRIDES} | change
    with pytest.raises(PyraTokError, match=sentence):
        VideoTokens.from_sequence(**arguments)


def test_files_that_cannot_be_read_or_written(tmp_path):
    (tmp_path / "text.mp4").write_text("this is text, not a film")
    for path in (tmp_path / "missing", tmp_path, "/dev/null", tmp_path / "text.mp4", ""):
        with pytest.raises(TokenFileError, match="cannot read"):
            VideoTokens.load(path)
    for path in (tmp_path / "missing" / "clip", tmp_path, "/dev/null", ""):
        with pytest.raises(TokenFileError, match="cannot write"):
            make_tokens().save(path)
    assert [path.name for path in tmp_path.iterdir()] == ["text.mp4"]


@pytest.mark.parametrize("contents", [b"", bytearray(b"abc"), memoryview(b"abc")])
def test_bytes_that_are_no_file(contents):
    with pytest.raises(TokenFileError, match="not a PyraTok token file"):
        VideoTokens.from_bytes(contents)


def test_bytes_of_every_kind_are_read():
    contents = make_tokens().to_bytes()
    assert VideoTokens.from_bytes(bytearray(contents)) == VideoTokens.from_bytes(memoryview(contents)) == make_tokens()


def model_like(fingerprint=FINGERPRINT, **config):
    config = {
        "level_strides": [[4, 8], [4, 8], [4, 16], [4, 16]],
        "codebook_bits": 16,
        "spatial_multiple": 16,
    } | config
    names = {"weights_fingerprint": lambda: fingerprint, "has_fingerprint": lambda name: name == fingerprint}
    return SimpleNamespace(config=SimpleNamespace(**config), **names)


def test_fits_the_model_that_made_it():
    make_tokens().check_fits(model_like())


@pytest.mark.parametrize(
    "config", [{"codebook_bits": 8}, {"level_strides": [[4, 8]] * 3}, {"spatial_multiple": 32}], ids=str
)
@pytest.mark.parametrize("force", [False, True])
def test_a_model_of_another_shape_cannot_be_forced(config, force):
    with pytest.raises(TokenFileError, match=f"{next(iter(config))} ="):
        make_tokens().check_fits(model_like(**config), force=force)


@pytest.mark.parametrize("known", [FINGERPRINT, None])
def test_other_weights_must_be_forced(known):
    tokens = make_tokens(weights_fingerprint=known)
    with pytest.raises(TokenFileError, match="made by other weights"):
        tokens.check_fits(model_like(fingerprint="f" * 64))
    tokens.check_fits(model_like(fingerprint="f" * 64), force=True)
