"""What the tests of the command line share: a tiny model, small clips, and ways to run commands in this process."""

import importlib
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from small_films import moving_square, write_sound
from typer.testing import CliRunner, Result

import pyratok
from pyratok.commands.app import app
from pyratok.modeling_pyratok.video_writing import write_video
from pyratok.pipelines import bundled_model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights, saved as a whole repository."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model = pyratok.PyraTokModel(pyratok.PyraTokConfig.tiny())
    pyratok.PyraTokReconstructionPipeline(model).save_pretrained(folder)
    return folder


@pytest.fixture
def bundle(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model in the place of the bundled one."""
    monkeypatch.setattr(bundled_model, "BUNDLED_FOLDER", model_folder)
    return model_folder


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with square.mp4 (7 frames of 52 x 38, with sound), still.png and sound.m4a; not to be written to."""
    folder = tmp_path_factory.mktemp("films")
    write_sound(folder / "sound.m4a", 0.7)
    frames = moving_square(7, 38, 52)
    write_video(folder / "square.mp4", frames, Fraction(10), copy_audio_from=folder / "sound.m4a")
    write_video(folder / "still.png", frames[:1], 1)
    return folder


@pytest.fixture
def film(films: Path) -> str:
    """The path of square.mp4."""
    return str(films / "square.mp4")


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything under a folder, hidden files included: the bytes of regular files, None for anything else."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def work_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the command runs in."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run(work_folder: Path) -> Callable[..., Result]:
    """Run a command in the work folder: `run("encode", film, "out.safetensors")`. It has to succeed."""

    def run_command(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result

    return run_command


@pytest.fixture
def refused(work_folder: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that has to be refused: exit code 2, one sentence on stderr (returned), nothing written."""

    def run_command(*arguments: object) -> str:
        before = tree(work_folder)
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        said_by_libraries = capfd.readouterr()
        assert (result.exit_code, result.stdout) == (2, ""), result.output
        assert said_by_libraries.err == said_by_libraries.out == ""
        assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1, result.stderr
        assert tree(work_folder) == before
        return result.stderr

    return run_command


@pytest.fixture
def unprivileged_after(
    films: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., None]]:
    """Call it with files that nobody may read and folders that nobody may write to; root's rights end with it."""
    for module in ("reconstruction_run", "tables"):  # root alone may be able to read the installation: load it now
        importlib.import_module(f"pyratok.commands.{module}")

    def give_up(*closed: Path) -> None:
        base = tmp_path_factory.getbasetemp()
        for folder in (base.parent, base, films, tmp_path):
            folder.chmod(0o755)
        for path in closed:
            path.chmod(0o555 if path.is_dir() else 0o000)
        if os.geteuid() == 0:
            os.seteuid(65534)
            try:
                (films / "square.mp4").read_bytes()
            except PermissionError:
                pytest.skip("without root's rights the temporary folder cannot be read here")

    try:
        yield give_up
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
