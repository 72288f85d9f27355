"""Shapes of video VAEs, as keyword arguments of diffusers' `AutoencoderKLWan`."""

import inspect
from typing import Any

from diffusers import AutoencoderKLWan

WAN_2_1_VAE: dict[str, Any] = {
    "base_dim": 96,
    "z_dim": 16,
    "dim_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "temperal_downsample": [False, True, True],
    "is_residual": False,
    "in_channels": 3,
    "out_channels": 3,
    "scale_factor_temporal": 4,
    "scale_factor_spatial": 8,
}
"""Shape of the Wan 2.1 VAE, which the authors' released checkpoint has too: 127M parameters."""

WAN_2_2_VAE: dict[str, Any] = {
    "base_dim": 160,
    "decoder_base_dim": 256,
    "z_dim": 48,
    "dim_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "attn_scales": [],
    "temperal_downsample": [False, True, True],
    "dropout": 0.0,
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_temporal": 4,
    "scale_factor_spatial": 16,
}
"""Shape of the Wan 2.2 VAE as diffusers builds it: 150M parameters in the encoder, 555M in the decoder."""

TINY_VAE: dict[str, Any] = {
    "base_dim": 8,
    "z_dim": 8,
    "dim_mult": [1, 2, 2],
    "num_res_blocks": 1,
    "attn_scales": [],
    "temperal_downsample": [True, True],
    "dropout": 0.0,
    "is_residual": True,
    "in_channels": 48,
    "out_channels": 48,
    "patch_size": 4,
    "scale_factor_temporal": 4,
    "scale_factor_spatial": 16,
}
"""The smallest residual VAE with the strides of Wan 2.2, for tests."""

BACKBONE_OPTIONS = frozenset(inspect.signature(AutoencoderKLWan.__init__).parameters) - {"self"}
"""The keyword arguments that build an `AutoencoderKLWan`."""
