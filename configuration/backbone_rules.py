"""What a video VAE has to be like for levels of tokens to be placed on it."""

from collections.abc import Mapping
from typing import Any

from .backbone_shapes import BACKBONE_OPTIONS

MULTIPLIERS, DOWNSAMPLING = [1, 2, 4, 4], [False, True, True]
"""What `AutoencoderKLWan` takes where `dim_mult` and `temperal_downsample` are not said."""

TEMPORAL_STRIDE = 4
"""Frames per latent frame."""

WIDEST_STAGE, MOST_STAGES, MOST_PARTS = 8192, 16, 64
"""Channels, stages, and blocks in a stage (also: times that a stage is wider than the first, pixels along a patch)."""


def check_backbone(settings: Mapping[str, Any]) -> None:
    """Raises ValueError, saying what would be right, unless these keyword arguments make a VAE that tokens can be made with."""
    unknown = sorted(set(settings) - BACKBONE_OPTIONS)
    if unknown:
        raise ValueError(f"backbone_config holds {', '.join(unknown)}, which AutoencoderKLWan does not know")
    multipliers, temporal = settings.get("dim_mult", MULTIPLIERS), settings.get("temperal_downsample", DOWNSAMPLING)
    _check_numbers(settings, multipliers, temporal)
    _check_bounds(settings, multipliers)
    stages = len(multipliers)
    if stages < 2:
        raise ValueError(f"backbone_config['dim_mult'] needs at least two entries, got {multipliers}")
    if len(temporal) != stages - 1:
        raise ValueError(
            f"backbone_config['temperal_downsample'] needs one entry per downsampling, {stages - 1} for "
            f"dim_mult={multipliers}, got {temporal}"
        )
    if 2 ** sum(map(bool, temporal)) != TEMPORAL_STRIDE:
        raise ValueError(
            f"the backbone has to downsample time by {TEMPORAL_STRIDE}: backbone_config['temperal_downsample'] needs "
            f"exactly two True entries, got {temporal}"
        )
    if settings.get("is_residual", False):
        _check_residual_widths(multipliers, temporal)
    patch_size = settings.get("patch_size") or 1
    for key in ("in_channels", "out_channels"):
        if settings.get(key, 3) != 3 * patch_size**2:
            raise ValueError(
                f"backbone_config['{key}'] must be 3 * patch_size**2 = {3 * patch_size**2} for patch_size={patch_size}, "
                f"got {settings.get(key, 3)}"
            )


def _check_numbers(settings: Mapping[str, Any], multipliers: object, temporal: object) -> None:
    for key in ("base_dim", "decoder_base_dim", "z_dim", "num_res_blocks", "patch_size"):
        size = settings.get(key)
        if size is not None and not _is_positive_whole(size):
            raise ValueError(f"backbone_config['{key}'] must be a positive whole number, got {size!r}")
    if not isinstance(multipliers, list) or not all(map(_is_positive_whole, multipliers)):
        raise ValueError(
            f"backbone_config['dim_mult'] must be a list of positive whole numbers, one per stage, got {multipliers!r}"
        )
    if not isinstance(temporal, list):
        raise ValueError(
            "backbone_config['temperal_downsample'] must be a list of True and False, one per downsampling, "
            f"got {temporal!r}"
        )


def _check_residual_widths(dim_mult: list[int], temporal: list[bool]) -> None:
    """The shortcuts of residual blocks join whole groups of channels, so widths have to divide evenly."""
    multipliers = [1, *dim_mult]
    factors = [4 * (2 if halves_time else 1) for halves_time in temporal] + [1]
    for before, after, factor in zip(multipliers, multipliers[1:], factors, strict=False):
        if before * factor % after:
            raise ValueError(
                f"backbone_config['dim_mult'] = {dim_mult} does not work with residual blocks: from multiplier {before} to "
                f"{after}, {before} * {factor} must be a multiple of {after} (the last block, which does not downsample, "
                "keeps its width)"
            )
    # The decoder goes back: its first block keeps the width of the last stage, its last block has no shortcut.
    widths = [multipliers[-1], *multipliers[:1:-1]]
    for before, after, factor in zip(widths, widths[1:], factors[-2::-1], strict=False):
        if after * factor % before:
            raise ValueError(
                f"backbone_config['dim_mult'] = {dim_mult} does not work with residual blocks: from multiplier {before} "
                f"back to {after} in the decoder, {after} * {factor} must be a multiple of {before}"
            )


def _is_positive_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _check_bounds(settings: Mapping[str, Any], multipliers: list[int]) -> None:
    """Sizes beyond all that is of use are refused before any memory is taken."""
    bounds = {
        "base_dim": WIDEST_STAGE,
        "decoder_base_dim": WIDEST_STAGE,
        "z_dim": WIDEST_STAGE,
        "patch_size": MOST_PARTS,
    }
    for key, bound in {**bounds, "num_res_blocks": MOST_PARTS}.items():
        if (settings.get(key) or 1) > bound:
            raise ValueError(f"backbone_config[{key!r}] is at most {bound:,}")
    if len(multipliers) > MOST_STAGES or max(multipliers, default=1) > MOST_PARTS:
        raise ValueError(f"backbone_config['dim_mult'] has at most {MOST_STAGES} entries, each at most {MOST_PARTS}")
