"""Checkpoints of others with random weights: the authors' layout and Wan's own, and what the authors' model computes.

Everything here is written from what those layouts are, and uses nothing of PyraTok.
"""

import re

import torch
from diffusers import AutoencoderKLWan
from torch import nn

WAN_2_1 = {"base_dim": 96, "z_dim": 16, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2}
WAN_2_1 |= {"temperal_downsample": [False, True, True]}
TINY_2_1 = WAN_2_1 | {"base_dim": 8, "z_dim": 6}
TINY_2_2 = TINY_2_1 | {"decoder_base_dim": 16, "is_residual": True}
TINY_2_2 |= {"patch_size": 2, "in_channels": 12, "out_channels": 12, "scale_factor_spatial": 16}

RESIDUAL = {"norm1": "residual.0", "conv1": "residual.2", "norm2": "residual.3", "conv2": "residual.6"}
RESIDUAL |= {"conv_shortcut": "shortcut"}
MIDDLE = {"resnets.0": "0", "attentions.0": "1", "resnets.1": "2"}
OUTER = {"conv_in": "conv1", "norm_out": "head.0", "conv_out": "head.2"}
LATENT = {"quant_conv": "conv1", "post_quant_conv": "conv2"}


def random_vae(settings: dict, seed: int = 0) -> AutoencoderKLWan:
    """With norms as after training, and latents large enough for codes of all kinds."""
    torch.manual_seed(seed)
    vae = AutoencoderKLWan(**settings).eval()
    with torch.no_grad():
        for name, parameter in vae.named_parameters():
            if name.endswith("gamma"):
                parameter.uniform_(0.5, 1.5)
        vae.quant_conv.weight.mul_(10)
    return vae


def authors_checkpoint(
    vae: AutoencoderKLWan, text_width: int = 10, hidden: int = 8, width: int = 5, heads: int = 2, levels: int = 4
) -> dict[str, torch.Tensor]:
    """The tensors of the authors' layout around a VAE."""
    bits = vae.config.z_dim
    state = dict(vae.state_dict())
    text_map = nn.Sequential(nn.Linear(text_width, hidden), nn.SiLU(), nn.Linear(hidden, width))
    state |= {f"lapq_text_mlp.{name}": tensor for name, tensor in text_map.state_dict().items()}
    bitmask = 2 ** torch.arange(bits - 1, -1, -1)
    codebook = ((torch.arange(2**bits)[:, None] & bitmask) > 0).float() * 2 - 1
    for level in range(levels):
        layers = {
            "cross_attn": nn.MultiheadAttention(bits, heads, batch_first=True),
            "query_norm": nn.LayerNorm(bits),
            "text_context_norm": nn.LayerNorm(bits),
            "text_proj": nn.Linear(width, bits),
        }
        tensors = {f"{part}.{name}": t for part, layer in layers.items() for name, t in layer.state_dict().items()}
        tensors = {name: torch.randn_like(t) * 0.5 for name, t in tensors.items()}
        tensors |= {"bitmask": bitmask.clone(), "codebook": codebook.clone()}
        state |= {f"lapq_quantizer.layers.{level}.{name}": t for name, t in tensors.items()}
    return {name: tensor.detach().contiguous() for name, tensor in state.items()}


@torch.no_grad()
def authors_indices(
    state: dict[str, torch.Tensor],
    latent: torch.Tensor,
    text: torch.Tensor | None = None,
    scale: float = 0.0,
    heads: int = 2,
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Indices (B, T, H, W) of every level, and what is decoded (B, d, T, H, W), from the latent: one plain line for a step."""
    batch, bits = latent.shape[:2]
    residual, decoded, indices = latent, torch.zeros_like(latent), []
    for level in range(len([name for name in state if name.endswith("bitmask")])):
        layer = {n.split(".", 3)[3]: t for n, t in state.items() if n.startswith(f"lapq_quantizer.layers.{level}.")}
        quantized = residual
        if text is not None:
            mlp = {n.removeprefix("lapq_text_mlp."): t for n, t in state.items() if n.startswith("lapq_text_mlp.")}
            context = nn.functional.silu(text @ mlp["0.weight"].T + mlp["0.bias"]) @ mlp["2.weight"].T + mlp["2.bias"]
            context = context @ layer["text_proj.weight"].T + layer["text_proj.bias"]
            context = nn.functional.layer_norm(
                context, (bits,), layer["text_context_norm.weight"], layer["text_context_norm.bias"]
            )
            query = residual.permute(0, 2, 3, 4, 1).flatten(1, 3)
            query = nn.functional.layer_norm(query, (bits,), layer["query_norm.weight"], layer["query_norm.bias"])
            attention = nn.MultiheadAttention(bits, heads, batch_first=True)
            attention.load_state_dict(
                {n.removeprefix("cross_attn."): t for n, t in layer.items() if "cross_attn" in n}
            )
            attended = attention.train()(query, context, context)[0]  # in training mode torch takes its plain path
            quantized = residual + scale * attended.transpose(1, 2).reshape(residual.shape)
        signs = torch.where(quantized >= 0, 1.0, -1.0)
        indices.append(((signs > 0).long() * layer["bitmask"].view(1, -1, 1, 1, 1)).sum(dim=1))
        residual = residual - signs * 2.0**-level
        decoded = decoded + signs * 2.0**-level
    return indices, decoded


def wan_names(vae: AutoencoderKLWan) -> dict[str, torch.Tensor]:
    """The tensors of a VAE by the names of Wan's own checkpoints, 2.1 or 2.2."""
    return {_wan_name(name, vae.config.is_residual): tensor for name, tensor in vae.state_dict().items()}


def _wan_name(name: str, is_nested: bool) -> str:
    part, _, rest = name.partition(".")
    if part in LATENT:
        return f"{LATENT[part]}.{rest}"
    if rest.startswith("mid_block."):
        _, kind, index, layer = rest.split(".", 3)
        return f"{part}.middle.{MIDDLE[f'{kind}.{index}']}.{_in_block(layer)}"
    if not re.match(r"(down|up)_blocks", rest):
        layer, _, tail = rest.partition(".")
        return f"{part}.{OUTER[layer]}.{tail}"
    side, stage, tail = rest.split(".", 2)
    side = side.replace("_blocks", "samples")
    if side == "downsamples" and not is_nested:
        return f"{part}.{side}.{stage}.{_in_block(tail)}"
    blocks = 2 if side == "downsamples" else 3
    if tail.startswith("resnets."):
        _, block, layer = tail.split(".", 2)
    else:
        block, layer = str(blocks), re.sub(r"^(up|down)samplers?\.(0\.)?", "", tail)
    if is_nested:
        return f"{part}.{side}.{stage}.{side}.{block}.{_in_block(layer)}"
    return f"{part}.{side}.{int(stage) * (blocks + 1) + int(block)}.{_in_block(layer)}"


def _in_block(layer: str) -> str:
    head, _, tail = layer.partition(".")
    return f"{RESIDUAL[head]}.{tail}" if head in RESIDUAL else layer
