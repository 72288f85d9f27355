"""Shards of other splits that are damaged, or say what no video has: one sentence, and nothing is replaced."""

import math
import os
from pathlib import Path

import pytest
from pyarrow import parquet
from token_examples import make_tokens

import pyratok
from pyratok import write_token_dataset


@pytest.fixture
def dataset(tmp_path) -> Path:
    """A dataset with the splits test and train, of two clips each."""
    (tmp_path / "tokens").mkdir()
    for index in range(2):
        make_tokens(seed=index, caption="ein Käfer").save(tmp_path / f"tokens/{index}.safetensors")
    for split in ("test", "train"):
        write_token_dataset(tmp_path / "tokens", tmp_path / "films", split)
    return tmp_path / "films"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(dataset: Path) -> str:
    """Why the split train is not replaced; not a byte of anything has changed."""
    before = contents(dataset)
    with pytest.raises(pyratok.PyraTokError, match="test-00000-of-00001.parquet") as refusal:
        write_token_dataset(dataset.parent / "tokens", dataset, shard_bytes=1)
    assert contents(dataset) == before
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("fps", value) for value in (math.nan, math.inf, 0.0, -25.0, 1e-300, None)),
        *((name, value) for name in ("num_frames", "height", "width", "num_tokens") for value in (0, -5, None)),
        ("num_frames", 2**62),
        ("name", None),
        ("caption", "a" * 100_000),
    ],
)
def test_what_no_video_has_is_refused(dataset, column, value):
    shard = dataset / "data/test-00000-of-00001.parquet"
    rows, schema = parquet.read_table(shard).to_pylist(), parquet.read_schema(shard)
    rows[1][column] = value
    parquet.write_table(schema.empty_table().from_pylist(rows, schema), shard)
    assert f"{column}" in refused(dataset) and "cannot be used" in refused(dataset)


def test_columns_of_other_types_and_none_are_refused(dataset):
    shard = dataset / "data/test-00000-of-00001.parquet"
    table = parquet.read_table(shard)
    for name in ("height", "fps", "name", "caption"):
        parquet.write_table(table.drop_columns([name]), shard)
        refused(dataset)
        index = table.column_names.index(name)
        parquet.write_table(table.set_column(index, name, [[[1], [2]]]), shard)
        refused(dataset)


def test_damage_anywhere_in_the_file_is_refused_or_does_no_harm(dataset):
    shard = dataset / "data/test-00000-of-00001.parquet"
    whole = shard.read_bytes()
    for size in (0, 4, 12, len(whole) // 2, len(whole) - 1):
        shard.write_bytes(whole[:size])
        assert "cannot be read" in refused(dataset)
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for place in range(footer, len(whole), 7):
        shard.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        before = contents(dataset)
        try:
            write_token_dataset(dataset.parent / "tokens", dataset)
        except pyratok.PyraTokError:
            assert contents(dataset) == before


def test_text_that_is_no_text_is_refused(dataset):
    shard = dataset / "data/test-00000-of-00001.parquet"
    table = parquet.read_table(shard)
    parquet.write_table(table, shard, compression="none", use_dictionary=False, write_statistics=False)
    whole = shard.read_bytes()
    assert "Käfer".encode() in whole
    shard.write_bytes(whole.replace("Käfer".encode(), b"K\xff\xfefer"))
    assert "cannot be read" in refused(dataset)


def test_a_link_into_nothing_is_refused(dataset):
    shard = dataset / "data/test-00000-of-00001.parquet"
    shard.unlink()
    os.symlink(dataset / "absent", shard)
    assert "no such file" in refused(dataset)
