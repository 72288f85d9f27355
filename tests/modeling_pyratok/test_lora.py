"""LoRA on the frozen encoder: starts as nothing, merges exactly, saves unmerged, and is callable as diffusers calls it."""

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d
from torch import nn

from pyratok import PyraTokConfig, PyraTokModel
from pyratok.modeling_pyratok.lora import lora_layers


def train_lora_somewhere(model: PyraTokModel) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)


def test_every_convolution_that_tokens_pass_through_is_adapted(tiny_model):
    adapted = {id(layer.base_layer) for _, layer in lora_layers(tiny_model)}
    encoder = tiny_model.backbone.encoder
    convolutions = [
        layer
        for part in (encoder.conv_in, encoder.down_blocks, encoder.mid_block)
        for name, layer in part.named_modules()
        if isinstance(layer, WanCausalConv3d | nn.Conv2d) and "lora_" not in name
    ]
    assert convolutions and adapted == {id(layer) for layer in convolutions}


def test_lora_starts_as_nothing(tiny_model):
    video = torch.rand(1, 9, 3, 32, 32) * 2 - 1
    adapted = tiny_model.encode(video)
    for _, layer in lora_layers(tiny_model):
        layer.enable_adapters(False)
    plain = tiny_model.encode(video)
    for one, other in zip(adapted.level_features, plain.level_features, strict=True):
        assert torch.equal(one, other)


def test_only_lora_and_our_own_parts_are_trained(tiny_model):
    trained = {name for name, parameter in tiny_model.named_parameters() if parameter.requires_grad}
    in_backbone = {name for name in trained if name.startswith("backbone.")}
    assert in_backbone and all("lora_" in name for name in in_backbone)
    assert all(name in trained for name, _ in tiny_model.named_parameters() if not name.startswith("backbone."))


def test_merged_equals_unmerged_and_unmerging_restores_every_bit(tiny_model):
    train_lora_somewhere(tiny_model)
    video = torch.rand(1, 9, 3, 32, 32) * 2 - 1
    before = {name: tensor.clone() for name, tensor in tiny_model.state_dict().items()}
    unmerged = tiny_model.encode(video)
    tiny_model.merge_lora()
    tiny_model.merge_lora()  # merging twice is merging once
    assert any(not torch.equal(tensor, before[name]) for name, tensor in tiny_model.state_dict().items())
    merged = tiny_model.encode(video)
    for one, other in zip(merged.level_features, unmerged.level_features, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    tiny_model.unmerge_lora()
    for name, tensor in tiny_model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_merged_model_can_change_its_type_and_go_on_training(tiny_model):
    train_lora_somewhere(tiny_model)
    tiny_model.merge_lora()
    tiny_model.to(torch.bfloat16).unmerge_lora()
    assert {parameter.dtype for parameter in tiny_model.parameters()} == {torch.bfloat16}
    tiny_model.float().merge_lora()
    tiny_model.train()  # unmerges: merged factors would get no gradient
    tiny_model(torch.rand(1, 5, 3, 32, 32) * 2 - 1).loss.backward()
    assert all(layer.lora_A["default"].weight.grad is not None for _, layer in lora_layers(tiny_model))


def test_loading_weights_into_a_merged_model_unmerges_it(tiny_model):
    train_lora_somewhere(tiny_model)
    weights = {name: tensor.clone() for name, tensor in tiny_model.state_dict().items()}
    fingerprint = tiny_model.weights_fingerprint()
    tiny_model.merge_lora()
    tiny_model.load_state_dict(weights)
    assert not any(layer.merged for _, layer in lora_layers(tiny_model))
    assert tiny_model.weights_fingerprint() == fingerprint


def test_a_merged_model_is_saved_unmerged(tiny_model, tmp_path):
    train_lora_somewhere(tiny_model)
    fingerprint = tiny_model.weights_fingerprint()
    tiny_model.merge_lora()
    assert tiny_model.weights_fingerprint() == fingerprint
    tiny_model.save_pretrained(tmp_path)
    loaded = PyraTokModel.from_pretrained(tmp_path)
    assert loaded.weights_fingerprint() == fingerprint


def test_freezing_survives_a_reload(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path)
    loaded = PyraTokModel.from_pretrained(tmp_path)
    expected = {name for name, parameter in tiny_model.named_parameters() if parameter.requires_grad}
    assert {name for name, parameter in loaded.named_parameters() if parameter.requires_grad} == expected


def test_diffusers_own_encode_sees_the_adapted_weights(tiny_model):
    """The adapted VAE still works as a diffusers VAE, and gives the features that our executor gives."""
    from pyratok.modeling_pyratok.backbone import encode_features, encode_posterior

    train_lora_somewhere(tiny_model)
    vae = tiny_model.backbone
    video = torch.rand(1, 9, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        expected = vae.encode(video.transpose(1, 2)).latent_dist.parameters
        features, _ = encode_features(vae, video, None, 3)
        posterior, _ = encode_posterior(vae, features[-1], None)
    torch.testing.assert_close(posterior, expected, atol=1e-5, rtol=1e-5)


def test_lora_and_a_trained_backbone_exclude_each_other():
    with pytest.raises(Exception, match="lora_rank=0"):
        PyraTokConfig.tiny(freeze_backbone=False)
