"""`PyraTokModel` as a whole: forward, gradients, half precision, saving, backbones."""

import statistics
from unittest import mock

import pytest
import torch
from diffusers import AutoencoderKLWan
from torch.utils.checkpoint import checkpoint

from pyratok import PyraTokConfig, PyraTokModel
from pyratok.modeling_pyratok.backbone_loading import backbone_settings
from pyratok.modeling_pyratok.lora import plain_state_dict
from pyratok.modeling_pyratok.reconstruction_metrics import psnr_of
from pyratok.modeling_pyratok.token_grids import level_grids
from pyratok.modeling_pyratok.tokenizer_losses import tokenizer_losses

VIDEO = torch.rand(2, 9, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
TRAINED_BACKBONE = {"lora_rank": 0, "freeze_backbone": False}


def test_forward_agrees_with_encode_and_decode(tiny_model):
    with torch.no_grad():
        output = tiny_model(VIDEO)
    encoded = tiny_model.encode(VIDEO, chunk_frames=None)
    for one, other in zip(output.video_codes, encoded.video_codes, strict=True):
        assert torch.equal(one, other)
    decoded = tiny_model.decode(encoded.video_codes, encoded.video_size, chunk_frames=None).video_values
    torch.testing.assert_close(output.video_values, decoded, atol=1e-5, rtol=0)
    assert output.loss is None and output.losses is None and output.hidden_states is None


def test_loss_is_the_weighted_sum_of_its_terms(tiny_config):
    tiny_config.hierarchical_loss_weight = tiny_config.l2_loss_weight = 0.5
    tiny_config.log_l2_loss_weight = 0.01
    model = PyraTokModel(tiny_config).eval()
    output = model(VIDEO, target_values=VIDEO.flip(1))
    terms = {name: float(value) for name, value in output.losses.items()}
    config = tiny_config
    reconstruction = sum(
        getattr(config, f"{name}_loss_weight") * terms[name] for name in ("l1", "l2", "log_l2", "ssim")
    )
    codebook = (
        config.commitment_loss_weight * terms["commitment"]
        + config.entropy_loss_weight * terms["entropy"]
        + config.hierarchical_loss_weight * terms["hierarchical"]
    )
    assert float(output.loss) == pytest.approx(2.5 * reconstruction + 2.5 * codebook, rel=1e-5)
    # The loss sees the values before they are clamped to [-1, 1].
    assert terms["l1"] == pytest.approx(float((output.video_values - VIDEO.flip(1)).abs().mean()), rel=1e-2)
    errors = ((output.video_values - VIDEO.flip(1)) / 2).square().mean(dim=(1, 2, 3, 4))
    assert terms["log_l2"] == pytest.approx(-statistics.fmean(psnr_of(float(error)) for error in errors), abs=0.05)


@pytest.mark.parametrize("overrides", [{}, TRAINED_BACKBONE], ids=["lora", "trained backbone"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_reach_everything_that_is_trained(overrides, dtype):
    torch.manual_seed(0)
    model = PyraTokModel(PyraTokConfig.tiny(level_dropout=0.5, **overrides)).train()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        output = model(VIDEO)
    assert output.loss.isfinite()
    output.loss.backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        else:
            assert parameter.grad is None, name
    touched = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert any("lora_B" in name for name in touched) or not model.config.lora_rank
    assert any("encoder.conv_in.weight" in name for name in touched) == (not model.config.freeze_backbone)
    assert any("decoder.conv_out.weight" in name for name in touched) == (not model.config.freeze_backbone)
    for level in range(4):
        assert any(f"pyramid.blocks.{level}.lateral" in name for name in touched)
        assert any(f"pyramid.blocks.{level}.to_logits" in name for name in touched)
        assert level == 0 or any(f"pyramid.blocks.{level}.feedback" in name for name in touched)
        assert any(f"fusion.to_latent_grid.{level}" in name for name in touched)
    assert {"codebook.projection.weight", "fusion.laterals.0.projection.projection.weight"} <= touched


def test_each_sample_is_decoded_from_the_levels_that_are_asked_for(tiny_model):
    subset = torch.tensor([[True, False, True, True], [False, False, False, True]])
    output = tiny_model(VIDEO, present_levels=subset)
    for sample, levels in enumerate(((1, 3, 4), (4,))):
        expected = tiny_model.decode(
            [codes[sample : sample + 1] for codes in output.video_codes], (9, 32, 32), None, levels
        )
        torch.testing.assert_close(output.video_values[sample], expected.video_values[0], atol=1e-5, rtol=0)
    for wrong in (subset[:1], subset.float(), subset & False):
        with pytest.raises(ValueError, match="present_levels"):
            tiny_model(VIDEO, present_levels=wrong)


def test_the_features_of_the_stages_come_on_request(tiny_model):
    assert tiny_model(VIDEO).stage_features is None
    features = tiny_model(VIDEO, output_stage_features=True).stage_features
    assert [stage.shape[1] for stage in features] == list(tiny_model.config.stage_channels)


@pytest.mark.parametrize(("dtype", "share"), [(torch.bfloat16, 0.06), (torch.float16, 0.01)])
def test_half_precision_is_finite_and_flips_few_bits(tiny_model, dtype, share):
    reference = tiny_model.encode(VIDEO)
    half = PyraTokModel(tiny_model.config).to(dtype).eval()
    half.load_state_dict(tiny_model.state_dict())
    encoded = half.encode(VIDEO)
    decoded = half.decode(encoded.video_codes, encoded.video_size).video_values
    assert decoded.dtype == dtype and decoded.isfinite().all()
    flips = [
        ((one ^ other).unsqueeze(-1) >> torch.arange(16) & 1).float().mean()
        for one, other in zip(reference.video_codes, encoded.video_codes, strict=True)
    ]
    assert max(flips) < share


def test_save_and_load_give_the_same_model(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    loaded = PyraTokModel.from_pretrained(tmp_path)
    assert loaded.config.to_diff_dict() == tiny_model.config.to_diff_dict()
    assert loaded.weights_fingerprint() == tiny_model.weights_fingerprint()
    encoded = tiny_model.encode(VIDEO)
    for one, other in zip(loaded.encode(VIDEO).video_codes, encoded.video_codes, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("source", ["object", "folder"])
def test_from_backbone_keeps_the_vae_bit_for_bit(tiny_config, tmp_path, source):
    torch.manual_seed(1)
    vae = AutoencoderKLWan(**tiny_config.backbone_config)
    vae.save_pretrained(tmp_path)
    model = PyraTokModel.from_backbone(
        vae if source == "object" else str(tmp_path),
        **{name: getattr(tiny_config, name) for name in ("level_stages", "level_strides", "hidden_size", "lora_rank")},
        num_attention_heads=2,
        text_hidden_size=12,
    )
    kept = plain_state_dict(model.backbone)
    assert kept.keys() == vae.state_dict().keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in vae.state_dict().items())
    assert model.config.backbone_config == backbone_settings(vae) | {
        key: list(value) for key, value in backbone_settings(vae).items() if isinstance(value, list | tuple)
    }
    encoded = model.encode(VIDEO)
    assert model.decode(encoded.video_codes, encoded.video_size).video_values.shape == VIDEO.shape


def test_from_backbone_keeps_the_type_of_the_vae(tiny_config):
    vae = AutoencoderKLWan(**tiny_config.backbone_config).to(torch.bfloat16)
    model = PyraTokModel.from_backbone(
        vae, level_stages=(1, 1, 2, 3), hidden_size=16, num_attention_heads=2, text_hidden_size=12
    )
    assert model.dtype == torch.bfloat16
    assert torch.equal(model.backbone.decoder.conv_in.weight, vae.decoder.conv_in.weight)


def test_from_backbone_loads_from_the_hub_with_options(tiny_config, monkeypatch):
    asked = {}

    def from_pretrained(name, **options):
        asked.update(name=name, **options)
        return AutoencoderKLWan(**tiny_config.backbone_config), {"missing_keys": [], "unexpected_keys": []}

    monkeypatch.setattr(AutoencoderKLWan, "from_pretrained", from_pretrained)
    settings = {"level_stages": (1, 1, 2, 3), "hidden_size": 16, "num_attention_heads": 2, "text_hidden_size": 12}
    PyraTokModel.from_backbone("owner/wan", loading_options={"subfolder": "vae"}, **settings)
    assert asked.pop("use_safetensors") and asked.pop("output_loading_info")
    assert asked == {"name": "owner/wan", "subfolder": "vae"}


def test_wan_2_1_layout_makes_the_whole_way():
    backbone = {"base_dim": 8, "z_dim": 4, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 1}
    config = PyraTokConfig.tiny(
        backbone_config=backbone | {"temperal_downsample": [False, True, True]},
        level_stages=(1, 2, 3, 4),
        level_strides=((4, 4), (4, 8), (4, 8), (4, 16)),
    )
    assert config.backbone_stride == 8
    model = PyraTokModel(config).eval()
    encoded = model.encode(VIDEO)
    assert model.decode(encoded.video_codes, encoded.video_size).video_values.shape == VIDEO.shape
    model.train()
    model(VIDEO).loss.backward()


def test_compiled_layers_compute_the_same(tiny_model):
    encoded = tiny_model.encode(VIDEO)
    decoded = tiny_model.decode(encoded.video_codes, encoded.video_size).video_values
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph

    tiny_model.compile_backbone(backend=backend)
    again = tiny_model.encode(VIDEO)
    for one, other in zip(encoded.video_codes, again.video_codes, strict=True):
        assert (one != other).float().mean() < 1e-3
    pixels = tiny_model.decode(encoded.video_codes, encoded.video_size).video_values
    torch.testing.assert_close(pixels, decoded, atol=1e-4, rtol=0)
    assert len(compiled) >= 2


def test_losses_stay_in_float32_under_autocast(tiny_model):
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        losses = tiny_model(VIDEO, target_values=VIDEO).losses
    assert {value.dtype for value in losses.values()} == {torch.float32}
    grids = level_grids((9, 32, 32), tiny_model.config.level_strides)
    logits = tuple(torch.randn(2, *grid, 16) for grid in grids)
    plain = tokenizer_losses(tiny_model.config, VIDEO, VIDEO * 0.9, logits)[1]
    with torch.autocast("cpu", torch.bfloat16):
        cast = tokenizer_losses(tiny_model.config, VIDEO, VIDEO * 0.9, logits)[1]
    assert all(torch.equal(plain[name], cast[name]) for name in ("l1", "ssim", "commitment", "entropy"))


def test_misspelt_options_are_refused(tiny_model):
    with pytest.raises(TypeError, match="chunk_frame"):
        tiny_model.encode(VIDEO, chunk_frame=4)
    with pytest.raises(TypeError, match="text_embedings"):
        tiny_model(VIDEO, text_embedings=torch.zeros(2, 5, tiny_model.config.text_hidden_size))


@pytest.mark.parametrize("target", [VIDEO[:1], VIDEO[:, :5], VIDEO[..., :16], VIDEO[0], VIDEO.to(torch.uint8)])
def test_wrong_targets_are_refused(tiny_model, target):
    with pytest.raises(ValueError, match=r"target_values must be .* \(2, 9, 3, 32, 32\)"):
        tiny_model(VIDEO, target_values=target)


def test_from_backbone_refuses_what_is_no_vae():
    with pytest.raises(TypeError, match="AutoencoderKLWan"):
        PyraTokModel.from_backbone(torch.nn.Linear(1, 1))


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (torch.zeros(9, 3, 32, 32), "batch, frames, 3"),
        (torch.zeros(1, 9, 1, 32, 32), "batch, frames, 3"),
        (torch.zeros(1, 9, 3, 32, 32, dtype=torch.uint8), "floating point"),
        (torch.zeros(1, 0, 3, 32, 32), "empty"),
    ],
)
def test_wrong_videos_are_refused(tiny_model, video, message):
    with pytest.raises(ValueError, match=message):
        tiny_model.encode(video)


def test_wrong_text_is_refused(tiny_model):
    width = tiny_model.config.text_hidden_size
    for text, mask, message in [
        (torch.zeros(1, 5, width), None, "text_embeds"),
        (torch.zeros(2, 5, width + 1), None, "text_embeds"),
        (torch.zeros(2, 5, width), torch.ones(2, 4), "text_mask"),
        (None, torch.ones(2, 4), "without text_embeds"),
    ]:
        with pytest.raises(ValueError, match=message):
            tiny_model.encode(VIDEO, text_embeds=text, text_mask=mask)


def test_gradient_checkpointing_gives_the_same_gradients():
    torch.manual_seed(0)
    model = PyraTokModel(PyraTokConfig.tiny(level_dropout=0.0, **TRAINED_BACKBONE)).train()
    gradients = []
    for enabled in (False, True):
        model.zero_grad()
        if enabled:
            model.activation_checkpointing_enable()
        with mock.patch("pyratok.modeling_pyratok.backbone.checkpoint", wraps=checkpoint) as checkpointed:
            model(VIDEO).loss.backward()
        assert bool(checkpointed.call_count) == enabled
        gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-5, rtol=1e-4, msg=name)
