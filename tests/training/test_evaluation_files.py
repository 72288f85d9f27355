"""Which files of a folder are evaluated."""

import errno
import os
from pathlib import Path

import pytest

from pyratok import PyraTokError
from pyratok.training.evaluation_files import evaluation_files


def names(folder: Path, max_clips: int | None = None) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in evaluation_files(folder, max_clips)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b/2.mp4", "b/10.MKV", "a.png", "c.jpeg", "metadata.jsonl", "notes.txt", ".hidden.mp4", ".git/x.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_videos_and_pictures_of_all_subfolders_sorted_by_their_path(folder):
    assert names(folder) == ["a.png", "b/10.MKV", "b/2.mp4", "c.jpeg"]


def test_a_few_are_spread_evenly(folder):
    assert names(folder, 2) == ["a.png", "b/2.mp4"]
    assert names(folder, 1) == ["a.png"]
    assert names(folder, 4) == names(folder, 100) == names(folder)


def test_a_folder_that_is_none_or_holds_nothing_is_refused(folder, tmp_path):
    with pytest.raises(PyraTokError, match="nowhere' does not exist"):
        evaluation_files(tmp_path / "nowhere")
    with pytest.raises(PyraTokError, match="is a file"):
        evaluation_files(folder / "a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    with pytest.raises(PyraTokError, match="holds no videos or pictures"):
        evaluation_files(tmp_path / "empty")


def test_a_subfolder_that_may_not_be_listed_is_an_error_and_no_gap(folder, monkeypatch):
    listed = os.scandir

    def scandir(path: str) -> os.scandir:
        if Path(path).name == "b":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError):
        evaluation_files(folder)
