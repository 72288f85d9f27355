"""The benchmarks are scripts beside the package and import each other by name, as they do when they are run."""

import sys
from pathlib import Path

import pytest
import torch

import pyratok

BENCHMARKS = Path(pyratok.__file__).resolve().parent / "benchmarks"
if str(BENCHMARKS) not in sys.path:
    sys.path.append(str(BENCHMARKS))  # last: their names are short ones


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory, clips: dict[str, Path]) -> Path:
    """A folder with pieces of two real clips, 9 and 5 frames."""
    folder = tmp_path_factory.mktemp("films")
    for name, frames in (("city", 9), ("dog", 5)):
        pixels = pyratok.read_video(clips[name])[0][:frames, 32:96, 64:160].clone()  # (T, 64, 96, 3)
        pyratok.write_video(folder / f"{name}.mp4", pixels, 25)
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    pyratok.PyraTokModel(pyratok.PyraTokConfig.tiny()).save_pretrained(folder)
    return folder
