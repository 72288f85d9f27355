"""The app's folder as a Space: its card, what it requires, what it weighs."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from clip_limits import TAKES
from huggingface_hub import SpaceCard

import pyratok

ROOT = Path(pyratok.__file__).resolve().parent
SPACE = ROOT / "hub_cards" / "space"
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
"""What the Hub takes for a card's two colours."""


BROUGHT_BY = {"PIL": "pillow", "starlette": "gradio"}
"""Imports whose package has another name, or comes with one that needs it."""


def test_the_card_says_what_a_space_needs():
    data = SpaceCard.load(SPACE / "README.md").data
    assert data.sdk == "gradio" and (SPACE / data.app_file).is_file()
    assert data.to_dict()["python_version"] == "3.11"  # a number would be 3.1 for 3.10
    assert {data.to_dict()["colorFrom"], data.to_dict()["colorTo"]} <= COLOURS
    assert len(data.to_dict()["short_description"]) <= 60
    pins = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    assert f"gradio=={data.sdk_version}" in pins


def test_the_card_says_the_limits_of_the_page_and_credits_the_examples():
    text = (SPACE / "README.md").read_text("utf-8")
    for number in re.findall(r"[\d,]{2,}", TAKES):
        assert number in text
    for folder in (SPACE / "examples").iterdir():
        assert f"| `examples/{folder.name}` |" in text


def test_links_to_files_lead_somewhere():
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", (SPACE / "README.md").read_text("utf-8")):
        assert (SPACE / target).exists(), target


def test_the_app_imports_what_its_requirements_bring():
    own = {path.stem for path in SPACE.glob("*.py")}
    setup = (ROOT / "setup.py").read_text("utf-8").lower()
    for path in SPACE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            for name in {name.split(".")[0] for name in names} - own - sys.stdlib_module_names - {"pyratok"}:
                assert f'"{BROUGHT_BY.get(name, name).lower()}>=' in setup, f"{path.name} imports {name}"


def test_the_requirements_name_nothing_that_anybody_could_register():
    lines = (SPACE / "requirements.txt").read_text("utf-8").splitlines()
    (gradio,) = [line for line in lines if not line.startswith("#")]
    assert f'"{gradio}"' in (ROOT / "setup.py").read_text("utf-8")
    for line in lines:  # what a visitor may take the `#` away from
        if line.startswith("#   "):
            assert "://" in line and "pyratok @" not in line
    names = re.findall(r"huggingface\.co/\S+?[\w.]whl", "\n".join(lines))
    assert [name for name in names if f"pyratok-{pyratok.__version__}-" in name] == names != []


def test_without_pyratok_the_app_says_what_to_do(tmp_path):
    for path in SPACE.glob("*.py"):
        shutil.copy(path, tmp_path)
    command = [
        sys.executable,
        "-S",
        "app.py",
    ]  # without installed packages, as in a Space that has no line for PyraTok
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("PyraTok is not installed: in a Space add a line to requirements.txt")


def test_the_folder_is_small():
    files = [path for path in SPACE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files) < 1_500_000
    assert (SPACE / "screenshot.png").stat().st_size < 250_000
    assert not [path for path in files if path.suffix in (".pt", ".bin", ".pkl", ".pth")]
