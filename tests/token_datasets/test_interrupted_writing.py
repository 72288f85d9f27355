"""A run that is stopped at any point: what was there stays, and what it left is removed by the next."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import load_dataset

import pyratok
from pyratok import write_token_dataset

WRITE = """
import sys
import time
import pyratok

def wait(names):
    print("begun", flush=True)
    time.sleep(600)
    return names

pyratok.write_token_dataset(sys.argv[1], sys.argv[2], progress=wait)
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> set[str]:
    return {row["name"] for row in load_dataset(str(folder), split="train", streaming=True)}


@pytest.mark.parametrize("moved", range(5))
def test_no_clip_is_lost_when_moving_is_interrupted(token_folder, tmp_path, monkeypatch, moved):
    """The new split has five shards and the old one has one; every name that was there is there after any of the moves."""
    write_token_dataset(token_folder, tmp_path / "out")
    before, clips = contents(tmp_path / "out"), names(tmp_path / "out")
    replace, done = os.replace, []

    def interrupted(source, target):
        if len(done) == moved:
            raise KeyboardInterrupt
        done.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_token_dataset(token_folder, tmp_path / "out", shard_bytes=1)
    monkeypatch.undo()
    after = contents(tmp_path / "out")
    assert {name: after.get(name) for name in before} == before
    assert names(tmp_path / "out") == clips
    shards = write_token_dataset(token_folder, tmp_path / "out", shard_bytes=1)
    assert sorted(contents(tmp_path / "out")) == ["README.md", *(f"data/{path.name}" for path in shards.paths)]


def test_what_stands_in_the_way_of_a_shard_or_the_card_changes_nothing(token_folder, tmp_path):
    write_token_dataset(token_folder, tmp_path / "out")
    folder = tmp_path / "out/data/train-00003-of-00005.parquet"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    before = contents(tmp_path / "out")
    with pytest.raises(pyratok.PyraTokError, match="train-00003-of-00005.parquet', which is a folder"):
        write_token_dataset(token_folder, tmp_path / "out", shard_bytes=1)
    assert contents(tmp_path / "out") == before
    assert len(write_token_dataset(token_folder, tmp_path / "out").paths) == 1
    assert (folder / "notes.txt").read_text() == "mine"

    shutil.rmtree(folder)
    (tmp_path / "out/README.md").unlink()
    (tmp_path / "out/README.md").mkdir()
    before = contents(tmp_path / "out")
    with pytest.raises(pyratok.PyraTokError, match=r"README\.md"):
        write_token_dataset(token_folder, tmp_path / "out", shard_bytes=1)
    assert contents(tmp_path / "out") == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no locks of folders")
def test_what_a_killed_run_left_is_removed_and_a_running_one_is_not_disturbed(token_folder, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-c", WRITE, str(token_folder), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "begun\n"
            (aside,) = out.glob(".pyratok-dataset-*")
            write_token_dataset(token_folder, out, split="test")
            assert aside.is_dir()
        finally:
            process.send_signal(signal.SIGKILL)
    assert aside.is_dir()
    write_token_dataset(token_folder, out)
    assert not aside.exists() and sorted(path.name for path in out.iterdir()) == ["README.md", "data"]
