"""Repositories made to do harm: nothing is unpickled, no code runs unasked, no file outside is read or written."""

import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_repository import tiny_text_to_video
from transformers import AutoModel

from pyratok import PyraTokConfig, PyraTokError, PyraTokPrior, PyraTokTextToVideoPipeline
from pyratok.pipelines.model_loading import load_model


class Harm:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "model"
    tiny_text_to_video().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    return shutil.copytree(whole, tmp_path / "model")


def put_pickle(place: Path, mark: Path) -> None:
    for name in ("pytorch_model.bin", "model.pt", "model.safetensors.bin"):
        (place / name).write_bytes(pickle.dumps(Harm(mark)))
    state = load_file(place / "model.safetensors") if (place / "model.safetensors").is_file() else {}
    torch.save({**state, "harm": Harm(mark)}, place / "pytorch_model.bin")


def test_a_pickle_beside_or_instead_of_the_weights_is_not_opened(folder, tmp_path):
    mark = tmp_path / "harm"
    put_pickle(folder, mark)
    put_pickle(folder / "prior", mark)
    put_pickle(folder / "text_encoder", mark)
    PyraTokTextToVideoPipeline.from_pretrained(folder)
    for place, load in {
        folder: lambda: AutoModel.from_pretrained(folder),
        folder / "prior": lambda: PyraTokPrior.from_pretrained(folder, subfolder="prior"),
        folder / "text_encoder": lambda: PyraTokTextToVideoPipeline.from_pretrained(folder),
    }.items():
        (place / "model.safetensors").rename(tmp_path / "aside")
        with pytest.raises((OSError, ValueError), match="model.safetensors"):
            load()
        (tmp_path / "aside").rename(place / "model.safetensors")
    for kind in (AutoModel, PyraTokTextToVideoPipeline):
        with pytest.raises(ValueError, match="safetensors"):
            kind.from_pretrained(folder, use_safetensors=False)
    assert not mark.exists()


def test_safe_pickles_are_not_opened_either(folder):
    """Those that torch opens with weights_only=True."""
    for place in (folder, folder / "prior", folder / "text_encoder"):
        torch.save(load_file(place / "model.safetensors"), place / "pytorch_model.bin")
    (folder / "text_encoder" / "model.safetensors").unlink()
    with pytest.raises((OSError, ValueError), match="model.safetensors"):
        PyraTokTextToVideoPipeline.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    for load in (load_model, AutoModel.from_pretrained):
        with pytest.raises((OSError, ValueError), match="model.safetensors"):
            load(folder)


@pytest.mark.parametrize("name", ["../outside.safetensors", "/outside.safetensors", "a/../../outside.safetensors", 7])
def test_an_index_cannot_name_files_outside(folder, name):
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    name = str(folder.parent / "outside.safetensors") if str(name).startswith("/") else name
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(state, name)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    for load in (load_model, AutoModel.from_pretrained, PyraTokTextToVideoPipeline.from_pretrained):
        with pytest.raises((OSError, ValueError), match="index|lie beside"):
            load(folder)


def change(path: Path, **settings) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


EMPTY = {"nothing.of.it": torch.zeros(1)}
SIZES = {
    "backbone": (".", {"backbone_config": {**PyraTokConfig.tiny().backbone_config, "base_dim": 4096}}),
    "empty": (".", {"hidden_size": 60000, "num_attention_heads": 4}),
    "wide": (".", {"hidden_size": 60000, "num_attention_heads": 4}),
    "words": (".", {"text_hidden_size": 65536, "hidden_size": 65536}),
    "body": (
        "prior",
        {
            "body_config": {
                "model_type": "qwen2",
                "hidden_size": 16384,
                "intermediate_size": 65536,
                "num_hidden_layers": 64,
                "num_attention_heads": 2,
                "num_key_value_heads": 1,
            }
        },
    ),
}

LIMITED = """
import resource, sys
import pyratok
from pyratok.pipelines.model_loading import load_component, load_model
from transformers import AutoModel

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for folder in sys.argv[1:]:
    kind = pyratok.PyraTokPrior if folder.endswith("prior") else None
    for load in (AutoModel.from_pretrained, (lambda name: load_component(kind, name)) if kind else load_model):
        try:
            load(folder)
        except (pyratok.PyraTokError, RuntimeError) as refused:
            said = refused if isinstance(refused, pyratok.PyraTokError) else refused.__context__
            assert "numbers that its weights do not hold" in str(said), repr(refused)
        else:
            raise AssertionError(f"{folder} was loaded")
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB
"""


def test_a_configuration_cannot_ask_for_more_memory_than_its_weights_have(whole, tmp_path):
    places = []
    for kind, (place, settings) in SIZES.items():
        folder = shutil.copytree(whole, tmp_path / kind)
        change(folder / place / "config.json", **settings)
        if kind == "empty":
            save_file(EMPTY, folder / "model.safetensors", metadata={"format": "pt"})
        places.append(str(folder / place))
    limit = 12 * 2**30  # of address space, so that the machine does not suffer if the test fails
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *places],
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_neither_can_a_text_encoder(folder):
    """Of a class of transformers, which is looked at before it is loaded."""
    change(folder / "text_encoder" / "config.json", hidden_size=2**16, intermediate_size=2**18, num_hidden_layers=64)
    with pytest.raises(PyraTokError, match="text_encoder"):
        PyraTokTextToVideoPipeline.from_pretrained(folder)
