"""README's examples run as they stand: every ```bash and ```python block, offline, in a folder that holds `clip.mp4`.

Blocks marked ```console show commands that make environments, clone or take hours, and are not run; of the training
command a small variant is.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pyratok

README = Path(pyratok.__file__).resolve().parent / "README.md"
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


PYTHON_EXAMPLES = [
    *("encode_and_decode", "stream", "token_file", "text_to_video", "captions", "understanding"),
    "from_backbone",
]


def blocks(language: str) -> list[str]:
    """The code of all blocks in this language, in order."""
    return [code for found, code in BLOCK.findall(README.read_text("utf-8")) if found == language]


def run(command: list[str], folder: Path) -> str:
    """Run a command there and return what it printed; the tests' own cache takes what it installs."""
    paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": os.pathsep.join(paths)}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory, clips) -> Path:
    """A folder with `clip.mp4` and a folder `films`, after README's bash blocks have run in it.

    They install the model for the others.
    """
    folder = tmp_path_factory.mktemp("readme")
    shutil.copy(clips["city"], folder / "clip.mp4")
    (folder / "films").mkdir()
    for name in ("city", "dog"):
        shutil.copy(clips[name], folder / "films")
    for code in blocks("bash"):
        run(["bash", "-euo", "pipefail", "-c", code], folder)
    return folder


def test_there_are_the_eight_examples():
    assert len(blocks("bash")) == 1
    assert len(blocks("python")) == 7


def test_bash_examples_leave_their_results(folder):
    for name in (
        "result",
        "clip.safetensors",
        "again.mp4",
        "preview.mp4",
        "masks",
        "times.png",
        "tokens",
        "found.png",
    ):
        assert (folder / name).exists(), name


@pytest.mark.parametrize("code", blocks("python"), ids=PYTHON_EXAMPLES)
def test_python_examples_run(code, folder):
    run([sys.executable, "-c", code], folder)
    if "decoded.mp4" in code:
        (original, before), (decoded, after) = (pyratok.read_video(folder / n) for n in ("clip.mp4", "decoded.mp4"))
        assert decoded.shape == original.shape and after.fps == before.fps


@pytest.mark.slow
def test_the_commands_for_training_run(clips, tmp_path):
    for split, names in {"train": ("city", "earth"), "validation": ("dog",)}.items():
        (tmp_path / "my" / "videos" / split).mkdir(parents=True)
        for name in names:
            shutil.copy(clips[name], tmp_path / "my" / "videos" / split)
    text = README.read_text("utf-8")
    ours = r"^\$ pyratok ((?:train tiny|evaluate reconstruction --data) .*?)\s*(?:#.*)?$"  # others need the benchmarks
    commands = re.findall(ours, text, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["train", "train", "evaluate"]
    for command in commands:
        short = ["max_steps=2", "warmup_steps=1", "validation_clips=1"] if command.startswith("train") else []
        run([sys.executable, "-m", "pyratok", *command.split(), *short], tmp_path)
    assert pyratok.PyraTokModel.from_pretrained(tmp_path / "runs" / "mine" / "stage_2" / "model").num_parameters() > 0
    assert "psnr_clip" in (tmp_path / "figures.json").read_text("utf-8")
    run(
        [sys.executable, *re.search(r"`python (-m pyratok\.training\.shard_writing .*?)`", text).group(1).split()],
        tmp_path,
    )
    assert list((tmp_path / "my" / "shards").rglob("*.tar"))


def test_links_to_files_lead_somewhere():
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", README.read_text("utf-8")):
        assert (README.parent / target).exists(), target
