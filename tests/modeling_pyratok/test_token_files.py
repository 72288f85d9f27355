import contextlib
import hashlib
import json
import os

import pytest
from safetensors.torch import load, load_file

from pyratok.modeling_pyratok import token_files
from pyratok.modeling_pyratok.errors import TokenFileError
from pyratok.modeling_pyratok.token_files import (
    MAGIC,
    MAX_HEADER_BYTES,
    canonical_json,
    read_token_file,
    seal,
    unseal,
)

METADATA = {"version": 1, "b": [1, 2], "a": 'ü"\n'}
TENSORS = [("level_1", b"abc"), ("level_2", b"\0\xff")]


def sealed(contents):
    """Any bytes with a right checksum behind them."""
    return contents + hashlib.sha256(contents + bytes(32)).digest()


def forged(header, payload=b"abc\0\xff"):
    """A file of this header text, which need not be JSON, with a right checksum."""
    header = header if isinstance(header, bytes) else header.encode()
    header += b" " * (-len(header) % 8)
    return sealed(len(header).to_bytes(8, "little") + header + payload)


def header_of(text=None, **entries):
    """The header that `seal` writes for TENSORS, with another metadata text or changed entries (None: left out)."""
    text = canonical_json(METADATA) if text is None else text
    all_entries = {
        "__metadata__": {"pyratok_video_tokens": text},
        "level_1": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]},
        "level_2": {"dtype": "U8", "shape": [2], "data_offsets": [3, 5]},
        "sha256": {"dtype": "U8", "shape": [32], "data_offsets": [5, 37]},
    } | entries
    kept = {name: entry for name, entry in all_entries.items() if entry is not None}
    return json.dumps(kept, separators=(",", ":"), ensure_ascii=False)


def test_opens_what_was_sealed():
    metadata, tensors = unseal(seal(METADATA, TENSORS))
    assert metadata == METADATA
    assert [(name, bytes(data)) for name, data in tensors] == TENSORS


def test_the_bytes_do_not_depend_on_the_order_of_keys():
    assert seal(dict(reversed(METADATA.items())), TENSORS) == seal(METADATA, TENSORS)


def test_the_forger_of_these_tests_writes_what_seal_writes():
    assert forged(header_of()) == seal(METADATA, TENSORS)


def test_is_safetensors_with_one_metadata_key(tmp_path):
    path = tmp_path / "file.safetensors"
    path.write_bytes(seal(METADATA, TENSORS))
    tensors = load_file(path)
    assert set(tensors) == {"level_1", "level_2", "sha256"}
    assert bytes(tensors["level_2"].tolist()) == b"\0\xff"
    header = path.read_bytes()[8:].split(b" ")[0]
    assert json.loads(json.loads(header)["__metadata__"]["pyratok_video_tokens"]) == METADATA


def test_the_checksum_is_that_of_the_file_with_zeros_in_its_place():
    file = seal(METADATA, TENSORS)
    expected = hashlib.sha256(file[:-32] + bytes(32)).digest()
    assert file[-32:] == expected == bytes(load(file)["sha256"].tolist())


@pytest.mark.parametrize("contents", [b"", b"x", bytes(100), b"not tokens at all" * 20, MAGIC * 10])
def test_tells_what_is_no_token_file(contents):
    with pytest.raises(TokenFileError, match="not a PyraTok token file"):
        unseal(contents)


def test_the_checksum_is_checked_before_anything_is_parsed(monkeypatch):
    def must_not_parse(*_, **__):
        raise AssertionError("parsed before the checksum was right")

    file = bytearray(seal(METADATA, TENSORS))
    file[-40] ^= 1
    monkeypatch.setattr(json, "loads", must_not_parse)
    with pytest.raises(TokenFileError, match="checksum"):
        unseal(bytes(file))


@pytest.mark.parametrize("version", [2, 3, 10**6, 10**400])
def test_a_newer_version_asks_for_a_newer_pyratok(version):
    newer = canonical_json({"version": version, "something": ["new"]})
    with pytest.raises(TokenFileError, match=r"format version \d+ .*reads up to 1; install a newer PyraTok"):
        unseal(forged(header_of(newer, level_1={"a layout": "of the future"})))


@pytest.mark.parametrize("version", ["0", "-1", '"1"', "true", "1.0", "null", "[1]", "1e0", "NaN"])
def test_refuses_what_is_no_version(version):
    with pytest.raises(TokenFileError, match="header cannot be read"):
        unseal(forged(header_of('{"version":' + version + "}")))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "1",
        '"version"',
        "null",
        "{}",
        '{"version": 1}',  # a space
        '{"version":1,"a":2}',  # not sorted
        '{"a":1,"a":2,"version":1}',  # twice
        '{"a":"\\u00fc","version":1}',  # an escape that JSON does not demand
        '{"a":"\\ud800","version":1}',  # half a surrogate pair
        '{"a":-0,"version":1}',
        '{"a":1.5,"version":1}',
        '{"a":NaN,"version":1}',
        '{"a":Infinity,"version":1}',
        '{"a":1e999,"version":1}',
        '{"a":' + "9" * 5000 + ',"version":1}',
        '{"version":1}\n',
        '{"a":' + "[" * 100_000 + "]" * 100_000 + ',"version":1}',
        '{"a":' * 100_000,
    ],
)
def test_refuses_metadata_that_is_not_canonical(text):
    with pytest.raises(TokenFileError, match="header cannot be read"):
        unseal(forged(header_of(text)))


