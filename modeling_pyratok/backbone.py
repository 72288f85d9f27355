"""The encoder and the decoder of diffusers' `AutoencoderKLWan`, run chunk by chunk over explicit memories.

The weights and the modules are diffusers'; only the order of execution is ours, because `AutoencoderKLWan.encode` fixes the
chunk at four frames, drops trailing frames, clamps, and shows no features. A chunk is 1 + 4n frames at the start of a stream
and 4n frames later. Both Wan 2.1 (`is_residual=False`, flat lists of blocks) and Wan 2.2 layouts are walked.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    WanAttentionBlock,
    WanEncoder3d,
    WanMidBlock,
    WanResample,
    WanResidualBlock,
    WanResidualDownBlock,
    WanResidualUpBlock,
    WanUpBlock,
)
from torch import nn
from torch.utils.checkpoint import checkpoint

from .causal_layers import (
    Memory,
    attention_block,
    average_down,
    causal_conv,
    convolve,
    downsample,
    duplicate_up,
    norm_and_silu,
    residual_block,
    upsample,
)


def patchify(video: torch.Tensor, patch_size: int) -> torch.Tensor:
    """(B, T, C, H, W) -> (B, C * p * p, T, H / p, W / p), channels last, in diffusers' channel order (c, column, row)."""
    batch, frames, channels, height, width = video.shape
    video = video.reshape(batch, frames, channels, height // patch_size, patch_size, width // patch_size, patch_size)
    video = video.permute(0, 1, 3, 5, 2, 6, 4)  # (B, T, H / p, W / p, C, column, row)
    video = video.reshape(batch, frames, height // patch_size, width // patch_size, -1)
    return video.permute(0, 4, 1, 2, 3)


def unpatchify(patches: torch.Tensor, patch_size: int) -> torch.Tensor:
    """The inverse of `patchify`: (B, C * p * p, T, H / p, W / p) -> (B, T, C, H, W)."""
    batch, channels, frames, height, width = patches.shape
    patches = patches.permute(0, 2, 3, 4, 1).reshape(
        batch, frames, height, width, channels // patch_size**2, patch_size, patch_size
    )
    patches = patches.permute(0, 1, 4, 2, 6, 3, 5)  # (B, T, C, H / p, row, W / p, column)
    return patches.reshape(batch, frames, channels // patch_size**2, height * patch_size, width * patch_size)


def _checkpointed(owner: nn.Module, function: Callable, *args: Any) -> Any:
    """Recompute `function` in the backward pass if gradient checkpointing is on for `owner` (WanEncoder3d, WanDecoder3d)."""
    if owner.gradient_checkpointing and owner.training and torch.is_grad_enabled():
        return checkpoint(function, *args, use_reentrant=False)
    return function(*args)


def _run_layers(
    owner: nn.Module, layers: list[nn.Module], x: torch.Tensor, past: Memory
) -> tuple[torch.Tensor, Memory]:
    """Run a flat list of residual, attention and resampling layers."""
    past = past or (None,) * len(layers)
    memory = []
    for layer, layer_past in zip(layers, past, strict=True):
        if isinstance(layer, WanResidualBlock):
            x, layer_past = _checkpointed(owner, residual_block, layer, x, layer_past)
        elif isinstance(layer, WanAttentionBlock):
            x = _checkpointed(owner, attention_block, layer, x)
        elif layer.mode.startswith("down"):
            x, layer_past = _checkpointed(owner, downsample, layer, x, layer_past)
        else:
            x, layer_past = _checkpointed(owner, upsample, layer, x, layer_past)
        memory.append(layer_past)
    return x, tuple(memory)


def _mid_layers(mid_block: WanMidBlock) -> list[nn.Module]:
    layers: list[nn.Module] = [mid_block.resnets[0]]
    for attention, resnet in zip(mid_block.attentions, mid_block.resnets[1:], strict=True):
        layers += [attention, resnet]
    return layers


def _encoder_stages(encoder: WanEncoder3d) -> list[list[nn.Module]]:
    """The encoder's blocks by stage: each stage ends with a downsampling, the last one holds the rest and the mid block."""
    stages: list[list[nn.Module]] = [[]]
    for block in encoder.down_blocks:
        stages[-1].append(block)
        if isinstance(block, WanResample) or getattr(block, "downsampler", None) is not None:
            stages.append([])
    stages[-1].append(encoder.mid_block)
    return stages


def _encode_block(owner: nn.Module, block: nn.Module, x: torch.Tensor, past: Memory) -> tuple[torch.Tensor, Memory]:
    if isinstance(block, WanMidBlock):
        return _run_layers(owner, _mid_layers(block), x, past)
    if not isinstance(block, WanResidualDownBlock):
        return _run_layers(owner, [block], x, past)
    layers = list(block.resnets) + ([block.downsampler] if block.downsampler is not None else [])
    hidden, past = _run_layers(owner, layers, x, past)
    return hidden + average_down(block.avg_shortcut, x), past


def encode_features(
    vae: AutoencoderKLWan, video: torch.Tensor, memory: Memory, last_stage: int
) -> tuple[tuple[torch.Tensor, ...], Memory]:
    """Run the encoder on one chunk.

    Args:
        vae: the backbone.
        video: (B, T, C, H, W) in [-1, 1]; T is 1 + 4n where `memory` is None, else 4n.
        memory: what the call for the previous chunk returned; None at the start.
        last_stage: the deepest stage that is needed, from 1.

    Returns:
        The features after stages 1..last_stage, each (B, C_k, T_k, H_k, W_k), and the next memory. Stage k ends with the
        k-th downsampling; the last stage ends with the mid block.
    """
    encoder = vae.encoder
    past_in, past_stages = memory or (None, (None,) * last_stage)
    x, past_in = causal_conv(encoder.conv_in, patchify(video, vae.config.patch_size or 1), past_in)
    features, memories = [], []
    for blocks, past_blocks in zip(_encoder_stages(encoder)[:last_stage], past_stages, strict=True):
        stage_memory = []
        for block, past in zip(blocks, past_blocks or (None,) * len(blocks), strict=True):
            x, past = _encode_block(encoder, block, x, past)
            stage_memory.append(past)
        memories.append(tuple(stage_memory))
        features.append(x)
    return tuple(features), (past_in, tuple(memories))


def encode_posterior(vae: AutoencoderKLWan, features: torch.Tensor, memory: Memory) -> tuple[torch.Tensor, Memory]:
    """The VAE's own posterior (B, 2 * z_dim, T, H, W), mean and log variance, from the features of its last stage."""
    hidden, memory = causal_conv(vae.encoder.conv_out, norm_and_silu(vae.encoder.norm_out, features), memory)
    return convolve(vae.quant_conv, hidden), memory


def encode_features_and_latent(
    vae: AutoencoderKLWan, video: torch.Tensor, memory: Memory, last_stage: int
) -> tuple[tuple[torch.Tensor, ...], Memory]:
    """As `encode_features` down to the last stage, with the VAE's own latent (B, z_dim, T, H, W) behind the stages.

    The latent is the mode of the posterior; it is not normalised.
    """
    past_features, past_posterior = memory or (None, None)
    features, past_features = encode_features(vae, video, past_features, last_stage)
    posterior, past_posterior = encode_posterior(vae, features[-1], past_posterior)
    latent, _ = posterior.chunk(2, dim=1)
    return (*features, latent), (past_features, past_posterior)


def _decode_block(
    owner: nn.Module, block: WanResidualUpBlock | WanUpBlock, x: torch.Tensor, past: Memory
) -> tuple[torch.Tensor, Memory]:
    if isinstance(block, WanResidualUpBlock):
        upsampler, shortcut = block.upsampler, block.avg_shortcut
    else:
        upsampler, shortcut = (block.upsamplers[0] if block.upsamplers is not None else None), None
    layers = list(block.resnets) + ([upsampler] if upsampler is not None else [])
    hidden, next_past = _run_layers(owner, layers, x, past)
    if shortcut is not None:
        hidden = hidden + duplicate_up(shortcut, x, is_first=past is None)
    return hidden, next_past


def decode_latents(
    vae: AutoencoderKLWan, latents: torch.Tensor, laterals: Mapping[int, torch.Tensor], memory: Memory
) -> tuple[torch.Tensor, Memory]:
    """Run the decoder on one chunk.

    Args:
        vae: the backbone.
        latents: (B, z_dim, T, H, W), any T >= 1.
        laterals: by decoder stage, what is added to its features, in their shape. Stage 0 is the mid block, stage k the
            k-th up block.
        memory: what the call for the previous chunk returned; None at the start.

    Returns:
        Patches (B, 3 * p * p, T', H', W') that are not clamped, and the next memory. T' is 4T - 3 at the start, else 4T.
    """
    decoder = vae.decoder
    past_in, past_mid, past_blocks, past_out = memory or (None, None, (None,) * len(decoder.up_blocks), None)
    x = convolve(vae.post_quant_conv, latents.contiguous(memory_format=torch.channels_last_3d))
    x, past_in = causal_conv(decoder.conv_in, x, past_in)
    x, past_mid = _run_layers(decoder, _mid_layers(decoder.mid_block), x, past_mid)
    if 0 in laterals:
        x = x + laterals[0]
    memories = []
    for stage, (block, past) in enumerate(zip(decoder.up_blocks, past_blocks, strict=True), start=1):
        x, past = _decode_block(decoder, block, x, past)
        if stage in laterals:
            x = x + laterals[stage]
        memories.append(past)
    x, past_out = causal_conv(decoder.conv_out, norm_and_silu(decoder.norm_out, x), past_out)
    return x, (past_in, past_mid, tuple(memories), past_out)


def modules_without_use(vae: AutoencoderKLWan, last_stage: int, uses_latent: bool = False) -> list[nn.Module]:
    """Parts of the VAE that tokens do not pass through: encoder stages after the deepest that is tapped, and the posterior.

    With `uses_latent` all is used: the tokens are those of the VAE's own latent.
    """
    if uses_latent:
        return []
    stages = _encoder_stages(vae.encoder)
    deeper = [block for blocks in stages[last_stage:] for block in blocks]
    return [*deeper, vae.encoder.norm_out, vae.encoder.conv_out, vae.quant_conv]
