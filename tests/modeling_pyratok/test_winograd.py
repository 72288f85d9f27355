"""The convolution in fewer multiplications is the same function."""

import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from hypothesis import given, settings
from hypothesis import strategies as st

from pyratok.modeling_pyratok import winograd
from pyratok.modeling_pyratok.backbone import decode_latents, encode_features, encode_posterior, unpatchify
from pyratok.modeling_pyratok.winograd import winograd_convolution, winograd_pays


def channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last_3d)


@settings(deadline=None)
@given(
    st.integers(1, 2), st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.sampled_from([1, 3]), st.booleans()
)
def test_it_is_the_direct_convolution(batch, height, width, frames, reach, has_bias):
    generator = torch.Generator().manual_seed(height * 10 + width)
    window = torch.randn(batch, 6, frames + reach - 1, height, width, generator=generator, dtype=torch.float64)
    weight = torch.randn(5, 6, reach, 3, 3, generator=generator, dtype=torch.float64)
    bias = torch.randn(5, generator=generator, dtype=torch.float64) if has_bias else None
    before = window.clone()
    output = winograd_convolution(channels_last(window), weight, bias)
    torch.testing.assert_close(output, F.conv3d(window, weight, bias, padding=(0, 1, 1)), atol=1e-12, rtol=1e-12)
    assert torch.equal(window, before)


@pytest.mark.parametrize("strip_bytes", [1, 2000, 2**30])
def test_strips_change_nothing(monkeypatch, strip_bytes):
    window = channels_last(torch.randn(1, 4, 5, 13, 9, dtype=torch.float64))
    weight = torch.randn(4, 4, 3, 3, 3, dtype=torch.float64)
    whole = winograd_convolution(window, weight, None)
    monkeypatch.setattr(winograd, "STRIP_BYTES", strip_bytes)
    torch.testing.assert_close(winograd_convolution(window, weight, None), whole, atol=1e-12, rtol=1e-12)


def test_it_is_chosen_for_wide_layers_with_many_positions():
    window, weight = torch.empty(1, 160, 19, 64, 64), torch.empty(320, 160, 3, 3, 3)
    assert winograd_pays(window, weight, (1, 1, 1), (0, 1, 1))
    assert not winograd_pays(window[:, :, :3, :8, :8], weight, (1, 1, 1), (0, 1, 1))
    assert not winograd_pays(window[:, :96], weight[:, :96], (1, 1, 1), (0, 1, 1))
    assert not winograd_pays(window, weight, (1, 2, 2), (0, 1, 1))
    assert not winograd_pays(window, weight[..., :1, :1], (1, 1, 1), (0, 0, 0))


@torch.no_grad()
def test_a_wide_backbone_agrees_with_diffusers(monkeypatch):
    torch.manual_seed(0)
    vae = AutoencoderKLWan(
        base_dim=winograd.LEAST_CHANNELS,
        z_dim=8,
        dim_mult=[1, 1],
        num_res_blocks=1,
        attn_scales=[],
        temperal_downsample=[True],
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_temporal=2,
        scale_factor_spatial=4,
    ).eval()
    monkeypatch.setattr(winograd, "LEAST_POSITIONS", 100)
    calls = []
    plain = winograd.winograd_convolution
    monkeypatch.setattr(
        "pyratok.modeling_pyratok.causal_layers.winograd_convolution",
        lambda *arguments: calls.append(1) or plain(*arguments),
    )
    video = torch.rand(1, 5, 3, 36, 28) * 2 - 1
    features, _ = encode_features(vae, video, None, 2)
    posterior, _ = encode_posterior(vae, features[-1], None)
    expected = vae.encode(video.transpose(1, 2)).latent_dist
    torch.testing.assert_close(posterior, expected.parameters, atol=1e-4, rtol=1e-4)
    latents = expected.mode()
    patches, _ = decode_latents(vae, latents, {}, None)
    pixels = unpatchify(patches, 2).clamp(-1, 1)
    torch.testing.assert_close(pixels, vae.decode(latents).sample.transpose(1, 2), atol=1e-4, rtol=1e-4)
    assert len(calls) > 8
