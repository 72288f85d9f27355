"""Drift is zero at LoRA's start, is the divergence that it says, and leaves alone what it should not touch."""

import copy
import json
from pathlib import Path

import pytest
import torch
import transformers
from diffusers import AutoencoderKLWan
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, kl_divergence

from pyratok import PyraTokConfig, PyraTokError, PyraTokModel, read_video
from pyratok.configuration.configuration_pyratok import TINY_VAE
from pyratok.modeling_pyratok.lora import lora_layers
from pyratok.modeling_pyratok.pixel_values import frames_to_values
from pyratok.training.drift_losses import EncoderDrift, ImageEncoderDrift, latent_regression_loss
from pyratok.training.image_encoders import load_image_encoder
from pyratok.training.lora_switching import lora_switched_off

NORMALIZATION = {"do_normalize": True, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


@pytest.fixture(scope="module")
def video(clips) -> torch.Tensor:
    """(2, 7, 3, 40, 72) in [-1, 1]: neither the frames nor the sides fit the model's strides."""
    parts = [frames_to_values(read_video(clips[name], max_frames=7)[0])[:, :, :40, :72] for name in ("city", "dog")]
    return torch.stack(parts)


def fresh_model(**overrides) -> PyraTokModel:
    torch.manual_seed(0)
    return PyraTokModel(PyraTokConfig.tiny(**overrides)).train()


def moved_model(**overrides) -> PyraTokModel:
    """A model whose LoRA has left its start."""
    model = fresh_model(**overrides)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _, layer in lora_layers(model):
            layer.lora_B["default"].weight.normal_(std=0.1, generator=generator)
    return model


def stage_features(model: PyraTokModel, video: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return model(video, output_stage_features=True).stage_features


def lora_gradients(model: PyraTokModel) -> list[torch.Tensor]:
    return [
        factor["default"].weight.grad for _, layer in lora_layers(model) for factor in (layer.lora_A, layer.lora_B)
    ]


# --- the model's own encoder -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("frames", [1, 7])
def test_there_is_no_drift_at_the_start(video, samples, frames, autocast):
    model, clip = fresh_model(), video[:samples, :frames]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = EncoderDrift(model)(stage_features(model, clip), clip)
    assert loss.item() == 0 and loss.dtype == torch.float32
    loss.backward()
    gradients = [
        gradient for gradient in lora_gradients(model) if gradient is not None
    ]  # one frame: not those in time
    assert gradients and all(torch.isfinite(gradient).all() for gradient in gradients)


def test_drift_is_the_divergence_from_the_model_without_lora(video):
    model = moved_model()
    plain = copy.deepcopy(model)
    with torch.no_grad():
        for _, layer in lora_layers(plain):
            layer.lora_B["default"].weight.zero_()
    ours, theirs = stage_features(model, video), stage_features(plain, video)
    expected = [
        kl_divergence(Categorical(logits=theirs[k].movedim(1, -1)), Categorical(logits=ours[k].movedim(1, -1))).mean()
        for k in range(3)  # levels tap the stages 1, 1, 2 and 3
    ]
    loss = EncoderDrift(model)(ours, video)
    assert loss > 1e-4
    torch.testing.assert_close(loss, torch.stack(expected).mean())


def test_only_tapped_stages_count(video):
    model = moved_model(level_stages=(2, 2, 3, 3), level_strides=((4, 16), (4, 16), (4, 16), (4, 32)))
    first, *others = stage_features(model, video)
    drift = EncoderDrift(model)
    assert torch.equal(drift((first, *others), video), drift((torch.randn_like(first), *others), video))
    assert drift((first, torch.randn_like(others[0]), others[1]), video) > drift((first, *others), video)


def test_training_on_drift_leads_back(video):
    model = moved_model()
    drift = EncoderDrift(model)
    optimizer = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], lr=0.001)
    course = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = drift(stage_features(model, video), video)
        loss.backward()
        optimizer.step()
        course.append(loss.item())
    assert course[-1] < 0.5 * course[0]


