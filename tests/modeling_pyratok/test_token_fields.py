import math
from fractions import Fraction

import pytest
import torch

from pyratok.modeling_pyratok.errors import PyraTokError
from pyratok.modeling_pyratok.token_fields import (
    MAX_CAPTION_BYTES,
    MAX_MODEL_ID_BYTES,
    check_caption,
    check_fingerprint,
    check_model_id,
    checked_codes,
    checked_fps,
    fps_from_pair,
)
from pyratok.modeling_pyratok.token_layout import TokenLayout

LAYOUT = TokenLayout((2, 16, 20), ((4, 8), (4, 16)), 4)  # grids (2, 2, 4) and (2, 1, 2)


@pytest.mark.parametrize("fps", [1, 24, 29.97, 1e-6 * 1.01, 1e6, Fraction(30000, 1001), 0.1, 1 / 3e5])
def test_keeps_the_exact_rate(fps):
    assert checked_fps(fps) == fps
    assert type(checked_fps(fps)) is Fraction


@pytest.mark.parametrize(
    "fps",
    [
        0,
        -24,
        math.nan,
        math.inf,
        -math.inf,
        1e-7,
        1.1e6,
        10**400,
        True,
        None,
        "24",
        24j,
        Fraction(3**60, 2 * 3**60 + 1),
    ],
)
def test_refuses_other_rates(fps):
    with pytest.raises(PyraTokError, match="fps is"):
        checked_fps(fps)


@pytest.mark.parametrize("pair", [None, 24, [24], [24, 1, 1], [24, 0], [24, -1], [24.0, 1], [True, 1], "24", {24: 1}])
def test_refuses_pairs_that_are_no_rate(pair):
    with pytest.raises(PyraTokError, match="fps is a pair"):
        fps_from_pair(pair)


@pytest.mark.parametrize("model_id", [None, "pyratok", "a/b c", "C:\\models\\ü", "x" * MAX_MODEL_ID_BYTES])
def test_takes_model_ids(model_id):
    check_model_id(model_id)


@pytest.mark.parametrize("model_id", ["", 5, b"pyratok", "a\nb", "\ud800", "ü" * (MAX_MODEL_ID_BYTES // 2 + 1)])
def test_refuses_model_ids(model_id):
    with pytest.raises(PyraTokError, match="model_id"):
        check_model_id(model_id)


@pytest.mark.parametrize("caption", [None, "", "a man\nand a dog", "\0", "猫🐈", "x" * MAX_CAPTION_BYTES])
def test_takes_captions(caption):
    check_caption(caption)


@pytest.mark.parametrize("caption", [5, ["a"], "\udfff", "x" * (MAX_CAPTION_BYTES + 1)])
def test_refuses_captions(caption):
    with pytest.raises(PyraTokError, match="caption"):
        check_caption(caption)


@pytest.mark.parametrize(
    "fingerprint", ["", "0" * 63, "0" * 65, "G" + "0" * 63, "A" * 64, 0, "0" * 64 + "\n", "٠" * 64]
)
def test_refuses_fingerprints(fingerprint):
    with pytest.raises(PyraTokError, match="64 digits"):
        check_fingerprint(fingerprint)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
@pytest.mark.parametrize("lead", [(), (1,)])
def test_codes_become_int64_with_a_batch_of_one(dtype, lead):
    first, second = checked_codes([torch.full((*lead, 2, 2, 4), 15, dtype=dtype), None], LAYOUT)
    assert first.dtype == torch.int64 and first.shape == (1, 2, 2, 4) and second is None


@pytest.mark.parametrize(
    ("codes", "sentence"),
    [
        (None, "got a NoneType"),
        (torch.zeros(2, 2, 2, 4), "got a Tensor"),
        ((torch.zeros(2, 2, 4).long(),), "2 levels, got 1"),
        ((None, None), "at least one level"),
        ((torch.zeros(2, 2, 4), None), "integer tensor or None, got torch.float32"),
        ((torch.zeros(2, 2, 4).bool(), None), "got torch.bool"),
        (([0], None), "got list"),
        ((torch.zeros(2, 4, 2).long(), None), r"shape \(2, 2, 4\).*got \(2, 4, 2\)"),
        ((torch.zeros(2, 2, 2, 4).long(), None), "split a batch"),
        ((None, torch.full((2, 1, 2), 16)), r"level 2 have 4 bits, so they lie in \[0, 16\), got 16 to 16"),
        ((torch.full((2, 2, 4), -1), None), "got -1 to -1"),
    ],
)
def test_refuses_codes(codes, sentence):
    with pytest.raises(PyraTokError, match=sentence):
        checked_codes(codes, LAYOUT)


def test_refuses_more_tokens_than_a_clip_holds_without_making_them():
    huge = TokenLayout((2**31 - 1, 2**31 - 1, 2**31 - 1), ((4, 8),), 16)
    with pytest.raises(PyraTokError, match="cut it into several clips"):
        checked_codes((torch.zeros(1).long(),), huge)
