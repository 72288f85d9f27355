"""LoRA alone: saved in peft's files, put on the VAE that it belongs to, refused by others."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from tiny_repository import adapted

from pyratok import PyraTokConfig, PyraTokError, PyraTokModel
from pyratok.modeling_pyratok.lora import lora_layers

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def video() -> torch.Tensor:
    return torch.rand(1, 9, 3, 32, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def saved(tmp_path) -> Path:
    adapted(1).save_lora(tmp_path / "lora")
    return tmp_path / "lora"


def features(model: PyraTokModel, video: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return model.encode(video).level_features


@pytest.mark.parametrize("merged", [(False, False), (True, False), (False, True), (True, True)])
def test_the_output_is_the_same_bit_for_bit(merged, video, tmp_path):
    source, target = adapted(1), adapted(2)
    expected, before = features(source, video), features(target, video)
    assert not all(map(torch.equal, expected, before))
    if merged[0]:
        source.merge_lora()
    if merged[1]:
        target.merge_lora()
    source.save_lora(tmp_path)
    target.load_lora(tmp_path)
    assert any(layer.merged for _, layer in lora_layers(target)) == merged[1]
    target.unmerge_lora()
    assert all(map(torch.equal, expected, features(target, video)))
    assert target.weights_fingerprint() == source.weights_fingerprint()


def test_the_files_are_pefts(saved):
    assert sorted(path.name for path in saved.iterdir()) == ["adapter_config.json", WEIGHTS]
    config = LoraConfig.from_pretrained(saved)
    assert (config.r, config.lora_alpha) == (2, 4.0)
    layers = {name.removeprefix("backbone.") for name, _ in lora_layers(adapted(1))}
    assert set(config.target_modules) == layers
    names = {f"base_model.model.{name}.lora_{part}.weight" for name in layers for part in "AB"}
    assert set(load_file(saved / WEIGHTS)) == names


def test_a_model_without_lora_is_given_it(saved, video):
    plain = adapted(0, lora_rank=0)
    plain.load_state_dict({**plain.state_dict(), **_plain(adapted(1))})
    plain.load_lora(saved)
    assert plain.config.lora_rank == 2
    assert all(map(torch.equal, features(adapted(1), video), features(plain, video)))
    trained = {name for name, weight in plain.named_parameters() if weight.requires_grad and "backbone" in name}
    assert trained and all("lora_" in name for name in trained)


def _plain(model: PyraTokModel) -> dict[str, torch.Tensor]:
    state = model.state_dict().items()
    return {name.replace(".base_layer.", "."): tensor for name, tensor in state if ".lora_" not in name}


def test_a_smaller_file_if_asked_for(saved, tmp_path):
    model = adapted(1)
    model.save_lora(tmp_path / "half", dtype=torch.bfloat16)
    tensors = load_file(tmp_path / "half" / WEIGHTS)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    model.load_lora(tmp_path / "half")
    for name, exact in load_file(saved / WEIGHTS).items():
        assert torch.equal(tensors[name], exact.bfloat16())


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.complex64, torch.float64, torch.float8_e4m3fn, 3])
def test_types_that_weights_have_not_are_refused(dtype, tmp_path):
    with pytest.raises(PyraTokError, match=f"not in {dtype!r}"):
        adapted(1).save_lora(tmp_path / "lora", dtype=dtype)
    with pytest.raises(PyraTokError, match=r"not in torch\.float64: give one as dtype"):
        adapted(1).double().save_lora(tmp_path / "lora")
    assert not (tmp_path / "lora").exists()


@pytest.mark.parametrize(
    "options", [{"dtyp": torch.bfloat16}, {"repo_id": "me/mine"}, {"private": True, "token": "x"}]
)
def test_arguments_that_would_be_ignored_are_refused(options, tmp_path):
    with pytest.raises(TypeError, match=f"unexpected arguments: {', '.join(options)}; .* need push_to_hub=True"):
        adapted(1).save_lora(tmp_path / "lora", **options)
    assert not (tmp_path / "lora").exists()


def test_full_size_takes_less_than_30_megabytes(tmp_path):
    """Only LoRA is materialized; 150 million weights of the encoder stay without memory, and without a fingerprint."""
    with torch.device("meta"):
        model = PyraTokModel(PyraTokConfig())
    for _, layer in lora_layers(model):
        layer.lora_A.to_empty(device="cpu"), layer.lora_B.to_empty(device="cpu")
    model.encoder_fingerprint = lambda: "unknown"
    model.save_lora(tmp_path)
    assert model.config.lora_rank == 16
    assert 10e6 < sum(path.stat().st_size for path in tmp_path.iterdir()) < 30e6


def test_other_weights_and_other_shapes_are_refused(saved, video, tmp_path):
    other = adapted(2)
    with torch.no_grad():
        other.backbone.encoder.conv_in.base_layer.bias += 1
    before = other.weights_fingerprint()
    with pytest.raises(PyraTokError, match="belongs to an encoder with the fingerprint .*force=True"):
        other.load_lora(saved)
    assert other.weights_fingerprint() == before
    other.load_lora(saved, force=True)
    assert other.weights_fingerprint() != before

    with pytest.raises(PyraTokError, match="has rank 2 and alpha 4, the model 3 and 4; give the model lora_rank=2"):
        adapted(2, lora_rank=3).load_lora(saved)
    with pytest.raises(PyraTokError, match="has no LoRA"):
        adapted(2, lora_rank=0).save_lora(tmp_path / "none")
    wider = {**adapted(1).config.backbone_config, "base_dim": 16}
    with pytest.raises(PyraTokError, match="of another shape"):
        adapted(2, backbone_config=wider).load_lora(saved, force=True)


def change(folder: Path, **settings) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def drop_a_factor(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, folder / WEIGHTS)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / WEIGHTS).unlink(), "it has no adapter_model.safetensors"),
        (
            lambda folder: (folder / WEIGHTS).rename(folder / "adapter_model.bin"),
            "it has no adapter_model.safetensors",
        ),
        (lambda folder: (folder / "adapter_config.json").unlink(), "it has no adapter_config.json"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"x" * 100), "damaged"),
        (lambda folder: (folder / "adapter_config.json").write_text("[1]"), "cannot be read"),
        (lambda folder: (folder / "adapter_config.json").write_text("[" * 100000), "cannot be read"),
        (lambda folder: (folder / "adapter_config.json").write_text(" " * 2**21), "too large"),
        (lambda folder: change(folder, r="2"), "no LoRA that can be read"),
        (lambda folder: change(folder, r=10**25), "no LoRA that can be read"),
        (lambda folder: change(folder, lora_alpha=10**400), "no LoRA that can be read"),
        (lambda folder: change(folder, use_rslora=True), "sets use_rslora"),
        (lambda folder: change(folder, alpha_pattern={"a": 3}), "sets alpha_pattern"),
        (lambda folder: change(folder, lora_alpha=float("nan")), "no LoRA that can be read"),
        (lambda folder: change(folder, peft_type="IA3"), "no LoRA that can be read"),
        (drop_a_factor, "1 missing"),
    ],
)
def test_what_is_damaged_is_refused_in_one_sentence(saved, tmp_path, damage, said):
    folder = shutil.copytree(saved, tmp_path / "damaged")
    damage(folder)
    model = adapted(2)
    before = model.weights_fingerprint()
    with pytest.raises(PyraTokError, match=said) as refused:
        model.load_lora(folder, force=True)
    assert len(str(refused.value)) < 600 and "\n" not in str(refused.value)
    assert model.weights_fingerprint() == before