def test_activation_checkpointing_recomputes_with_lora_on(video):
    gradients = []
    for checkpointing in (False, True):
        model = moved_model()
        if checkpointing:
            model.activation_checkpointing_enable()
        EncoderDrift(model)(stage_features(model, video), video).backward()
        gradients.append(lora_gradients(model))
    assert max(gradient.abs().max() for gradient in gradients[0]) > 0
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_the_model_is_left_as_it_was(video):
    model = moved_model()
    trained = {name: weight.requires_grad for name, weight in model.named_parameters()}
    before = stage_features(model, video)
    drift = EncoderDrift(model)
    drift(before, video)
    assert list(drift.parameters()) == [] and drift.state_dict() == {} and list(drift.children()) == []
    assert {name: weight.requires_grad for name, weight in model.named_parameters()} == trained
    with pytest.raises(RuntimeError, match="inside"), lora_switched_off(model):
        raise RuntimeError("inside")
    for one, other in zip(before, stage_features(model, video), strict=True):
        assert torch.equal(one, other)


def test_drift_needs_a_frozen_encoder_under_lora(video):
    with pytest.raises(PyraTokError, match="lora_rank=0"):
        EncoderDrift(fresh_model(lora_rank=0))
    model = moved_model().eval()
    features = stage_features(model, video)
    model.merge_lora()
    with pytest.raises(PyraTokError, match="unmerge_lora"):
        EncoderDrift(model)(features, video)


# --- image encoders --------------------------------------------------------------------------------------------------


def saved_encoder(folder: Path, kind: str) -> str:
    """A tiny random vision model with its preprocessor_config.json."""
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    configs = {
        "vit": lambda: transformers.ViTConfig(**small, image_size=48, patch_size=16),
        "dinov2": lambda: transformers.Dinov2Config(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=56, patch_size=14
        ),
        "dinov3": lambda: transformers.DINOv3ViTConfig(**small, patch_size=16, num_register_tokens=4),
        "resnet": lambda: transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
        ),
    }
    torch.manual_seed(0)
    transformers.AutoModel.from_config(configs[kind]()).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(NORMALIZATION))
    return str(folder)


@pytest.fixture(scope="module", params=["efficientnet-lite0", "vit", "dinov2", "dinov3", "resnet"])
def reference(request, tmp_path_factory) -> str:
    if request.param == "efficientnet-lite0":
        return request.param
    return saved_encoder(tmp_path_factory.mktemp(request.param), request.param)


