"""The fingerprint of a model's weights: what changes it, and what does not."""

import copy
import json
from unittest import mock

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from pyratok import PyraTokConfig, PyraTokModel, PyraTokReconstructionPipeline, TokenFileError
from pyratok.modeling_pyratok.lora import lora_layers
from pyratok.modeling_pyratok.weights_fingerprint import fingerprint

VIDEO = torch.rand(1, 5, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1

HALF = pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)


@pytest.fixture
def folder(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_it_names_the_weights(tiny_model):
    before = tiny_model.weights_fingerprint()
    assert before == tiny_model.weights_fingerprint() and len(before) == 64
    with torch.no_grad():
        tiny_model.codebook.projection.bias[0] += 1e-6
    assert tiny_model.weights_fingerprint() != before


def test_weights_are_hashed_again_only_if_they_changed(tiny_model):
    with mock.patch("pyratok.modeling_pyratok.weights_name.fingerprint", wraps=fingerprint) as hashing:
        first = tiny_model.weights_fingerprint()
        tiny_model.encode(VIDEO)
        assert tiny_model.weights_fingerprint() == first and hashing.call_count == 1
        weights = {name: tensor.clone() for name, tensor in tiny_model.state_dict().items()}
        weights["codebook.projection.bias"] += 1
        tiny_model.load_state_dict(weights)
        second = tiny_model.weights_fingerprint()
        assert second != first and hashing.call_count == 2
        tiny_model.to("cpu").requires_grad_(False)
        assert tiny_model.weights_fingerprint() == second and hashing.call_count == 2
    with torch.inference_mode():  # in which tensors do not count their changes
        model = PyraTokModel(tiny_model.config).eval()
        before = model.weights_fingerprint()
        model.codebook.projection.bias += 1
        assert model.weights_fingerprint() != before


@HALF
@pytest.mark.parametrize("kind", [PyraTokModel, AutoModel])
@pytest.mark.parametrize("option", ["dtype", "torch_dtype", "name", "dict", "config"])
def test_weights_that_are_rounded_as_they_are_loaded_keep_their_name(folder, tiny_model, half, kind, option):
    name = str(half).removeprefix("torch.")
    options = {"name": {"dtype": name}, "dict": {"dtype": {"": half}}, "config": {}}.get(option, {option: half})
    if option == "config":
        told = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**told, "dtype": name}))
    loaded, told = kind.from_pretrained(folder, **options, output_loading_info=True)
    assert loaded.dtype == loaded.config.dtype == half and not told["missing_keys"] and not loaded.training
    assert all(parameter.dtype == half for parameter in loaded.parameters())
    assert loaded.weights_fingerprint() == tiny_model.weights_fingerprint()
    rounded = tiny_model.to(half)
    assert all(torch.equal(loaded.state_dict()[key], tensor) for key, tensor in rounded.state_dict().items())


def stretched(model):
    with torch.no_grad():
        model.codebook.projection.bias[0] += 1


def written_past_autograd(model):
    model.codebook.projection.bias.data.mul_(2)


def emptied(model):
    model.to_empty(device="cpu")


def doubled(model):
    model._apply(lambda tensor: tensor * 2)


@pytest.mark.parametrize("change", [stretched, written_past_autograd, emptied, doubled])
def test_rounded_weights_that_are_changed_have_another_name(folder, tiny_model, change):
    stored = tiny_model.weights_fingerprint()
    for half in (PyraTokModel.from_pretrained(folder, dtype=torch.bfloat16), tiny_model.to(torch.bfloat16)):
        change(half)
        assert half.weights_fingerprint() != stored and not half.has_fingerprint(stored)


def test_copies_of_rounded_weights_keep_the_name(folder, tiny_model):
    stored = tiny_model.weights_fingerprint()
    loaded = PyraTokModel.from_pretrained(folder, dtype=torch.bfloat16)
    for half in (loaded, tiny_model.to(torch.bfloat16)):
        copies = [copy.deepcopy(half), copy.deepcopy(half).float(), copy.deepcopy(half).to(torch.float32).half()]
        assert {model.weights_fingerprint() for model in copies} == {stored}
    with torch.inference_mode():
        assert PyraTokModel.from_pretrained(folder, dtype=torch.bfloat16).weights_fingerprint() == stored
        assert PyraTokModel.from_pretrained(folder).half().weights_fingerprint() == stored


