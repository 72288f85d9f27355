"""The shape of a Wan VAE, read off the tensors of its checkpoint: they cannot claim what they do not hold."""

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from diffusers import AutoencoderKLWan

from ..configuration.backbone_rules import TEMPORAL_STRIDE, check_backbone
from .errors import PyraTokError
from .weights_file import Shape, check_shapes

MAX_STAGES, MAX_BLOCKS = 8, 8
"""Stages of a VAE, and residual blocks of a stage; Wan's have 4 and 2. More would cost time before they are refused."""

FLAT_BLOCK = re.compile(r"encoder\.down_blocks\.(\d{1,4})\.(conv1|resample\.1)\.weight")
NESTED_BLOCK = re.compile(r"encoder\.down_blocks\.(\d{1,4})\.resnets\.(\d{1,4})\.conv1\.weight")


def backbone_shape(
    source: str, shapes: Mapping[str, Shape], called: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Keyword arguments of the `AutoencoderKLWan` that has exactly these tensors.

    Args:
        source: what messages call the file.
        shapes: by diffusers' names.
        called: their names in the file, where those are others.

    Raises:
        PyraTokError: if there is no such VAE, naming what is missing, not known or of another shape.
    """
    base, in_channels = (_size(source, shapes, "encoder.conv_in.weight", axis) for axis in (0, 1))
    out_channels, decoder_width = (_size(source, shapes, "decoder.conv_out.weight", axis) for axis in (0, 1))
    is_nested = any(map(NESTED_BLOCK.fullmatch, shapes))
    widths, num_blocks, halves_time = (_nested_stages if is_nested else _flat_stages)(source, shapes)
    _check_counts(source, max(len(widths), len(halves_time)), num_blocks)
    multipliers = [width // base for width in widths]
    patch_size = math.isqrt(in_channels // 3)
    settings = {
        "base_dim": base,
        "decoder_base_dim": decoder_width // max(1, *multipliers[:1]),
        "z_dim": _size(source, shapes, "post_quant_conv.weight", 0),
        "dim_mult": multipliers,
        "num_res_blocks": num_blocks // max(1, len(widths)),
        "temperal_downsample": halves_time,
        "is_residual": is_nested,
        "in_channels": in_channels,
        "out_channels": out_channels,
        "patch_size": patch_size if patch_size > 1 else None,
        "scale_factor_temporal": TEMPORAL_STRIDE,
        "scale_factor_spatial": patch_size * 2 ** len(halves_time),
    }
    try:
        check_backbone(settings)
    except ValueError as problem:
        raise PyraTokError(f"{source} holds no video VAE that tokens can be made with: {problem}") from problem
    with torch.device("meta"):
        wanted = AutoencoderKLWan(**settings).state_dict()
    check_shapes(source, shapes, {name: tuple(tensor.shape) for name, tensor in wanted.items()}, called)
    return settings


def _check_counts(source: str, num_stages: int, num_blocks: int) -> None:
    if num_stages > MAX_STAGES or num_blocks > MAX_BLOCKS * max(1, num_stages):
        raise PyraTokError(
            f"{source} holds no Wan VAE: its encoder has {num_stages} stages with {num_blocks} residual blocks, and may have "
            f"{MAX_STAGES} with {MAX_BLOCKS} in each"
        )


def _size(source: str, shapes: Mapping[str, Shape], name: str, axis: int) -> int:
    shape = shapes.get(name, ())
    if len(shape) <= axis:
        raise PyraTokError(
            f"{source} holds no Wan VAE: its tensor {name} is {'not there' if name not in shapes else shape}"
        )
    return shape[axis]


def _flat_stages(source: str, shapes: Mapping[str, Shape]) -> tuple[list[int], int, list[bool]]:
    """Wan 2.1: residual blocks and downsamplings in one list. Width of each stage, all residual blocks, which halve time."""
    found = sorted({(int(match[1]), match[2]) for match in map(FLAT_BLOCK.fullmatch, shapes) if match})
    widths, num_blocks, halves_time = [], 0, []
    for index, kind in found:
        if kind != "conv1":
            halves_time.append(f"encoder.down_blocks.{index}.time_conv.weight" in shapes)
            continue
        num_blocks += 1
        if len(widths) == len(halves_time):
            widths.append(_size(source, shapes, f"encoder.down_blocks.{index}.conv1.weight", 0))
    return widths, num_blocks, halves_time


def _nested_stages(source: str, shapes: Mapping[str, Shape]) -> tuple[list[int], int, list[bool]]:
    """Wan 2.2: a list for each stage. The same three."""
    found = {(int(match[1]), int(match[2])) for match in map(NESTED_BLOCK.fullmatch, shapes) if match}
    stages = sorted({stage for stage, _ in found})
    widths = [_size(source, shapes, f"encoder.down_blocks.{stage}.resnets.0.conv1.weight", 0) for stage in stages]
    halves_time = [f"encoder.down_blocks.{stage}.downsampler.time_conv.weight" in shapes for stage in stages[:-1]]
    return widths, len(found), halves_time
