"""A row of tokens: the ids in it, and what is refused."""

import json
import tracemalloc

import numpy as np
import pytest
from token_examples import STRIDES, make_tokens, parts_of

import pyratok
from pyratok.modeling_pyratok.token_files import seal
from pyratok.token_datasets.token_rows import row_of, token_sequence, tokens_of_row

ORDER = (4, 3, 2, 1)


def row(**fields) -> dict:
    tokens = make_tokens(**fields)
    return row_of("a/b.mp4", tokens.to_bytes(), tokens)


@pytest.mark.parametrize("order", [None, ORDER, (2, 1, 4, 3)])
@pytest.mark.parametrize("offset", [0, 151_936])
def test_ids_turn_back_into_the_tokens(order, offset):
    tokens = make_tokens(caption="a dog")
    given = row(caption="a dog")
    found = token_sequence(given, order=order, offset=offset)
    assert found["input_ids"].dtype == np.int64
    assert found["length"] == len(found["input_ids"]) == given["num_tokens"] + 4
    assert found["input_ids"][0] == 2**16 + offset
    again = pyratok.VideoTokens.from_sequence(
        found["input_ids"] - offset,
        (given["num_frames"], given["height"], given["width"]),
        STRIDES,
        order,
        fps=tokens.fps,
        model_id=tokens.model_id,
        weights_fingerprint=tokens.weights_fingerprint,
        caption=given["caption"],
    )
    assert again == tokens == pyratok.VideoTokens.from_bytes(given["tokens"])


def test_levels_that_were_left_out_are_not_in_the_sequence():
    given = row(levels=(3, 4))
    assert token_sequence(given, order=(4, 3))["length"] == given["num_tokens"] + 2
    with pytest.raises(pyratok.PyraTokError, match="permutation of the levels"):
        token_sequence(given, order=ORDER)


@pytest.mark.parametrize("place", [3, 100, -40, -1])
def test_a_damaged_row_is_named_with_the_reason(place):
    given = row()
    damaged = bytearray(given["tokens"])
    damaged[place] ^= 1
    for contents in (bytes(damaged), given["tokens"][:-1], b"", b"\x80\x04N.", given["tokens"] + b"x"):
        with pytest.raises(
            pyratok.TokenFileError, match=r"the row 'a/b.mp4' cannot be used: the token file|this is not"
        ):
            token_sequence({**given, "tokens": contents})


@pytest.mark.parametrize("contents", [None, "text", 3, ["list"]])
def test_tokens_that_are_no_bytes_are_refused(contents):
    with pytest.raises(pyratok.TokenFileError, match="are the bytes of a token file"):
        token_sequence({**row(), "tokens": contents})
    with pytest.raises(pyratok.TokenFileError, match="the row None"):
        token_sequence({})


@pytest.mark.parametrize("column", ["num_tokens", "num_frames", "height", "width"])
@pytest.mark.parametrize("value", [10**9, None, -1, "many", 2**70])
def test_a_row_that_contradicts_its_tokens_is_refused(column, value):
    with pytest.raises(pyratok.TokenFileError, match=f"the row 'a/b.mp4' cannot be used.*{column}"):
        token_sequence({**row(), column: value})


def test_what_a_row_does_not_say_is_not_needed():
    assert tokens_of_row({"tokens": row()["tokens"]}) == make_tokens()


def test_an_offset_is_a_number_from_0_up():
    for offset in (-1, 1.5, 2**40):
        with pytest.raises(pyratok.PyraTokError, match="offset is a whole number"):
            token_sequence(row(), offset=offset)


def memory_of(action) -> int:
    """Bytes that an action which has to be refused had allocated at its peak."""
    tracemalloc.start()
    try:
        with pytest.raises(pyratok.TokenFileError):
            action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def bombs() -> dict[str, dict]:
    """Rows with few bytes that ask for much memory; their checksums are right."""
    metadata, tensors = parts_of(make_tokens())
    huge = {**metadata, "video_size": [2**31 - 1] * 3}
    long = {**metadata, "video_size": [2**28, 8, 8]}
    deep = {**metadata, "caption": json.loads("[" * 500 + "]" * 500)}
    few = {"name": "bomb", "num_tokens": 100, "num_frames": 1, "height": 1, "width": 1}
    contents = {name: seal(changed, tensors) for name, changed in (("huge", huge), ("long", long), ("deep", deep))}
    # True to its sizes: a token is one bit here, and eight bytes when it is unpacked.
    contents["small bits"] = make_tokens((2401, 128, 128), ((1, 2),), bits=1).to_bytes()
    return {name: {**few, "tokens": found} for name, found in contents.items()}


@pytest.mark.parametrize("name", ["huge", "long", "deep", "small bits"])
def test_rows_that_ask_for_much_memory_are_refused_before_they_get_it(name):
    bomb = bombs()[name]
    assert memory_of(lambda: token_sequence(bomb)) < 4 * len(bomb["tokens"]) + 2**20


def test_too_long_a_row_is_said_when_the_dataset_is_made(monkeypatch):
    monkeypatch.setattr("pyratok.token_datasets.token_rows.MAX_ROW_BYTES", 100)
    with pytest.raises(pyratok.TokenFileError, match="a row takes 100; cut the film"):
        row()
    tokens = make_tokens()
    with pytest.raises(pyratok.TokenFileError, match="no text in UTF-8"):
        row_of("caf\udce9.mp4", tokens.to_bytes(), tokens)
