"""The residual quantizer of the authors' checkpoint as a configuration: what it computes, and that all else holds."""

import itertools

import pytest
import torch
from foreign_checkpoints import TINY_2_1, authors_checkpoint, authors_indices, random_vae
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import save_file

from pyratok import (
    PyraTokConfig,
    PyraTokModel,
    PyraTokPrior,
    PyraTokPriorConfig,
    PyraTokReconstructionPipeline,
    VideoTokens,
    read_video,
)
from pyratok.modeling_pyratok.residual_checkpoint import load_residual_checkpoint
from pyratok.modeling_pyratok.weights_file import WeightsFile

SMALL = {"text_hidden_size": 10, "residual_text_sizes": (8, 5)}
TEXT = torch.randn(2, 5, 10, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return authors_checkpoint(random_vae(TINY_2_1))


@pytest.fixture(scope="module")
def folder(state, tmp_path_factory):
    """The checkpoint, converted and saved."""
    folder = tmp_path_factory.mktemp("residual")
    save_file(state, folder / "authors.safetensors")
    with WeightsFile(folder / "authors.safetensors") as weights:
        load_residual_checkpoint(weights).save_pretrained(folder)
    return folder


@pytest.fixture
def model(folder) -> PyraTokModel:
    return PyraTokModel.from_pretrained(folder).eval()


@pytest.fixture
def model_with_text(folder) -> PyraTokModel:
    return PyraTokModel.from_pretrained(folder, residual_text_scale=0.7).eval()


@pytest.fixture(scope="module")
def video(clips) -> torch.Tensor:
    """Real frames, (2, 9, 3, 40, 48) in [-1, 1]."""
    parts = [read_video(clips[name])[0][:9, 20:60, 30:78] for name in ("city", "dog")]
    return torch.stack(parts).permute(0, 1, 4, 2, 3) / 127.5 - 1


@torch.no_grad()
def latent_of(video: torch.Tensor) -> torch.Tensor:
    return random_vae(TINY_2_1).encode(video.transpose(1, 2)).latent_dist.mode()


@torch.no_grad()
def test_codes_and_pictures_are_those_of_the_authors_layout(model, state, video):
    vae = random_vae(TINY_2_1)
    indices, latent = authors_indices(state, latent_of(video))
    encoded = model.encode(video)
    for level, (codes, expected) in enumerate(zip(encoded.video_codes, indices, strict=True), start=1):
        assert torch.equal(codes, expected), level
        assert codes.unique().numel() > 10  # the random weights make codes of all kinds
    decoded = model.decode(encoded.video_codes, encoded.video_size).video_values
    torch.testing.assert_close(decoded, vae.decode(latent).sample.transpose(1, 2), atol=1e-5, rtol=0)
    output = model(video)
    assert torch.equal(output.latents, latent)
    torch.testing.assert_close(output.video_values, decoded, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("levels", [(1,), (1, 2), (4,), (2, 4)])
def test_a_level_that_is_left_out_adds_nothing(model, video, levels):
    vae = random_vae(TINY_2_1)
    encoded = model.encode(video)
    codes = [entry if level in levels else None for level, entry in enumerate(encoded.video_codes, start=1)]
    places = torch.arange(5, -1, -1)  # channel c is the bit 5 - c
    latent = sum(
        ((encoded.video_codes[level - 1].unsqueeze(1) >> places.view(1, -1, 1, 1, 1) & 1) * 2.0 - 1)
        * 2.0 ** (1 - level)
        for level in levels
    )
    decoded = model.decode(codes, encoded.video_size).video_values
    torch.testing.assert_close(decoded, vae.decode(latent).sample.transpose(1, 2), atol=1e-5, rtol=0)
    assert torch.equal(decoded, model.decode(encoded.video_codes, encoded.video_size, levels=levels).video_values)
    present = torch.tensor([[level in levels for level in (1, 2, 3, 4)]] * 2)
    assert torch.equal(model(video, present_levels=present).latents, latent)


@torch.no_grad()
def test_more_levels_come_closer_to_the_latent(model, video):
    latent = latent_of(video).clamp(-1.875, 1.875)  # what signs times 1, 1/2, 1/4, 1/8 can reach
    bits = model.pyramid(model.codebook, (latent,), None, None, is_first=True).bits
    embedded = [model.codebook(level).permute(0, 4, 1, 2, 3) for level in bits]
    errors = [(model.fusion(embedded[:n], is_first=True)[0] - latent).abs() for n in (1, 2, 3, 4)]
    for error, bound in zip(errors, (1, 1 / 2, 1 / 4, 1 / 8), strict=True):
        assert bound / 2 < error.max() <= bound + 1e-6
    assert all(more.mean() < fewer.mean() for fewer, more in itertools.pairwise(errors))


def test_text_has_no_effect_as_published_and_the_authors_formula_otherwise(model, model_with_text, state, video):
    plain = model.encode(video)
    for given in (model.encode(video, TEXT), model_with_text.encode(video)):
        assert all(map(torch.equal, given.video_codes, plain.video_codes))
    indices, decoded = authors_indices(state, latent_of(video), TEXT, scale=0.7)
    encoded = model_with_text.encode(video, TEXT)
    assert all(map(torch.equal, encoded.video_codes, indices))
    assert sum((one != other).sum() for one, other in zip(encoded.video_codes, plain.video_codes, strict=True)) > 100
    with torch.no_grad():
        assert torch.equal(model_with_text(video, TEXT).latents, decoded)


def test_padding_of_the_text_is_masked_and_an_empty_text_is_none(model_with_text, video):
    mask = torch.tensor([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]])
    masked = model_with_text.encode(video, TEXT, mask).video_codes
    short = model_with_text.encode(video[:1], TEXT[:1, :3]).video_codes
    without = model_with_text.encode(video[1:]).video_codes
    for codes, first, second in zip(masked, short, without, strict=True):
        assert torch.equal(codes, torch.cat([first, second]))
    maps = model_with_text.attention_maps(video, TEXT, mask)
    for level, codes in zip(maps, masked, strict=True):
        assert level.shape == (2, 5, *codes.shape[1:]) and not level[0, 3:].any() and not level[1].any()
        torch.testing.assert_close(level[0].sum(0), torch.ones_like(level[0, 0]))


def test_a_model_that_does_not_look_at_the_text_has_no_maps(model, video):
    with pytest.raises(ValueError, match="residual_text_scale is 0"):
        model.attention_maps(video, TEXT)


@pytest.mark.parametrize("chunk_frames", [4, 8, None])
@pytest.mark.parametrize("size", [(1, 8, 8), (7, 1, 30), (14, 50, 75)])
def test_streaming_equals_offline_at_any_size(model_with_text, chunk_frames, size):
    frames, height, width = size
    video = torch.rand(1, frames, 3, height, width, generator=torch.Generator().manual_seed(2)) * 2 - 1
    offline = model_with_text.encode(video, TEXT[:1], chunk_frames=chunk_frames)
    decoded = model_with_text.decode(offline.video_codes, size, chunk_frames=chunk_frames).video_values
    assert decoded.shape == video.shape
    pieces = list(model_with_text.encode_stream(iter(video[0]), TEXT[:1], chunk_frames=chunk_frames))
    for level, codes in enumerate(offline.video_codes):
        assert torch.equal(torch.cat([piece.video_codes[level] for piece in pieces], dim=1), codes)
    assert torch.equal(torch.cat(list(model_with_text.decode_stream(pieces))), decoded[0])
    whole = model_with_text.encode(video, TEXT[:1], chunk_frames=None)
    differing = sum((one != other).sum() for one, other in zip(whole.video_codes, offline.video_codes, strict=True))
    assert differing <= 1  # of up to 1000: rounding, see SPEC's bound of 99.99% of the bits
    assert torch.isfinite(decoded).all()


def test_tiles_cover_the_whole(model, video):
    large = video.repeat(1, 1, 1, 2, 2)
    encoded = model.encode(large, tile_size=48, tile_overlap=16)
    assert model.decode(encoded.video_codes, encoded.video_size, tile_size=48).video_values.shape == large.shape
    plain = model.encode(large)
    equal = [(one == other).float().mean() for one, other in zip(encoded.video_codes, plain.video_codes, strict=True)]
    assert equal[0] > 0.5  # the same picture, though not to the bit


def test_saving_and_loading_keeps_everything(model, folder, tmp_path, video):
    model.save_pretrained(tmp_path)
    again = PyraTokModel.from_pretrained(tmp_path).eval()
    assert again.weights_fingerprint() == model.weights_fingerprint()
    assert all(map(torch.equal, again.encode(video).video_codes, model.encode(video).video_codes))
    with torch.no_grad():
        again.pyramid.attentions[3].text_projection.bias += 1
    assert again.weights_fingerprint() != model.weights_fingerprint()


def test_token_files_and_pipelines(model, clips, tmp_path):
    pipeline = PyraTokReconstructionPipeline(model)
    result = pipeline(read_video(clips["city"])[0][:6, :33, :50].numpy())
    result.tokens.save(tmp_path / "tokens.safetensors")
    tokens = VideoTokens.load(tmp_path / "tokens.safetensors")
    assert tokens.codebook_bits == 6 and tokens.num_tokens == 4 * 3 * 5 * 7 and tokens == result.tokens
    decoded = model.decode(tokens.video_codes, tokens.video_size).video_values
    assert decoded.shape == (1, 6, 3, 33, 50)


def test_embed_codes_gives_the_signs_of_the_channels(model):
    codes = torch.tensor([0, 1, 32, 63])
    expected = [[-1] * 6, [-1] * 5 + [1], [1] + [-1] * 5, [1] * 6]
    assert model.embed_codes(codes).tolist() == expected


def test_level_features_are_what_the_signs_are_taken_of(model, video):
    encoded = model.encode(video)
    torch.testing.assert_close(encoded.level_features[0], latent_of(video), atol=1e-5, rtol=0)
    for before, after, scale in zip(encoded.level_features, encoded.level_features[1:], (1, 0.5, 0.25), strict=False):
        assert torch.equal(before - torch.where(before >= 0, scale, -scale), after)


def fresh(**overrides) -> PyraTokModel:
    torch.manual_seed(0)
    return PyraTokModel(PyraTokConfig.residual(TINY_2_1, **SMALL, **overrides)).train()


def test_every_weight_of_the_backbone_learns_and_the_gradient_is_that_of_the_identity(video):
    model = fresh(freeze_backbone=False, level_dropout=0.0)
    output = model(video[:, :5, :, :32, :32])
    assert output.loss.isfinite() and {"l1", "commitment", "entropy"} <= output.losses.keys()
    output.loss.backward()
    backbone = [name for name, weight in model.named_parameters() if name.startswith("backbone.")]
    gradients = dict(model.named_parameters())
    assert all(gradients[name].grad is not None and gradients[name].grad.any() for name in backbone)
    assert all(not weight.requires_grad for name, weight in model.named_parameters() if name not in backbone)

    features = torch.randn(1, 6, 2, 3, 3, requires_grad=True)
    pyramid = model.pyramid(model.codebook, (features,), None, None, is_first=True)
    latent, _ = model.fusion([model.codebook(bits).permute(0, 4, 1, 2, 3) for bits in pyramid.bits], is_first=True)
    latent.sum().backward()
    torch.testing.assert_close(features.grad, torch.full_like(features, 1 + 1 / 2 + 1 / 4 + 1 / 8))


def test_lora_reaches_the_latent_and_text_learns_if_it_has_a_scale(video):
    model = fresh(lora_rank=2, residual_text_scale=0.5, level_dropout=0.0)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)
    model(video[:, :5, :, :32, :32], TEXT).loss.backward()
    learning = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert any("encoder.conv_out.lora_A" in name for name in learning)
    assert all(name.startswith("pyramid.") or "lora_" in name for name in learning)
    weights = dict(model.named_parameters())
    for name in learning:
        assert weights[name].grad is not None, name
    assert weights["pyramid.text_map.0.weight"].grad.any()
    model.eval()
    before = model(video).video_values
    model.merge_lora()
    torch.testing.assert_close(model(video).video_values, before, atol=1e-4, rtol=0)


