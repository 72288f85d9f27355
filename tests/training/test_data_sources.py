"""Rows come out of every kind of source, and what is wrong with a source is said in one sentence."""

import json
from types import SimpleNamespace

import pytest
from data_examples import (
    damage_table,
    small_picture,
    small_video,
    write_metadata,
    write_shards,
    write_table,
    write_tar,
    write_videos,
)
from datasets import Dataset, Features, Image, Value

from pyratok.modeling_pyratok.errors import PyraTokError
from pyratok.training import data_sources, table_shards
from pyratok.training.data_errors import DataError
from pyratok.training.data_sources import list_files, open_rows


def rows_of(source, split="train") -> dict[str, dict]:
    rows = list(open_rows(source, split).rows)
    assert all(row.keys() == {"media", "name", "caption", "problem"} for row in rows)
    assert len({row["name"] for row in rows}) == len(rows)
    return {row["name"]: row for row in rows}


# --- folders


def test_a_folder_with_splits(data_folder):
    rows = rows_of(data_folder / "video")
    assert {name: row["caption"] for name, row in rows.items()} == {
        "train/broken.mp4": "nothing",
        **{f"train/train_{number}.mp4": f"pattern {number}" for number in range(4)},
    }
    assert rows["train/train_0.mp4"]["media"] == str(data_folder / "video/train/train_0.mp4")
    assert len(rows_of(data_folder / "video", "validation")) == 2
    assert len(rows_of(data_folder / "video", None)) == 7
    assert rows_of(str(data_folder / "images")).keys() == {"train/0.jpg", "train/1.jpg"}


def test_a_row_of_a_folder_is_a_shard(tmp_path):
    write_videos(tmp_path, 5)
    source = open_rows(tmp_path)
    assert source.num_shards == 5 and source.is_listing


def test_a_flat_folder_is_the_training_split(tmp_path):
    names = write_videos(tmp_path, 2)
    assert rows_of(tmp_path).keys() == set(names)
    with pytest.raises(DataError, match="has no split 'validation', it has: train"):
        open_rows(tmp_path, "validation")


def test_every_kind_of_file_and_captions_beside_them(tmp_path):
    folder = tmp_path / "odd [name]" / "deep.er"
    folder.mkdir(parents=True)
    (folder / "a.webm").write_bytes(b"?")
    (folder / "a.txt").write_text(" a film \n")
    (folder / "b.c.JPG").write_bytes(b"?")
    (folder / "notes.md").write_text("no sample")
    (folder / "not utf-8.mp4").write_bytes(b"?")
    (folder / "not utf-8.txt").write_bytes(b"\xff\xfe")
    rows = rows_of(tmp_path / "odd [name]")
    assert rows.keys() == {"deep.er/a.webm", "deep.er/b.c.JPG", "deep.er/not utf-8.mp4"}
    assert rows["deep.er/a.webm"]["caption"] == "a film" and rows["deep.er/b.c.JPG"]["caption"] is None
    assert "its caption cannot be read" in rows["deep.er/not utf-8.mp4"]["problem"]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_metadata(tmp_path, kind):
    (tmp_path / "x.mp4").write_bytes(b"?")
    (tmp_path / "without.mp4").write_bytes(b"?")
    if kind == "jsonl":
        entries = [{"file_name": "x.mp4", "text": "two\u2028lines"}, {"file_name": "gone.mp4", "text": "lost"}]
        (tmp_path / "metadata.jsonl").write_text("\n".join(json.dumps(e, ensure_ascii=False) for e in entries))
    elif kind == "csv":
        (tmp_path / "metadata.csv").write_text('file_name,text\nx.mp4,"two\u2028lines"\ngone.mp4,lost\n')
    else:
        write_table(
            tmp_path / "metadata.parquet", {"file_name": ["x.mp4", "gone.mp4"], "text": ["two\u2028lines", "lost"]}
        )
    captions = {name: row["caption"] for name, row in rows_of(tmp_path).items()}
    assert captions == {"x.mp4": "two\u2028lines", "gone.mp4": "lost", "without.mp4": None}


def test_a_caption_that_is_no_text_is_a_problem_of_its_row(tmp_path):
    write_videos(tmp_path, 3)
    entries = [("video_0.mp4", "text"), ("video_1.mp4", 7), ("video_2.mp4", ["list"])]
    write_metadata(tmp_path, [{"file_name": name, "text": text} for name, text in entries])
    rows = rows_of(tmp_path)
    assert rows["video_0.mp4"]["problem"] is None
    assert "not a text but of type int: 7" in rows["video_1.mp4"]["problem"]
    assert "not a text but of type list" in rows["video_2.mp4"]["problem"]
    assert rows["video_1.mp4"]["caption"] is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"file_name": "x.mp4"', "line 1 of .*metadata.jsonl is not valid JSON"),
        ('{"text": "x"}', "without a 'file_name'"),
        ("3", "without a 'file_name'"),
        ('{"file_name": "../x.mp4"}', "outside its folder"),
        ('{"file_name": "/x.mp4"}', "outside its folder"),
        ('{"file_name": "file://x.mp4"}', "outside its folder"),
    ],
)
def test_wrong_metadata(tmp_path, line, message):
    (tmp_path / "x.mp4").write_bytes(b"?")
    (tmp_path / "metadata.jsonl").write_text(line)
    with pytest.raises(DataError, match=message):
        open_rows(tmp_path)


