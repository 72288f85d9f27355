"""README's examples run as they stand, top to bottom: every ```bash and ```python block, offline, beside a `clip.mp4`.

Blocks marked ```console show commands that make environments or clone, and are not run.
"""

import shutil
from pathlib import Path

import pytest
from markdown_pages import blocks, run_page

import pyratok

README = Path(pyratok.__file__).resolve().parent / "README.md"
RESULTS = ("result", "clip.safetensors", "again.mp4", "preview.mp4", "masks", "times.png", "tokens", "found.png")
PICTURES = ("first.png", "tokens.safetensors", "rabbit.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, clips) -> Path:
    """A folder with `clip.mp4` and a folder `films`."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copy(clips["city"], folder / "clip.mp4")
    (folder / "films").mkdir()
    for name in ("city", "dog"):
        shutil.copy(clips[name], folder / "films")
    return folder


def test_there_are_five_examples_and_nothing_is_left_out():
    found = [block.language for block in blocks(README) if block.language != "console"]
    assert found == ["bash", "python", "python", "bash", "python"]
    assert README.read_text("utf-8").count("\n### ") == 5


def test_examples_run_in_their_order(folder):
    """In an empty cache, so that what README says about installing the model is enough."""
    run_page(README, folder, HF_HOME=str(folder / "cache"))
    assert [name for name in (*RESULTS, *PICTURES) if not (folder / name).exists()] == []


def test_the_commands_leave_what_they_say(folder):
    (original, before), (again, after) = (pyratok.read_video(folder / name) for name in ("clip.mp4", "again.mp4"))
    assert again.shape == original.shape and after.fps == before.fps
    assert pyratok.VideoTokens.load(folder / "tokens.safetensors").levels == (1, 2, 3, 4)
    assert len(list((folder / "tokens").rglob("*.mp4.safetensors"))) == 2