@pytest.mark.parametrize(("kind", "tokens_before"), [("vit", 1), ("dinov2", 1), ("dinov3", 5)])
def test_patch_tokens_are_put_back_on_their_grid(tmp_path, kind, tokens_before):
    """The class token, and DINOv3's registers, belong to no place."""
    encoder, width = load_image_encoder(saved_encoder(tmp_path, kind))
    model = transformers.AutoModel.from_pretrained(tmp_path).eval()
    patch = model.config.patch_size
    images = torch.rand(2, 3, 3 * patch, 4 * patch, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mean, std = (torch.tensor(NORMALIZATION[name]).view(3, 1, 1) for name in ("image_mean", "image_std"))
    options = {"interpolate_pos_encoding": True} if kind == "vit" else {}
    with torch.no_grad():
        features = encoder(images)
        hidden = model(pixel_values=((images + 1) / 2 - mean) / std, **options).last_hidden_state
    assert features.shape == (2, width, 3, 4) and hidden.shape[1] == tokens_before + 12
    for row in range(3):
        for column in range(4):
            token = hidden[:, tokens_before + 4 * row + column]
            torch.testing.assert_close(features[:, :, row, column], token)


def test_the_projection_learns_and_features_get_gradients(reference, video, tiny_config):
    drift = ImageEncoderDrift(reference, tiny_config, generator=torch.Generator().manual_seed(0))
    features = [feature.detach().requires_grad_() for feature in stage_features(fresh_model(), video)]
    optimizer = torch.optim.Adam(drift.parameters(), lr=0.03)
    course = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = drift(tuple(features), video)
        loss.backward()
        optimizer.step()
        course.append(loss.item())
    assert loss.shape == () and loss.dtype == torch.float32
    assert 0 < course[-1] < 0.9 * course[0]
    assert features[0].grad is None and features[1].grad is None  # the deepest stage alone is compared
    assert torch.isfinite(features[2].grad).all() and features[2].grad.abs().max() > 0
    assert all(weight.grad is None for weight in drift.network.parameters())


def test_the_projection_alone_is_trained_and_saved(reference, tiny_config):
    drift = ImageEncoderDrift(reference, tiny_config, generator=torch.Generator().manual_seed(0))
    names = ["projection.bias", "projection.weight"]
    assert sorted(drift.state_dict()) == sorted(name for name, _ in drift.named_parameters()) == names
    again = ImageEncoderDrift(reference, tiny_config, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.projection.weight, drift.projection.weight)
    other = ImageEncoderDrift(reference, tiny_config, generator=torch.Generator().manual_seed(1))
    assert not torch.equal(other.projection.weight, drift.projection.weight)
    other.load_state_dict(drift.state_dict())
    assert torch.equal(other.projection.weight, drift.projection.weight)
    drift.train()
    assert not any(module.training for module in drift.network.modules())


@settings(max_examples=10, deadline=None)
@given(frames=st.integers(1, 9), height=st.integers(17, 70), width=st.integers(17, 70))
def test_any_clip_size_will_do(reference, frames, height, width):
    model = fresh_model().eval()
    clip = torch.rand(1, frames, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        loss = ImageEncoderDrift(reference, model.config)(stage_features(model, clip), clip)
    assert torch.isfinite(loss) and loss > 0


def test_features_are_compared_with_the_last_frame_that_they_have_seen(tiny_config, video):
    drift = ImageEncoderDrift("efficientnet-lite0", tiny_config, frames=3)
    clip = torch.cat([video, video], dim=1)[:, :9]  # latent frames end with the frames 0, 4 and 8
    features = stage_features(fresh_model(), clip)
    before = drift(features, clip)
    seen = []
    for frame in range(9):
        changed = clip.clone()
        changed[:, frame] *= -1
        if not torch.equal(drift(features, changed), before):
            seen.append(frame)
    assert seen == [0, 4, 8]


def test_autocast_keeps_the_divergence_in_float32(tiny_config, video):
    drift = ImageEncoderDrift("efficientnet-lite0", tiny_config, generator=torch.Generator().manual_seed(0))
    features = stage_features(fresh_model(), video)
    with torch.autocast("cpu", torch.bfloat16):
        inside = drift(features, video)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, drift(features, video), rtol=0.05, atol=0)


def test_image_encoders_that_cannot_be_had_are_refused(tmp_path, tiny_config):
    with pytest.raises(PyraTokError, match="cannot load the image encoder.*give efficientnet-lite0"):
        ImageEncoderDrift(str(tmp_path / "nowhere"), tiny_config)
    folder = saved_encoder(tmp_path / "vit", "vit")
    (tmp_path / "vit" / "preprocessor_config.json").unlink()
    with pytest.raises(PyraTokError, match="preprocessor_config.json"):
        ImageEncoderDrift(folder, tiny_config)
    text = transformers.BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=10
    )
    transformers.AutoModel.from_config(text).save_pretrained(tmp_path / "text")
    (tmp_path / "text" / "preprocessor_config.json").write_text("{}")
    with pytest.raises(PyraTokError, match="no image encoder: a BertModel takes input_ids"):
        ImageEncoderDrift(str(tmp_path / "text"), tiny_config)


# --- latents ---------------------------------------------------------------------------------------------------------


def test_latents_are_led_to_the_posterior_of_the_vae(video):
    torch.manual_seed(0)
    vae = AutoencoderKLWan(**TINY_VAE).eval()
    config = PyraTokConfig.tiny().to_diff_dict()
    kept = ("level_stages", "level_strides", "hidden_size", "num_attention_heads", "text_hidden_size", "lora_rank")
    model = PyraTokModel.from_backbone(vae, **{name: config[name] for name in kept})
    with torch.no_grad():
        for _, layer in lora_layers(model):
            layer.lora_B["default"].weight.fill_(0.1)
    clip = video[:, :5, :, :32, :64]
    latents = model.train()(clip).latents
    with torch.no_grad():
        mean = vae.encode(clip.transpose(1, 2)).latent_dist.mean
    loss = latent_regression_loss(model, latents, clip)
    torch.testing.assert_close(loss, (latents - mean).square().mean())
    assert latent_regression_loss(model, mean, clip) < 1e-8 < loss


def test_the_gradient_reaches_latents_and_not_the_target(video):
    model = moved_model()
    latents = model(video).latents.detach().requires_grad_()
    latent_regression_loss(model, latents, video).backward()
    assert latents.grad.abs().max() > 0
    assert all(weight.grad is None for weight in model.parameters())
    assert latent_regression_loss(model, latents.bfloat16(), video).dtype == torch.float32
    with pytest.raises(PyraTokError, match="freeze_backbone has to be True"):
        latent_regression_loss(fresh_model(lora_rank=0, freeze_backbone=False), latents, video)
