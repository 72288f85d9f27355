"""Nothing is unpickled, and nothing is read from beyond the model's folder."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

import pyratok
from pyratok import PyraTokError
from pyratok.pipelines.model_loading import load_model


class Attack:
    """Leaves a file when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def folder(tiny_model, tmp_path) -> Path:
    tiny_model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("with_safetensors", [False, True])
def test_a_pickle_is_never_read(folder, tmp_path, tiny_model, with_safetensors):
    torch.save({"x": Attack(tmp_path / "harm")}, folder / "pytorch_model.bin")
    (folder / "pytorch_model.bin").with_suffix(".pkl").write_bytes(pickle.dumps(Attack(tmp_path / "harm")))
    if with_safetensors:
        assert load_model(folder).weights_fingerprint() == tiny_model.weights_fingerprint()
        with pytest.raises(ValueError, match="use_safetensors=False"):
            AutoModel.from_pretrained(folder, use_safetensors=False, weights_only=False)
    else:
        (folder / "model.safetensors").unlink()
        for load in (AutoModel.from_pretrained, pyratok.PyraTokModel.from_pretrained, load_model):
            with pytest.raises((OSError, PyraTokError), match="safetensors"):
                load(folder)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("name", ["../outside.safetensors", "/outside.safetensors", "a/../../outside.safetensors"])
def test_an_index_names_no_file_elsewhere(folder, tmp_path, tiny_model, name):
    tiny_model.save_pretrained(folder, max_shard_size="50KB")
    index = folder / "model.safetensors.index.json"
    assert AutoModel.from_pretrained(folder).num_parameters() == tiny_model.num_parameters()
    found = json.loads(index.read_text())
    shard = next(iter(found["weight_map"].values()))
    (folder / shard).rename(tmp_path / "outside.safetensors")
    found["weight_map"] = {key: name if value == shard else value for key, value in found["weight_map"].items()}
    index.write_text(json.dumps(found))
    with pytest.raises(ValueError, match="does not lie beside it"):
        AutoModel.from_pretrained(folder)
    with pytest.raises(PyraTokError, match="does not lie beside it"):
        load_model(folder)
    for damaged in ("[]", "{", '{"weight_map": 3}'):
        index.write_text(damaged)
        with pytest.raises(ValueError, match="is no index of shards"):
            AutoModel.from_pretrained(folder)


@pytest.mark.parametrize("name", ["..", ".", "", "..\\outside.safetensors", "pytorch_model.bin"])
def test_an_index_names_safetensors_alone(folder, tiny_model, name):
    tiny_model.save_pretrained(folder, max_shard_size="50KB")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    index = folder / "model.safetensors.index.json"
    found = json.loads(index.read_text())
    found["weight_map"][next(iter(found["weight_map"]))] = name
    index.write_text(json.dumps(found))
    for load in (AutoModel.from_pretrained, load_model):
        with pytest.raises(ValueError, match="does not lie beside it as a safetensors file"):
            load(folder)


def test_parts_beside_the_tokenizer_are_as_careful(tmp_path):
    torch.manual_seed(0)
    alignment = pyratok.PyraTokTextAlignment(pyratok.PyraTokTextAlignmentConfig.tiny())
    alignment.save_pretrained(tmp_path / "alignment")
    (tmp_path / "alignment" / "model.safetensors").unlink()
    torch.save(alignment.state_dict(), tmp_path / "alignment" / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        pyratok.PyraTokTextAlignment.from_pretrained(tmp_path, subfolder="alignment")