def test_files_by_split(data_folder):
    by_split = list_files(data_folder / "video")
    assert {split: len(files) for split, files in by_split.items()} == {"train": 5, "validation": 2}


# --- shards


def test_tar_shards(tmp_path):
    video = small_video(0)
    write_tar(
        tmp_path / "train-0.tar",
        {
            "a/one.mp4": video,
            "a/one.txt": b"first\n",
            "two.json": json.dumps({"text": "second", "fps": 3}).encode(),
            "two.JPG": b"picture",
            "three.jpg": b"thumbnail",
            "three.mp4": video,
            "four.avi": b"film",
            "four.json": b'{"caption": "fourth", "text": null}',
        },
    )
    write_tar(tmp_path / "validation-0.tar", {"five.png": b"other"})
    rows = rows_of(tmp_path)
    assert {name.removeprefix("train-0.tar/"): row["caption"] for name, row in rows.items()} == {
        "a/one.mp4": "first",
        "two.jpg": "second",
        "three.mp4": None,
        "four.avi": "fourth",
    }
    assert rows["train-0.tar/a/one.mp4"]["media"] == video and rows["train-0.tar/two.jpg"]["media"] == b"picture"
    assert rows_of(tmp_path, "validation").keys() == {"validation-0.tar/five.png"}


def test_shards_by_pattern(tmp_path):
    write_shards(tmp_path, [2, 1, 3])
    source = open_rows(str(tmp_path / "train-*[01].tar"))
    assert source.num_shards == 2 and not source.is_listing
    assert len(rows_of(str(tmp_path / "*.tar"))) == 6
    assert len(rows_of(tmp_path / "train-00002.tar")) == 3


def test_what_is_wrong_in_a_tar_is_a_problem_of_its_row(tmp_path):
    write_tar(tmp_path / "a.tar", {"int.mp4": b"?", "int.json": b'{"text": 3}', "list.mp4": b"?", "list.json": b"[1]"})
    write_tar(tmp_path / "b.tar", {"x.mp4": b"?", "x.txt": b"\xff", "y.mp4": b"?", "y.json": b"{", "z.bin": b"?"})
    problems = {name: row["problem"] for name, row in rows_of(tmp_path).items()}
    assert "of type int: 3" in problems["a.tar/int.mp4"] and "of type list" in problems["a.tar/list.mp4"]
    assert "its caption cannot be read" in problems["b.tar/x.mp4"]
    assert "its caption cannot be read" in problems["b.tar/y.mp4"]
    assert problems["b.tar/z"] == "no video or picture among z.bin"


def test_the_rest_of_a_damaged_tar_is_left_out_and_the_next_goes_on(tmp_path):
    write_shards(tmp_path, [2, 2])
    first = tmp_path / "train-00000.tar"
    data = first.read_bytes()
    first.write_bytes(data[: data.index(b"v1.mp4") + 1000])
    rows = rows_of(tmp_path)
    assert "the shard is damaged" in rows["train-00000.tar"]["problem"]
    assert {name for name, row in rows.items() if row["problem"] is None} == {
        "train-00000.tar/v0.mp4",
        "train-00001.tar/v2.mp4",
        "train-00001.tar/v3.mp4",
    }


@pytest.mark.parametrize("kind", ["no bytes", "no members"])
def test_an_empty_tar_is_named(tmp_path, kind):
    write_shards(tmp_path, [1])
    write_tar(tmp_path / "train-00001.tar", {})
    if kind == "no bytes":
        (tmp_path / "train-00001.tar").write_bytes(b"")
    with pytest.raises(DataError, match="train-00001.tar is empty"):
        open_rows(tmp_path)


def test_a_tar_that_is_none_is_named(tmp_path):
    write_shards(tmp_path, [1])
    (tmp_path / "train-00001.tar").write_bytes(b"no archive" * 100)
    with pytest.raises(DataError, match="train-00001.tar is damaged"):
        open_rows(tmp_path)


# --- tables


def test_a_table_of_videos(tmp_path):
    videos = [{"bytes": small_video(n), "path": f"v{n}.mp4"} for n in range(5)]
    write_table(tmp_path / "train-0.parquet", {"video": videos, "text": [*"abcd", None], "more": [0] * 5})
    rows = rows_of(tmp_path)
    assert {name: row["caption"] for name, row in rows.items()} == {
        "v0.mp4": "a",
        "v1.mp4": "b",
        "v2.mp4": "c",
        "v3.mp4": "d",
        "v4.mp4": None,
    }
    assert rows["v3.mp4"]["media"] == videos[3]["bytes"]
    assert open_rows(tmp_path).num_shards == 3  # row groups


