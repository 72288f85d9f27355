"""How weights start when nothing is loaded; transformers calls this for every module that owns parameters."""

import math

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanRMS_norm
from torch import nn
from transformers import initialization as init

from .lapq import LaPQPyramid
from .level_fusion import LevelFusion


def initialize_module(module: nn.Module) -> None:
    """Initialise the parameters that `module` itself owns.

    Convolutions and linear layers start as torch starts them, except those marked `starts_at_zero`: the output of the text
    attention, the laterals into the decoder, and LoRA's second factor; and those marked `starts_as_reversal`: the codebook
    projection of a residual quantizer.
    """
    if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
        if getattr(module, "starts_at_zero", False):
            init.zeros_(module.weight)
        elif getattr(module, "starts_as_reversal", False):
            init.copy_(module.weight, torch.eye(module.in_features).flip(0))
        else:
            init.kaiming_uniform_(module.weight, a=math.sqrt(5))
        if module.bias is not None:
            if getattr(module, "starts_at_zero", False) or getattr(module, "starts_as_reversal", False):
                init.zeros_(module.bias)
            else:
                bound = 1 / math.sqrt(module.weight[0].numel())
                init.uniform_(module.bias, -bound, bound)
    elif isinstance(module, nn.MultiheadAttention):
        init.xavier_uniform_(module.in_proj_weight)
        init.zeros_(module.in_proj_bias)
    elif isinstance(module, nn.LayerNorm):
        init.ones_(module.weight)
        init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        init.normal_(module.weight, std=0.02)
    elif isinstance(module, WanRMS_norm):
        init.ones_(module.gamma)
    elif isinstance(module, LaPQPyramid):
        init.normal_(module.null_text, std=0.02)
    elif isinstance(module, LevelFusion):
        init.normal_(module.missing, std=0.02)
