"""Shards hold what the folder holds, shuffled, the same bytes for the same seed."""

import logging
import tarfile
from pathlib import Path

import pytest
from data_examples import small_picture, small_video, write_metadata, write_videos

from pyratok.training import shard_writing
from pyratok.training.data_errors import DataError
from pyratok.training.data_sources import open_rows
from pyratok.training.shard_writing import main, write_shards


def contents(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def samples(output: Path, split="train") -> dict[str, tuple]:
    rows = open_rows(output, split).rows
    return {row["name"].partition("/")[2]: (row["caption"], row["media"]) for row in rows}


def test_a_folder_comes_back_out_of_its_shards(tmp_path):
    names = write_videos(tmp_path / "in", 7)
    paths = write_shards(tmp_path / "in", tmp_path / "out", shards=3, seed=0)
    assert [path.name for path in paths] == [f"train-0000{number}.tar" for number in range(3)]
    assert sorted(contents(tmp_path / "out")) == [path.name for path in paths]
    assert samples(tmp_path / "out") == {
        name: (f"caption of {name}", (tmp_path / "in" / name).read_bytes()) for name in names
    }
    assert sorted(len(list(open_rows(path).rows)) for path in paths) == [2, 2, 3]


def test_splits_captions_and_odd_names(tmp_path):
    folder = tmp_path / "in"
    (folder / "train" / "a.b").mkdir(parents=True)
    (folder / "validation").mkdir()
    files = {"train/a.b/c.d.mp4": 0, "train/a.b/c_d.mp4": 1, "train/a.b/C.MOV": 2, "validation/v.mp4": 3}
    for name, seed in files.items():
        (folder / name).write_bytes(small_video(seed))
    (folder / "train/a.b/c_d.txt").write_text("beside it")
    (folder / "train/p.png").write_bytes(small_picture(0))
    assert len(write_shards(folder, tmp_path / "out", shards=2, seed=0)) == 3
    captions = {name: caption for name, (caption, _) in samples(tmp_path / "out").items()}
    assert captions == {
        "train/a.b/C.mov": None,
        "train/a.b/c_d.mp4": None,
        "train/a.b/c_d-2.mp4": "beside it",
        "train/p.png": None,
    }
    assert samples(tmp_path / "out", "validation") == {"validation/v.mp4": (None, small_video(3))}


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    write_videos(tmp_path / "in", 6)
    for name, seed in (("one", 4), ("two", 4), ("three", 5)):
        write_shards(tmp_path / "in", tmp_path / name, shards=2, seed=seed)
        for file in (tmp_path / "in").iterdir():
            file.touch()  # times do not matter
    one, two, three = (contents(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two != three


def test_files_are_shuffled(tmp_path):
    names = write_videos(tmp_path / "in", 12)
    write_shards(tmp_path / "in", tmp_path / "out", shards=1, seed=0)
    assert set(samples(tmp_path / "out")) == set(names) and list(samples(tmp_path / "out")) != sorted(names)


def test_unreadable_files_are_named_and_left_out(tmp_path, caplog):
    names = write_videos(tmp_path / "in", 5)
    (tmp_path / "in" / names[0]).write_bytes(b"this is no video")
    (tmp_path / "in" / names[1]).unlink()
    write_metadata(tmp_path / "in", [{"file_name": name, "text": 3 if name == names[2] else name} for name in names])
    with caplog.at_level(logging.WARNING):
        write_shards(tmp_path / "in", tmp_path / "out", shards=2, seed=0)
    assert samples(tmp_path / "out").keys() == set(names[3:])
    assert all(f"left out {name}: " in caplog.text for name in names[:3])


def test_an_output_with_shards_is_refused(tmp_path):
    write_videos(tmp_path / "in", 2)
    write_shards(tmp_path / "in", tmp_path / "out", shards=1, seed=0)
    before = contents(tmp_path / "out")
    with pytest.raises(DataError, match="has shards already \\(train-00000.tar\\)"):
        write_shards(tmp_path / "in", tmp_path / "out", shards=2, seed=0)
    assert contents(tmp_path / "out") == before
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="is a file"):
        write_shards(tmp_path / "in", tmp_path / "file", shards=2, seed=0)


def test_what_is_interrupted_leaves_nothing(tmp_path, monkeypatch):
    write_videos(tmp_path / "in", 4)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    written = []

    def member(name: str, size: int) -> tarfile.TarInfo:
        written.append(name)
        if len(written) == 5:
            raise OSError("no space left on device")
        return tarfile.TarInfo(name)

    monkeypatch.setattr(shard_writing, "_member", member)
    with pytest.raises(DataError, match="cannot be written to .*no space left"):
        write_shards(tmp_path / "in", tmp_path / "out", shards=2, seed=0)
    assert contents(tmp_path / "out").keys() == {"notes.txt"}


def test_nothing_to_write(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes(b"this is no video")
    with pytest.raises(DataError, match="none of the files of .* can be read"):
        write_shards(tmp_path / "in", tmp_path / "out", shards=1, seed=0)
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="at least 1, got 0"):
        write_shards(tmp_path / "in", tmp_path / "out", shards=0, seed=0)


def test_command_line(tmp_path, capsys):
    write_videos(tmp_path / "in", 2)
    arguments = [str(tmp_path / "in"), str(tmp_path / "out"), "--shards", "2", "--seed", "3"]
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"2 shards in {tmp_path / 'out'}\n"
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("error: ")
