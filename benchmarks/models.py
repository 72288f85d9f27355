"""The models that the benchmarks run."""

import torch
from diffusers import AutoencoderKLWan

from pyratok import PyraTokConfig, PyraTokModel
from pyratok.modeling_pyratok.lora import plain_state_dict
from pyratok.pipelines.bundled_model import BUNDLED_FOLDER


def small_model() -> PyraTokModel:
    """The bundled model."""
    return PyraTokModel.from_pretrained(BUNDLED_FOLDER).eval()


def full_size_model() -> PyraTokModel:
    """Wan 2.2's shapes with random weights, LoRA merged."""
    torch.manual_seed(0)
    model = PyraTokModel.from_backbone(AutoencoderKLWan(**PyraTokConfig().backbone_config))
    model.merge_lora()
    return model


def plain_vae(model: PyraTokModel) -> AutoencoderKLWan:
    """diffusers' own VAE with the weights that `model` acts with (LoRA merged)."""
    vae = AutoencoderKLWan(**model.config.backbone_config).eval()
    vae.load_state_dict(plain_state_dict(model.backbone))
    return vae
