"""The pages of the documentation: their code runs, their links lead somewhere, and what is generated is up to date."""

import importlib.util
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
from markdown_pages import anchors, blocks, links, run, run_page

import pyratok

ROOT = Path(pyratok.__file__).resolve().parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
LINKING = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md", *PAGES]
CARDS = sorted((ROOT / "hub_cards").glob("*/README.md"))

RUN, SHOWN = ("bash", "python"), ("console", "text", "{toctree}")
"""What blocks are marked as: `bash` and `python` run; `console` needs what a test has not, hours for example, and is parsed
alone (`test_shown_commands.py`)."""


def script(name: str) -> ModuleType:
    """A script of the documentation as a module."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, DOCS / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path, clips) -> Path:
    """A folder with `clip.mp4` and a folder `films`."""
    shutil.copy(clips["city"], tmp_path / "clip.mp4")
    (tmp_path / "films").mkdir()
    for name in ("city", "dog"):
        shutil.copy(clips[name], tmp_path / "films" / f"{name}.mp4")
    return tmp_path


@pytest.fixture(scope="module")
def installed() -> None:
    """The bundled model in the cache that the processes here share."""
    run([sys.executable, "-m", "pyratok", "install"], ROOT)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_is_run_or_meant_to_be_shown(page):
    assert {block.language for block in blocks(page)} <= {*RUN, *SHOWN}


@pytest.mark.parametrize("page", [p for p in PAGES if any(b.language in RUN for b in blocks(p))], ids=lambda p: p.stem)
def test_code_runs(page, folder, installed):
    run_page(page, folder)


@pytest.mark.parametrize("page", [*LINKING, *CARDS], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_the_tables_of_settings_are_those_of_the_code():
    table = script("settings_table.py")
    assert table.tables() in table.PAGE.read_text("utf-8"), "run python docs/settings_table.py"


def test_every_setting_is_in_a_table():
    from pyratok.training.settings import TrainingSettings

    page = (DOCS / "training.md").read_text("utf-8")
    rows = "\n".join(line.split(" | ")[0] for line in page.splitlines() if line.startswith("| `"))
    assert [name for name in TrainingSettings.__dataclass_fields__ if f"`{name}`" not in rows] == []


def test_the_drawing_is_that_of_its_script():
    drawing = script("drawings/architecture.py")
    assert drawing.drawing() == drawing.TARGET.read_text("utf-8"), "run python docs/drawings/architecture.py"


@pytest.mark.slow
def test_the_commands_for_training_run(clips, tmp_path):
    """With few steps, for they take minutes; the shards are those of the page."""
    for split, names in {"train": ("city", "earth"), "validation": ("dog",)}.items():
        (tmp_path / "my" / "videos" / split).mkdir(parents=True)
        for name in names:
            shutil.copy(clips[name], tmp_path / "my" / "videos" / split)
    text = (DOCS / "training.md").read_text("utf-8")
    commands = re.findall(r"^\$ pyratok (train tiny .*?)\s*(?:#.*)?$", text, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        short = ["max_steps=2", "warmup_steps=1", "validation_clips=1"]
        run([sys.executable, "-m", "pyratok", *command.split(), *short], tmp_path)
    assert pyratok.PyraTokModel.from_pretrained(tmp_path / "runs" / "mine" / "stage_2" / "model").num_parameters() > 0
    (writing,) = re.findall(r"^\$ python (-m pyratok\.training\.shard_writing .*)$", text, re.MULTILINE)
    run([sys.executable, *writing.split()], tmp_path)
    assert list((tmp_path / "my" / "shards").rglob("*.tar"))
