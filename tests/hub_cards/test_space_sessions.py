"""Visitors' files: apart from each other, gone afterwards, and never where a name would have them."""

import os
import shutil
import tempfile
import time
from pathlib import Path

import full_disk
import gradio as gr
import pytest
import session_folders
from clip_limits import MIN_FREE_BYTES
from fastapi.testclient import TestClient
from gradio.routes import App
from hypothesis import given
from hypothesis import strategies as st
from session_folders import new_folder, remove_folder, safe_stem
from starlette.middleware import Middleware


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path, monkeypatch):
    """A folder for temporary files of this test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()


def upload(folder: Path) -> tuple[int, str, list[Path]]:
    """(status, text, files that are in `folder` now) of an upload to a page that is served as the app is."""
    with gr.Blocks() as page:
        gr.File()
    page.queue()
    page.max_file_size = None
    served = App.create_app(page, app_kwargs={"middleware": [Middleware(full_disk.FullDiskRefusal)]})
    served.uploaded_file_dir = str(folder)
    answer = TestClient(served).post("/gradio_api/upload", files={"files": ("clip.mp4", b"video")})
    return answer.status_code, answer.text, [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(("missing", "status"), [(0, 200), (1, 507)])
def test_uploads_are_refused_while_the_disk_is_nearly_full(missing, status, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=MIN_FREE_BYTES - missing)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    (tmp_path / "uploads").mkdir()
    answered, text, files = upload(tmp_path / "uploads")
    assert (answered, len(files)) == (status, int(status == 200))
    assert (text == full_disk.DISK_IS_FULL) == (status == 507)


def test_every_folder_is_new_and_private():
    folders = {new_folder() for _ in range(5)}
    assert len(folders) == 5
    assert all(folder.stat().st_mode & 0o777 == 0o700 for folder in folders)


def test_a_folder_goes_with_all_that_is_in_it():
    mine, yours = new_folder(), new_folder()
    (mine / "clip.safetensors").write_bytes(b"tokens")
    remove_folder(str(mine))
    assert not mine.exists() and yours.exists()
    remove_folder(str(mine))  # twice does no harm
    remove_folder(None)


def test_only_folders_of_visitors_are_removed(tmp_path):
    other = tmp_path / "temporary" / "other"
    outside = tmp_path / f"{session_folders.PREFIX}outside"
    inside = new_folder() / f"{session_folders.PREFIX}inside"
    for folder in (other, outside, inside):
        folder.mkdir()
        remove_folder(str(folder))
        assert folder.exists()
    mine = new_folder()
    remove_folder(f"{mine}/../other")
    assert other.exists()


def test_forgotten_folders_go_when_the_next_visitor_comes():
    forgotten, recent = new_folder(), new_folder()
    before = time.time() - 3 * session_folders.SESSION_SECONDS
    os.utime(forgotten, (before, before))
    new_folder()
    assert not forgotten.exists() and recent.exists()


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("holiday.mp4", "holiday"),
        ("My holiday (2).mp4", "My_holiday_2"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\system.ini", "system"),
        ("/etc/cron.d/x", "x"),
        ("<img src=x onerror=alert(1)>.mp4", "img_src_x_onerror_alert_1"),
        ("a\0b\n.mp4", "a_b"),
        ("-rf.mp4", "rf"),
        ("...", "clip"),
        ("", "clip"),
        ("видео.mp4", "clip"),
        ("CON\u202egpj.mp4", "CON_gpj"),
        ("x" * 500, "x" * session_folders.LONGEST_STEM),
    ],
)
def test_names_of_uploads_become_harmless(name, stem):
    assert safe_stem(name) == stem


@given(st.text())
def test_any_name_becomes_one_plain_file_name(name):
    stem = safe_stem(name)
    assert stem.isascii() and stem.replace("_", "a").replace("-", "a").isalnum()
    assert Path(stem).name == stem and 1 <= len(stem) <= session_folders.LONGEST_STEM