def test_gradient_checkpointing_gives_the_same_gradients(video):
    gradients = []
    for checkpointing in (False, True):
        model = fresh(freeze_backbone=False, residual_text_scale=0.5, level_dropout=0.0)
        if checkpointing:
            model.activation_checkpointing_enable()
        calls = []
        model.pyramid.attentions[1].query_norm.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        model(video[:, :5, :, :32, :32], TEXT).loss.backward()
        assert len(calls) == 1 + checkpointing  # computed anew for the gradient
        gradients.append({n: w.grad for n, w in model.named_parameters() if w.grad is not None})
    plain, checkpointed = gradients
    assert plain.keys() == checkpointed.keys()
    for part in ("backbone.encoder.", "backbone.decoder.", "pyramid.text_map.", "pyramid.attentions.3."):
        assert any(plain[name].any() for name in plain if name.startswith(part)), part
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


def test_level_dropout_decodes_a_proper_subset_of_the_levels(video):
    video = video[:, :5, :, :32, :32]
    model = fresh(level_dropout=1.0)
    with torch.no_grad():
        latents = model(video).latents
        present = [levels for levels in itertools.product((False, True), repeat=4) if any(levels)]
        candidates = {levels: model(video, present_levels=torch.tensor([levels] * 2)).latents for levels in present}
    for index in range(2):
        (chosen,) = (levels for levels in present if torch.equal(candidates[levels][index], latents[index]))
        assert not all(chosen)