@pytest.mark.parametrize("depth", [*range(900, 1000, 7), 2000, 20_000])
def test_refuses_or_reads_nesting_of_any_depth_without_another_error(depth):
    text = '{"a":' + "[" * depth + "]" * depth + ',"version":1}'
    with contextlib.suppress(TokenFileError):
        unseal(forged(header_of(text)))


@pytest.mark.parametrize(
    "entries",
    [
        {"__metadata__": None},
        {"__metadata__": "text"},
        {"__metadata__": {}},
        {"__metadata__": {"pyratok_video_tokens": {"version": 1}}},
        {"__metadata__": {"pyratok_video_tokens": canonical_json(METADATA), "more": "x"}},
        {"level_1": None},
        {"level_2": None},
        {"sha256": None},
        {"level_1": [0, 3]},
        {"level_1": {"dtype": "U8", "data_offsets": [0, 3]}},
        {"level_1": {"dtype": "I8", "shape": [3], "data_offsets": [0, 3]}},
        {"level_1": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3], "more": 1}},
        {"level_1": {"dtype": "U8", "shape": [1, 3], "data_offsets": [0, 3]}},
        {"level_1": {"dtype": "U8", "shape": [-3], "data_offsets": [0, 3]}},
        {"level_1": {"dtype": "U8", "shape": [3.0], "data_offsets": [0, 3]}},
        {"level_1": {"dtype": "U8", "shape": [True], "data_offsets": [0, 1]}},
        {"level_1": {"dtype": "U8", "shape": [2**62], "data_offsets": [0, 2**62]}},
        {"level_1": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}},
        {"level_1": {"dtype": "U8", "shape": [3], "data_offsets": [0, 4]}},
        {"level_1": {"dtype": "U8", "shape": [3], "data_offsets": [2, 5]}},
        {"level_2": {"dtype": "U8", "shape": [3], "data_offsets": [2, 5]}},
        {"sha256": {"dtype": "U8", "shape": [31], "data_offsets": [5, 36]}},
        {"more": {"dtype": "U8", "shape": [0], "data_offsets": [37, 37]}},
        {"\ud800": {"dtype": "U8", "shape": [0], "data_offsets": [37, 37]}},
    ],
)
def test_refuses_headers_that_seal_does_not_write(entries):
    header = header_of(**entries).encode("utf-8", "surrogatepass")
    with pytest.raises(TokenFileError):
        unseal(forged(header))


def test_refuses_a_negative_size_that_another_makes_up_for():
    entries = {
        "level_1": {"dtype": "U8", "shape": [-3], "data_offsets": [0, -3]},
        "level_2": {"dtype": "U8", "shape": [8], "data_offsets": [-3, 5]},
    }
    with pytest.raises(TokenFileError, match="not one row of bytes"):
        unseal(forged(header_of(**entries)))


def test_refuses_a_surrogate_that_json_can_spell():
    name = '"level_1"'
    with pytest.raises(TokenFileError, match="header cannot be read"):
        unseal(forged(header_of().replace(name, '"\\ud800"')))


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.replace('"U8"', '"U8" ', 1),
        lambda header: header + "{}",
        lambda header: header + " " * 8,
        lambda header: header[:-1],
        lambda header: header.replace("ü", "\\u00fc"),
        lambda header: header.encode().replace("ü".encode(), b"\xff"),
    ],
)
def test_refuses_headers_with_other_bytes(change):
    with pytest.raises(TokenFileError):
        unseal(forged(change(header_of())))


@pytest.mark.parametrize("payload", [b"", b"abc\0", b"abc\0\xff\0", b"abc\0\xff" * 100])
def test_refuses_a_payload_of_another_size(payload):
    with pytest.raises(TokenFileError, match="size"):
        unseal(forged(header_of(), payload))


@pytest.mark.parametrize("length", [0, 1, 2**20 + 8, 2**31, 2**63, 2**64 - 1])
def test_refuses_a_header_length_that_is_not_true(length):
    file = seal(METADATA, TENSORS)
    with pytest.raises(TokenFileError, match="header"):
        unseal(sealed(length.to_bytes(8, "little") + file[8:-32]))


def test_refuses_a_header_that_is_too_long_even_if_it_is_there():
    with pytest.raises(TokenFileError, match="longer than a header can be"):
        unseal(forged(header_of() + " " * MAX_HEADER_BYTES))


def test_reads_regular_files_only(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(TokenFileError, match="not a regular file"):
            read_token_file(path)


@pytest.mark.parametrize("name", ["missing", "", "a\0b", "x" * 300])
def test_names_without_a_file_are_one_sentence(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TokenFileError, match="cannot read"):
        read_token_file(name)


def test_no_more_is_read_than_a_token_file_can_have(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(seal(METADATA, TENSORS))
    monkeypatch.setattr(token_files, "MAX_FILE_BYTES", 100)
    with pytest.raises(TokenFileError, match="more than a token file can have"):
        read_token_file(path)


def test_something_else_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(bytes(10_000))
    assert len(read_token_file(path)) < 100
