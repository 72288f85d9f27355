"""Loose files without a split for validation give a few of theirs to it, always the same ones."""

import pytest
from data_examples import write_shards, write_videos

from pyratok.training.data_errors import DataError
from pyratok.training.held_out_files import open_split_rows


def names(source) -> set[str]:
    return {row["name"] for row in source.rows}


@pytest.mark.parametrize(("count", "held_out"), [(2, 1), (9, 1), (40, 2), (340, 16)])
def test_a_twentieth_is_held_out(tmp_path, count, held_out):
    files = {f"{number}.mp4" for number in range(count)}
    for name in files:
        (tmp_path / name).touch()
    rows = open_split_rows(str(tmp_path), "train", "validation")
    assert len(rows.held_out) == held_out
    assert names(rows.validation) == set(rows.held_out)
    assert names(rows.train) == files - set(rows.held_out)
    assert open_split_rows(f"{tmp_path}/", "train", "validation").held_out == rows.held_out


def test_the_names_decide_and_not_the_place(tmp_path):
    for folder in ("a", "b"):
        write_videos(tmp_path / folder, 5)
    one, other = (open_split_rows(str(tmp_path / folder), "train", "validation") for folder in ("a", "b"))
    assert one.held_out == other.held_out and names(one.train) == names(other.train)
    captions = {row["name"]: row["caption"] for row in one.train.rows}
    assert all(caption == f"caption of {name}" for name, caption in captions.items())


def test_nothing_is_held_out_where_there_is_a_split_or_none_is_wanted(tmp_path):
    for split in ("train", "validation"):
        write_videos(tmp_path / "split" / split, 2)
    rows = open_split_rows(str(tmp_path / "split"), "train", "validation")
    assert rows.held_out == () and len(names(rows.train)) == len(names(rows.validation)) == 2
    write_videos(tmp_path / "flat", 2)
    rows = open_split_rows(str(tmp_path / "flat"), "train", None)
    assert rows.held_out == () and rows.validation is None and len(names(rows.train)) == 2


def test_what_cannot_be_held_out_is_said(tmp_path):
    write_videos(tmp_path / "one", 1)
    with pytest.raises(DataError, match="holds one file, .* or set validation_split=null"):
        open_split_rows(str(tmp_path / "one"), "train", "validation")
    write_videos(tmp_path / "flat", 2)
    with pytest.raises(DataError, match="has no split 'test', it has: train; .*validation_split=null"):
        open_split_rows(str(tmp_path / "flat"), "train", "test")
    write_shards(tmp_path / "shards", [1, 1])
    with pytest.raises(DataError, match="has no split 'validation', it has: train; .*validation_split=null"):
        open_split_rows(str(tmp_path / "shards"), "train", "validation")