@torch.no_grad()
def test_half_precision_gives_nearly_the_same_codes_and_pictures(model_with_text, video):
    full = model_with_text.encode(video, TEXT)
    expected = model_with_text.decode(full.video_codes, full.video_size).video_values
    half = model_with_text.to(torch.bfloat16)
    encoded = half.encode(video, TEXT)
    flipped = (encoded.video_codes[0] ^ full.video_codes[0]).unsqueeze(-1) >> torch.arange(6) & 1
    assert flipped.float().mean() < 0.02
    decoded = half.decode(full.video_codes, full.video_size).video_values
    assert decoded.dtype == torch.bfloat16
    assert (decoded.float() - expected).abs().mean() < 0.05 * expected.std()


def test_compiled_layers_compute_the_same(model, video):
    encoded = model.encode(video)
    model.compile_backbone(backend=lambda graph, inputs: graph)
    for one, other in zip(encoded.video_codes, model.encode(video).video_codes, strict=True):
        assert (one != other).float().mean() < 1e-2


def test_stage_features_are_those_of_the_encoder_alone(model, video):
    features = model(video, output_stage_features=True).stage_features
    assert [feature.shape[1] for feature in features] == list(model.config.stage_channels)


def prior_of(config: PyraTokConfig, codebook_size: int) -> PyraTokPrior:
    body = {"model_type": "qwen2", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    body |= {"num_attention_heads": 2, "num_key_value_heads": 2}
    settings = {"level_strides": config.level_strides, "codebook_bits": 6, "codebook_size": codebook_size}
    return PyraTokPrior(
        PyraTokPriorConfig(body_config=body, text_hidden_size=4, head_size=4, group_bits=3, **settings)
    )


def test_a_prior_over_these_tokens_shares_the_codebook_if_its_width_is_that_of_the_latent(model, video):
    prior = prior_of(model.config, 6)
    prior.share_codebook(model.codebook)
    encoded = model.encode(video[:, :5, :, :16, :16])
    assert prior(video_codes=encoded.video_codes, video_size=encoded.video_size).loss.isfinite()
    with pytest.raises(ValueError, match="codebook_size"):
        prior_of(model.config, 16).share_codebook(model.codebook)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ({"dim_mult": 4}, "dim_mult'] must be a list"),
        ({"z_dim": 0}, "z_dim'] must be a positive"),
        ({"temperal_downsample": (True,)}, "one entry per downsampling"),
        ({"unknown": 1}, "does not know"),
    ],
)
def test_backbones_that_cannot_work_are_refused_as_everywhere(backbone, message):
    for make in (PyraTokConfig.residual, PyraTokConfig):
        with pytest.raises(StrictDataclassError) as refusal:
            make(backbone_config=TINY_2_1 | backbone)
        assert message in str(refusal.value)