def test_a_table_as_datasets_writes_it(tmp_path):
    features = Features({"picture": Image(), "caption": Value("string")})
    data = {"picture": [{"bytes": small_picture(n), "path": None} for n in range(3)], "caption": ["a", "b", "c"]}
    (tmp_path / "data").mkdir()
    Dataset.from_dict(data, features=features).to_parquet(tmp_path / "data" / "train-0.parquet")
    rows = rows_of(tmp_path)
    assert [row["caption"] for row in rows.values()] == ["a", "b", "c"]
    assert all(name.startswith("sha256:") for name in rows)
    assert [row["media"] for row in rows.values()] == [image["bytes"] for image in data["picture"]]


def test_a_table_of_paths_and_what_is_wrong_with_rows(tmp_path):
    write_table(tmp_path / "t.parquet", {"video": ["a.mp4", None], "text": [1, 2]})
    rows = list(open_rows(tmp_path).rows)
    assert rows[0]["media"] == "a.mp4" and "of type int" in rows[0]["problem"]
    assert rows[1]["problem"] == "its video is null"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"video": [], "text": []}, "two.parquet is empty"),
        ({"clip": [1]}, "no column 'video'"),
    ],
)
def test_wrong_tables(tmp_path, columns, message):
    write_table(tmp_path / "two.parquet", columns)
    with pytest.raises(DataError, match=message):
        open_rows(tmp_path)


def test_a_damaged_table_is_named(tmp_path):
    write_table(tmp_path / "t.parquet", {"video": ["a.mp4"]})
    data = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="t.parquet is damaged"):
        open_rows(tmp_path)


@pytest.mark.parametrize(
    ("few", "shards"), [(64, 4), (0, 2)], ids=["a shard for each row group", "a shard for each file"]
)
def test_a_damaged_row_group_is_left_out_and_the_next_go_on(tmp_path, monkeypatch, few, shards):
    monkeypatch.setattr(table_shards, "FEW_TABLES", few)
    videos = [{"bytes": small_video(n), "path": f"v{n}.mp4"} for n in range(6)]
    write_table(tmp_path / "a.parquet", {"video": videos[:4]})
    write_table(tmp_path / "b.parquet", {"video": videos[4:], "text": ["x", "y"]}, row_group_size=1)
    damage_table(tmp_path / "a.parquet", row_group=0)
    assert open_rows(tmp_path).num_shards == shards
    rows = rows_of(tmp_path)
    assert rows.keys() == {"a.parquet, row group 0", "v2.mp4", "v3.mp4", "v4.mp4", "v5.mp4"}
    assert "the row group is damaged" in rows.pop("a.parquet, row group 0")["problem"]
    assert all(row["problem"] is None for row in rows.values()) and rows["v5.mp4"]["caption"] == "y"


def test_a_table_that_is_damaged_or_lacks_the_column_after_it_was_opened(tmp_path):
    write_table(tmp_path / "a.parquet", {"video": [small_video(0)]})
    write_table(tmp_path / "b.parquet", {"film": [small_video(1)]})
    write_table(tmp_path / "c.parquet", {"video": [small_video(2)]})
    source = open_rows(tmp_path)
    (tmp_path / "c.parquet").write_bytes(b"PAR1")
    readable, other, broken = source.rows
    assert readable["problem"] is None
    assert (other["name"], other["problem"]) == ("b.parquet", "the shard cannot be read: it has no column 'video'")
    assert broken["name"] == "c.parquet" and "the shard cannot be read" in broken["problem"]


# --- the Hub


def test_names_of_a_hub_dataset_do_not_depend_on_its_revision(monkeypatch):
    address = "hf://datasets/owner/name@0123abcd/train/a/x.mp4"
    config = SimpleNamespace(data_files={"train": [address, "hf://datasets/owner/name@0123abcd/README.md"]})
    monkeypatch.setattr(data_sources, "load_dataset_builder", lambda path: SimpleNamespace(config=config))
    (row,) = open_rows("owner/name").rows
    assert row == {"media": address, "name": "train/a/x.mp4", "caption": None, "problem": None}


# --- nothing


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere at all", "there is nothing at 'nowhere at all'"),
        ("no-such-owner/no-such-data", "no folder 'no-such-owner/no-such-data', and the Hub has no such dataset"),
        ("nowhere/*.tar", "'nowhere/\\*.tar'"),
    ],
)
def test_nothing_there(source, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        open_rows(source)
    assert isinstance(caught.value, PyraTokError)


def test_nothing_in_it(tmp_path):
    with pytest.raises(DataError, match="no files in"):
        open_rows(tmp_path)
    (tmp_path / "readme.txt").write_text("no videos here")
    with pytest.raises(DataError, match="split 'train' of .* holds no videos or pictures; known are .avi"):
        open_rows(tmp_path)
    with pytest.raises(DataError, match="holds no videos or pictures"):
        list_files(tmp_path)
    (tmp_path / "a.png").write_bytes(small_picture(0))
    assert open_rows(tmp_path).num_shards == 1