@HALF
def test_rounded_weights_that_are_saved_go_by_both_names(tiny_model, tmp_path, half):
    stored = tiny_model.weights_fingerprint()
    tiny_model.to(half).save_pretrained(tmp_path / "one")
    for dtype in (half, torch.float32):
        saved = PyraTokModel.from_pretrained(tmp_path / "one", dtype=dtype)
        assert saved.weights_fingerprint() == stored
    saved.save_pretrained(tmp_path / "two")
    config = tmp_path / "two" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "rounded_weights": None}))
    alone = PyraTokModel.from_pretrained(tmp_path / "two").weights_fingerprint()
    assert alone != stored
    for model in (tiny_model, saved):
        assert model.has_fingerprint(stored) and model.has_fingerprint(alone)
        assert not model.has_fingerprint(None) and not model.has_fingerprint(64 * "0")
    stretched(saved)
    saved.save_pretrained(tmp_path / "three")
    assert json.loads((tmp_path / "three" / "config.json").read_text())["rounded_weights"] is None


@pytest.mark.parametrize("wrong", [{"a": 64 * "0"}, {64 * "0": "../x"}, {64 * "A": 64 * "0"}])
def test_a_configuration_with_other_names_than_fingerprints_is_refused(wrong):
    with pytest.raises(StrictDataclassError, match="rounded_weights"):
        PyraTokConfig.tiny(rounded_weights=wrong)


def test_weights_that_cannot_be_hashed_can_be_rounded(tiny_config):
    with torch.device("meta"):
        model = PyraTokModel(tiny_config)
    assert model.to(torch.bfloat16).dtype == torch.bfloat16


def test_weights_that_were_not_there_have_no_name_from_before(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["codebook.projection.bias"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    half = PyraTokModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.weights_fingerprint() == fingerprint(half.state_dict())


def test_a_device_map_that_leaves_weights_on_the_disk_loads_them_rounded(folder, tmp_path):
    places = {"backbone": "cpu", "codebook": "cpu", "pyramid": "cpu", "fusion": "disk"}
    options = {"dtype": torch.bfloat16, "device_map": places, "offload_folder": tmp_path / "offload"}
    loaded = PyraTokModel.from_pretrained(folder, **options)
    assert loaded.dtype == torch.bfloat16 and any(tensor.is_meta for tensor in loaded.parameters())
    whole = PyraTokModel.from_pretrained(folder, dtype=torch.bfloat16)
    codes = whole.encode(VIDEO).video_codes
    assert all(map(torch.equal, loaded.encode(VIDEO).video_codes, codes))
    videos = [model.decode(codes, video_size=(5, 32, 32)).video_values for model in (loaded, whole)]
    assert torch.equal(*videos)
    placed = PyraTokModel.from_pretrained(folder, dtype=torch.bfloat16, device_map="cpu")
    assert placed.weights_fingerprint() == whole.weights_fingerprint()


def test_merging_keeps_the_name_of_rounded_weights(tiny_config):
    torch.manual_seed(0)
    tiny_config.lora_rank = 2
    model = PyraTokModel(tiny_config).eval()
    with torch.no_grad():
        for _, layer in lora_layers(model):
            torch.nn.init.normal_(layer.lora_B["default"].weight)
    name = model.weights_fingerprint()
    model.merge_lora()
    assert model.to(torch.bfloat16).weights_fingerprint() == name
    model.unmerge_lora()
    model.merge_lora()
    assert model.weights_fingerprint() == name


@HALF
def test_token_files_fit_the_model_in_every_precision(folder, tiny_model, tmp_path, half):
    PyraTokReconstructionPipeline(tiny_model).save_pretrained(folder)
    exact = PyraTokReconstructionPipeline.from_pretrained(folder)
    loaded = PyraTokReconstructionPipeline.from_pretrained(folder, torch_dtype=half)
    moved = PyraTokReconstructionPipeline.from_pretrained(folder).to(half)
    tokens = [pipeline(VIDEO[0] / 2 + 0.5).tokens for pipeline in (exact, loaded, moved)]
    assert len({each.weights_fingerprint for each in tokens}) == 1
    for each in tokens:
        for pipeline in (exact, loaded, moved):
            each.check_fits(pipeline.vq_model)
    stretched(loaded.vq_model)
    with pytest.raises(TokenFileError, match="other weights"):
        tokens[0].check_fits(loaded.vq_model)