def test_tuples_in_a_backbone_count_as_lists():
    backbone = {name: tuple(value) if isinstance(value, list) else value for name, value in TINY_2_1.items()}
    assert PyraTokConfig.residual(backbone).to_dict() == PyraTokConfig.residual(TINY_2_1).to_dict()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"quantizer": "vq"}, "'lapq' or 'residual'"),
        ({"codebook_bits": 8}, "codebook_bits must be z_dim = 6"),
        ({"hidden_size": 12}, "hidden_size must be z_dim = 6"),
        ({"level_stages": (3, 4, 4, 4)}, "all level_stages must be 4"),
        ({"level_strides": ((4, 8), (4, 8), (4, 8), (4, 16))}, "all level_strides"),
        ({"hierarchical_loss_weight": 0.1}, "hierarchical_loss_weight must be 0"),
        ({"residual_text_scale": float("nan")}, "residual_text_scale must be finite"),
        ({"residual_text_sizes": (8,)}, "two positive widths"),
        ({"residual_text_sizes": (8, 0)}, "two positive widths"),
        ({"num_attention_heads": 4}, "multiple of num_attention_heads"),
        ({"quantizer": "lapq", "residual_text_scale": 1.0}, "needs quantizer='residual'"),
    ],
)
def test_configurations_that_cannot_work_are_refused(overrides, message):
    with pytest.raises(StrictDataclassError) as refusal:
        PyraTokConfig.residual(TINY_2_1, **{**SMALL, **overrides})
    assert message in str(refusal.value)


def test_the_defaults_are_the_published_shape_and_survive_a_file(tmp_path):
    config = PyraTokConfig.residual()
    assert (config.num_levels, config.codebook_bits, config.level_strides) == (4, 16, ((4, 8),) * 4)
    config.save_pretrained(tmp_path)
    assert PyraTokConfig.from_pretrained(tmp_path).to_diff_dict() == config.to_diff_dict()
    for levels, settings in itertools.product((1, 3), (TINY_2_1, PyraTokConfig.tiny().backbone_config)):
        config = PyraTokConfig.residual(settings, num_levels=levels)
        assert config.num_levels == levels and config.level_strides[0] == config.stage_strides[-1]
