"""Taking over the weights of a pretrained `AutoencoderKLWan`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from torch import nn

from ..configuration.backbone_shapes import BACKBONE_OPTIONS
from .backbone_shape import backbone_shape
from .errors import PyraTokError
from .lora import plain_state_dict
from .wan_names import MARK, diffusers_names
from .weights_file import EXTENSION, PICKLES, Progress, WeightsFile, check_keys

QUANTIZER = "lapq_"
"""What names of tensors start with that the authors' checkpoint has beside those of a VAE."""

STATISTICS = ("latents_mean", "latents_std")
"""Settings that no tensor shows; diffusion models take latents with them."""

LARGEST = torch.finfo(torch.float32).max
"""Of a number in them."""


def load_backbone(vae: AutoencoderKLWan | str | os.PathLike, **loading_options: Any) -> AutoencoderKLWan:
    """The VAE itself, or the one in a file, a folder or a Hub repository.

    Args:
        vae: a safetensors file may have diffusers' names or those of Wan's own checkpoints. A Hub id cannot end as files
            of weights do, in .safetensors or .pt for example.
        loading_options: for diffusers' `from_pretrained`; a file takes none.

    Raises:
        PyraTokError: for a file that holds no such VAE, options with one, or a folder whose tensors are not those of its
            config.json. TypeError: if `vae` is something else.
    """
    if isinstance(vae, AutoencoderKLWan):
        return vae
    if not isinstance(vae, str | os.PathLike):
        raise TypeError(f"vae must be an AutoencoderKLWan, a file, a folder or a Hub id, got {type(vae).__name__}")
    path = Path(vae)
    if not path.exists() and path.suffix.lower() in (EXTENSION, *PICKLES):
        raise PyraTokError(
            f"there is no file or folder {os.fspath(vae)!r}, and what ends in {path.suffix} cannot be a Hub id here: download "
            "the repository, and give its folder"
        )
    if path.is_file():
        if loading_options:
            raise PyraTokError(
                f"the file {os.fspath(vae)!r} takes no loading options, got {', '.join(loading_options)}"
            )
        with WeightsFile(vae) as weights:
            return backbone_of(weights)
    options = {"use_safetensors": True, **loading_options, "output_loading_info": True}
    loaded, found = AutoencoderKLWan.from_pretrained(vae, **options)
    check_keys(repr(os.fspath(vae)), found["missing_keys"], found["unexpected_keys"])  # diffusers only warns of them
    return loaded


def is_residual_checkpoint(weights: WeightsFile) -> bool:
    """Whether tensors are there that the authors' layout alone has; `load_residual_checkpoint` says whether it is whole."""
    return any(name.startswith(QUANTIZER) for name in weights.shapes)


def backbone_of(weights: WeightsFile, progress: Progress = iter) -> AutoencoderKLWan:
    """The VAE whose tensors, and no others, the file holds; bit for bit, all in one type. Raises PyraTokError."""
    if is_residual_checkpoint(weights):
        raise PyraTokError(
            f"{weights.name} is no VAE alone but the checkpoint of PyraTok's authors: `pyratok convert` makes a model of it"
        )
    names = diffusers_names(weights.name, weights.shapes) if MARK in weights.shapes else {n: n for n in weights.shapes}
    settings = backbone_shape(weights.name, {ours: weights.shapes[name] for ours, name in names.items()}, names)
    settings |= _statistics(weights.settings, settings["z_dim"])
    dtype = weights.dtype_of(names.values())
    with torch.device("meta"):
        vae = AutoencoderKLWan(**settings)
    tensors = {ours: weights.tensor(names[ours]).to(dtype) for ours in progress(list(names))}
    vae.load_state_dict(tensors, assign=True)
    return vae.eval()


def _statistics(settings: Mapping[str, Any], channels: int) -> dict[str, list[float]]:
    """What config.json says of the latents, if it fits."""
    found = {name: settings.get(name) for name in STATISTICS}
    return {name: values for name, values in found.items() if _are_numbers(values, channels)}


def _are_numbers(values: object, count: int) -> bool:
    if not isinstance(values, list) or len(values) != count:
        return False
    return all(type(value) in (int, float) and abs(value) <= LARGEST for value in values)  # a bool is an int too


def backbone_settings(vae: AutoencoderKLWan) -> dict[str, Any]:
    """The keyword arguments that build a VAE of the same shape."""
    return {name: value for name, value in vae.config.items() if name in BACKBONE_OPTIONS}


def copy_backbone_weights(source: AutoencoderKLWan, target: nn.Module) -> None:
    """Copy every tensor of `source` into `target`, the same VAE with LoRA around some of its layers."""
    parameters = plain_state_dict(target, keep_vars=True)
    with torch.no_grad():
        for name, tensor in source.state_dict().items():
            parameters[name].copy_(tensor)
