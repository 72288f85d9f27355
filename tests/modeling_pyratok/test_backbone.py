"""The executor computes what diffusers' own `encode` and `decode` compute, in chunks of any length."""

import pytest
import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanRMS_norm

from pyratok.modeling_pyratok.backbone import decode_latents, encode_features, encode_posterior, patchify, unpatchify
from pyratok.modeling_pyratok.causal_layers import rms_norm

WAN_2_2_LAYOUT = dict(
    base_dim=8, z_dim=4, dim_mult=[1, 2, 4, 4], num_res_blocks=1, temperal_downsample=[False, True, True],
    is_residual=True, in_channels=12, out_channels=12, patch_size=2,
)  # fmt: skip
WAN_2_1_LAYOUT = dict(
    base_dim=8, z_dim=4, dim_mult=[1, 2, 4, 4], num_res_blocks=1, temperal_downsample=[False, True, True]
)
PATCH_4_LAYOUT = dict(
    base_dim=8, decoder_base_dim=16, z_dim=4, dim_mult=[1, 2, 2], num_res_blocks=2, temperal_downsample=[True, True],
    is_residual=True, in_channels=48, out_channels=48, patch_size=4,
)  # fmt: skip
LAYOUTS = [WAN_2_2_LAYOUT, WAN_2_1_LAYOUT, PATCH_4_LAYOUT]
NAMES = ["wan 2.2", "wan 2.1", "patch 4"]


@pytest.fixture(params=LAYOUTS, ids=NAMES)
def vae(request) -> AutoencoderKLWan:
    torch.manual_seed(0)
    vae = AutoencoderKLWan(**request.param).eval()
    with torch.no_grad():  # a trained norm is not all ones
        for name, parameter in vae.named_parameters():
            if name.endswith("gamma"):
                parameter.uniform_(0.5, 1.5)
    return vae


def encode_in_chunks(vae: AutoencoderKLWan, video: torch.Tensor, cuts: list[int]) -> torch.Tensor:
    stages = len(vae.config.dim_mult)
    memory = posterior_memory = None
    parts = []
    for start, end in zip([0, *cuts], [*cuts, video.shape[1]], strict=True):
        features, memory = encode_features(vae, video[:, start:end], memory, stages)
        part, posterior_memory = encode_posterior(vae, features[-1], posterior_memory)
        parts.append(part)
    return torch.cat(parts, dim=2)


def decode_in_chunks(vae: AutoencoderKLWan, latents: torch.Tensor, cuts: list[int]) -> torch.Tensor:
    memory, parts = None, []
    for start, end in zip([0, *cuts], [*cuts, latents.shape[2]], strict=True):
        part, memory = decode_latents(vae, latents[:, :, start:end], {}, memory)
        parts.append(unpatchify(part, vae.config.patch_size or 1))
    return torch.cat(parts, dim=1)


@torch.no_grad()
@pytest.mark.parametrize("cuts", [[], [1], [5, 13], [1, 5, 9, 13]])
def test_encoder_equals_diffusers(vae, cuts):
    video = torch.rand(2, 17, 3, 32, 48) * 2 - 1
    expected = vae.encode(video.transpose(1, 2)).latent_dist.parameters
    torch.testing.assert_close(encode_in_chunks(vae, video, cuts), expected, atol=5e-6, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("cuts", [[], [1], [2, 3], [1, 2, 3, 4]])
def test_decoder_equals_diffusers(vae, cuts):
    latents = torch.randn(2, vae.config.z_dim, 5, 3, 2)
    expected = vae.decode(latents).sample.transpose(1, 2)
    torch.testing.assert_close(decode_in_chunks(vae, latents, cuts).clamp(-1, 1), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_memory_can_be_used_again(vae):
    """Going on twice from one memory gives the same twice: nothing that was handed out is written to."""
    video = torch.rand(1, 13, 3, 32, 32) * 2 - 1
    stages = len(vae.config.dim_mult)
    _, memory = encode_features(vae, video[:, :5], None, stages)
    first, _ = encode_features(vae, video[:, 5:9], memory, stages)
    encode_features(vae, -video[:, 9:], memory, stages)
    again, _ = encode_features(vae, video[:, 5:9], memory, stages)
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("patch_size", [1, 2, 4])
def test_patches_round_trip(patch_size):
    video = torch.randn(2, 3, 3, 8, 12)
    assert torch.equal(unpatchify(patchify(video, patch_size), patch_size), video)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [0.0, 1e-7, 1.0, 1e4])
def test_the_norm_of_any_vector_is_finite_and_right(dtype, size):
    """Zeros and very short vectors too, which divide by almost nothing."""
    norm = WanRMS_norm(8, images=False)
    x = (torch.randn(1, 8, 2, 3, 3) * size).to(dtype)
    expected = norm(x.float())
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            assert (rms_norm(norm.to(dtype), x).float() - expected).abs().max() < 0.05


def test_gradient_checkpointing_changes_no_gradient(vae):
    video = torch.rand(1, 5, 3, 32, 32) * 2 - 1
    gradients = []
    for checkpointing in (False, True):
        vae.train().zero_grad()
        vae.encoder.gradient_checkpointing = vae.decoder.gradient_checkpointing = checkpointing
        features, _ = encode_features(vae, video, None, len(vae.config.dim_mult))
        posterior, _ = encode_posterior(vae, features[-1], None)
        patches, _ = decode_latents(vae, posterior[:, : vae.config.z_dim], {}, None)
        patches.square().mean().backward()
        gradients.append({name: p.grad.clone() for name, p in vae.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)
