"""What all tests share: no network, few threads, a cache of their own, the tiny model and the fixture clips."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

# These have to stand before the first import of torch and huggingface_hub, which read them once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="pyratok-tests-")
os.environ.pop("HF_HUB_CACHE", None)
atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)

import pytest  # noqa: E402
import torch  # noqa: E402
from loopback_hub import LoopbackHub  # noqa: E402

import pyratok  # noqa: E402

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def tiny_config() -> "pyratok.PyraTokConfig":
    """The smallest configuration that exercises every part."""
    return pyratok.PyraTokConfig.tiny()


@pytest.fixture
def tiny_model(tiny_config: "pyratok.PyraTokConfig") -> "pyratok.PyraTokModel":
    """A tiny model in evaluation mode, the same random weights in every test."""
    torch.manual_seed(0)
    return pyratok.PyraTokModel(tiny_config).eval()


@pytest.fixture(scope="session")
def clips() -> dict[str, Path]:
    """The fixture clips by the first part of their name: "bunny", "city", "dog", "earth", "park"."""
    return {path.name.split("_")[0]: path for path in sorted(FIXTURES.glob("*.mp4"))}


@pytest.fixture(scope="session")
def clip(clips: dict[str, Path]) -> Path:
    """One short real clip, 33 frames of 256 x 144."""
    return clips["city"]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[LoopbackHub]:
    """A Hub of this test's own on loopback, for child processes: see `loopback_hub`."""
    with LoopbackHub(tmp_path / "hub") as started:
        yield started
