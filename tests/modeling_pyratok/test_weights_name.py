"""The fingerprint of a model's weights: what changes it, and what does not."""

from unittest import mock

import pytest
import torch
from transformers import AutoModel

from pyratok import PyraTokModel, PyraTokReconstructionPipeline, TokenFileError
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
        tiny_model.to("cpu", torch.bfloat16).float()
        assert tiny_model.weights_fingerprint() == second and hashing.call_count == 2
    with torch.inference_mode():  # in which tensors do not count their changes
        model = PyraTokModel(tiny_model.config).eval()
        before = model.weights_fingerprint()
        model.codebook.projection.bias += 1
        assert model.weights_fingerprint() != before


@HALF
@pytest.mark.parametrize("kind", [PyraTokModel, AutoModel])
@pytest.mark.parametrize("option", ["dtype", "torch_dtype", "name"])
def test_weights_that_are_rounded_as_they_are_loaded_keep_their_name(folder, tiny_model, half, kind, option):
    options = {"dtype": str(half).removeprefix("torch.")} if option == "name" else {option: half}
    loaded, told = kind.from_pretrained(folder, **options, output_loading_info=True)
    assert loaded.dtype == loaded.config.dtype == half and not told["missing_keys"] and not loaded.training
    assert all(parameter.dtype == half for parameter in loaded.parameters())
    assert loaded.weights_fingerprint() == tiny_model.weights_fingerprint()
    rounded = tiny_model.to(half)
    assert all(torch.equal(loaded.state_dict()[key], tensor) for key, tensor in rounded.state_dict().items())
    with torch.no_grad():
        loaded.codebook.projection.bias[0] += 1
    assert loaded.weights_fingerprint() != tiny_model.weights_fingerprint()


@HALF
def test_rounded_weights_that_are_saved_are_others(tiny_model, tmp_path, half):
    stored = tiny_model.weights_fingerprint()
    assert tiny_model.to(half).weights_fingerprint() == stored
    tiny_model.save_pretrained(tmp_path)
    rounded = tiny_model.weights_fingerprint()
    assert rounded != stored
    for dtype in (half, torch.float32):  # and have one name, however they are loaded
        assert PyraTokModel.from_pretrained(tmp_path, dtype=dtype).weights_fingerprint() == rounded


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
    with torch.no_grad():
        loaded.vq_model.codebook.projection.bias[0] += 1
    with pytest.raises(TokenFileError, match="other weights"):
        tokens[0].check_fits(loaded.vq_model)
