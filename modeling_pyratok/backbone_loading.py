"""Taking over the weights of a pretrained `AutoencoderKLWan`."""

import os
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from torch import nn

from ..configuration.backbone_shapes import BACKBONE_OPTIONS
from .lora import plain_state_dict


def load_backbone(vae: AutoencoderKLWan | str | os.PathLike, **loading_options: Any) -> AutoencoderKLWan:
    """The VAE itself, or the one in a folder or Hub repository; `loading_options` go to diffusers' `from_pretrained`."""
    if isinstance(vae, AutoencoderKLWan):
        return vae
    if isinstance(vae, str | os.PathLike):
        return AutoencoderKLWan.from_pretrained(vae, **loading_options)
    raise TypeError(f"vae must be an AutoencoderKLWan, a folder or a Hub id, got {type(vae).__name__}")


def backbone_settings(vae: AutoencoderKLWan) -> dict[str, Any]:
    """The keyword arguments that build a VAE of the same shape."""
    return {name: value for name, value in vae.config.items() if name in BACKBONE_OPTIONS}


def copy_backbone_weights(source: AutoencoderKLWan, target: nn.Module) -> None:
    """Copy every tensor of `source` into `target`, the same VAE with LoRA around some of its layers."""
    parameters = plain_state_dict(target, keep_vars=True)
    with torch.no_grad():
        for name, tensor in source.state_dict().items():
            parameters[name].copy_(tensor)
