"""The layers of diffusers' Wan VAE as pure functions: (layer, input, what went before) -> (output, what to remember).

diffusers keeps the memory of its causal convolutions in lists that every layer mutates. Here each function takes its memory as
an argument and returns the next one, so a stream can be forked, checkpointed and resumed, and a chunk may have any length.
A memory is None before the first frame. Tensors are (B, C, T, H, W), stored channels last (`torch.channels_last_3d`): that is
the order in which norms, attention and the fast convolution kernels read them.
"""

from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    AvgDown3D,
    DupUp3D,
    WanAttentionBlock,
    WanCausalConv3d,
    WanResample,
    WanResidualBlock,
    WanRMS_norm,
)
from torch import nn

from .lora import effective_weight, plain_layer
from .winograd import winograd_convolution, winograd_pays

Memory = Any
"""A tensor, None, or a tuple of memories."""


def convolve(conv: nn.Module, window: torch.Tensor) -> torch.Tensor:
    """Convolve a (B, C, T, H, W) window that holds its past; pads space, not time, inside the kernel without a copy."""
    layer: WanCausalConv3d = plain_layer(conv)
    weight, padding = effective_weight(conv), (0, layer._padding[2], layer._padding[0])
    if _needs_onednn_by_name(window, weight):
        if winograd_pays(window, weight, layer.stride, padding):
            return winograd_convolution(window, weight, layer.bias)
        return torch.mkldnn_convolution(
            window, weight, layer.bias, padding, layer.stride, layer.dilation, layer.groups
        )
    return F.conv3d(window, weight, layer.bias, layer.stride, padding, layer.dilation, layer.groups)


def _needs_onednn_by_name(x: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether torch might take its slow convolution, whose output is not channels last either.

    In float32 on a CPU it leaves small inputs and small kernels to one that is several times slower than oneDNN's.
    """
    if torch.compiler.is_compiling():  # first: the compiler would cut its graph at some of the questions below
        return False
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
    )


def _zero_frames(x: torch.Tensor, count: int) -> torch.Tensor:
    """(B, C, count, H, W) zeros, channels last: what is concatenated with them takes their layout."""
    batch, channels, _, height, width = x.shape
    return x.new_zeros(batch, count, height, width, channels).permute(0, 4, 1, 2, 3)


def causal_conv(conv: nn.Module, x: torch.Tensor, past: Memory) -> tuple[torch.Tensor, Memory]:
    """A causal convolution with temporal stride 1; before the first frame lie zeros."""
    reach = plain_layer(conv).kernel_size[0] - 1
    if reach == 0:
        return convolve(conv, x), None
    if past is None:
        past = _zero_frames(x, reach)
    window = torch.cat([past, x], dim=2)
    # A view would keep the whole window alive between chunks.
    return convolve(conv, window), window[:, :, -reach:].clone()


def rms_norm(norm: WanRMS_norm, x: torch.Tensor) -> torch.Tensor:
    """Wan's norm over channels; the length is taken in float32 also for the half precisions."""
    length = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float32).clamp_min(1e-12)
    # One small tensor carries the whole scale, so that the large one is passed over as few times as possible. float16 cannot
    # hold the scale of a short vector: infinity times zero would be NaN.
    scale = norm.scale / length
    normalized = (x.float() * scale).to(x.dtype) if x.dtype == torch.float16 else x * scale.to(x.dtype)
    gamma = norm.gamma.to(x.dtype)
    if torch.is_grad_enabled():
        return normalized * gamma + norm.bias
    normalized *= gamma
    return normalized if isinstance(norm.bias, float) else normalized.add_(norm.bias)


def norm_and_silu(norm: WanRMS_norm, x: torch.Tensor) -> torch.Tensor:
    """The norm and the activation before every convolution of a block; in place where nothing is differentiated."""
    return F.silu(rms_norm(norm, x), inplace=not torch.is_grad_enabled())


def residual_block(block: WanResidualBlock, x: torch.Tensor, past: Memory) -> tuple[torch.Tensor, Memory]:
    """One residual block on one chunk (B, C, T, H, W), with the memories of its two causal convolutions."""
    past_1, past_2 = past or (None, None)
    shortcut = x if isinstance(block.conv_shortcut, nn.Identity) else convolve(block.conv_shortcut, x)
    hidden, past_1 = causal_conv(block.conv1, norm_and_silu(block.norm1, x), past_1)
    hidden = block.dropout(norm_and_silu(block.norm2, hidden))
    hidden, past_2 = causal_conv(block.conv2, hidden, past_2)
    if torch.is_grad_enabled():
        return hidden + shortcut, (past_1, past_2)
    return hidden.add_(shortcut), (past_1, past_2)


def frames_as_images(x: torch.Tensor) -> torch.Tensor:
    """(B, C, T, H, W) -> (B * T, C, H, W), channels last; a view where the layout allows it."""
    batch, channels, frames, height, width = x.shape
    x = x.permute(0, 2, 3, 4, 1).reshape(batch * frames, height, width, channels)
    return x.permute(0, 3, 1, 2)


def images_as_frames(x: torch.Tensor, batch: int) -> torch.Tensor:
    """(B * T, C, H, W) -> (B, C, T, H, W), channels last."""
    _, channels, height, width = x.shape
    x = x.permute(0, 2, 3, 1).reshape(batch, -1, height, width, channels)
    return x.permute(0, 4, 1, 2, 3)


def _convolve_frames(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """A convolution over space alone of (B, C, T, H, W)."""
    layer: nn.Conv2d = plain_layer(conv)
    one_frame_long = layer.weight.unsqueeze(2)
    if _needs_onednn_by_name(x, one_frame_long) and winograd_pays(
        x, one_frame_long, (1, *layer.stride), (0, *layer.padding)
    ):
        return winograd_convolution(x, effective_weight(conv).unsqueeze(2), layer.bias)
    return images_as_frames(conv(frames_as_images(x)), x.shape[0])


def attention_block(block: WanAttentionBlock, x: torch.Tensor) -> torch.Tensor:
    """Single-head attention within each frame, so nothing looks ahead."""
    images = frames_as_images(x)
    count, channels, height, width = images.shape
    query_key_value = block.to_qkv(rms_norm(block.norm, images))  # (B T, 3C, H, W)
    query_key_value = query_key_value.permute(0, 2, 3, 1).reshape(count, 1, height * width, 3 * channels)
    attended = F.scaled_dot_product_attention(*query_key_value.chunk(3, dim=-1))
    attended = attended.reshape(count, height, width, channels).permute(0, 3, 1, 2)
    return x + images_as_frames(block.proj(attended), x.shape[0])


def downsample(resample: WanResample, x: torch.Tensor, past: Memory) -> tuple[torch.Tensor, Memory]:
    """Halve space and, for "downsample3d", time: 1 + 2n frames at the start of a stream give 1 + n, later 2n give n."""
    x = images_as_frames(resample.resample(frames_as_images(x)), x.shape[0])
    if resample.mode != "downsample3d":
        return x, None
    last = x[:, :, -1:].clone()
    if past is not None:
        return convolve(resample.time_conv, torch.cat([past, x], dim=2)), last
    if x.shape[2] == 1:
        return x, last
    return torch.cat([x[:, :, :1], convolve(resample.time_conv, x)], dim=2), last


def upsample(resample: WanResample, x: torch.Tensor, past: Memory) -> tuple[torch.Tensor, Memory]:
    """Double space and, for "upsample3d", time: the first frame of a stream stays one frame, each later one becomes two."""
    if resample.mode == "upsample3d":
        first, rest = (x[:, :, :1], x[:, :, 1:]) if past is None else (None, x)
        if past is None:
            # The first frame is not part of the memory: Wan was trained with zeros in its place.
            past = _zero_frames(x, 2)
        if rest.shape[2]:
            rest, past = causal_conv(resample.time_conv, rest, past)
            batch, channels, frames, height, width = rest.shape
            pairs = rest.permute(0, 2, 3, 4, 1).reshape(batch, frames, height, width, 2, channels // 2)
            pairs = pairs.permute(0, 1, 4, 2, 3, 5).reshape(batch, 2 * frames, height, width, channels // 2)
            rest = pairs.permute(0, 4, 1, 2, 3)
        x = rest if first is None else torch.cat([first, rest], dim=2)
    enlarge, conv = resample.resample
    return _convolve_frames(conv, images_as_frames(enlarge(frames_as_images(x)), x.shape[0])), past


def average_down(shortcut: AvgDown3D, x: torch.Tensor) -> torch.Tensor:
    """The shortcut of a residual down block: space-time blocks averaged in groups of channels.

    At the start of a stream (an odd number of frames) a zero frame stands before the first, as in diffusers.
    """
    time, space, group = shortcut.factor_t, shortcut.factor_s, shortcut.group_size
    if shortcut.factor == 1 and group == 1:
        return x
    if group % (space * space) or group > space * space * time:
        return shortcut(x)
    if space > 1:
        # The pooling over frames and not over (T, H, W): torch's three-dimensional one has no half precision on CPUs.
        x = images_as_frames(F.avg_pool2d(frames_as_images(x), space), x.shape[0])
    missing = -x.shape[2] % time
    x = F.pad(x, (0, 0, 0, 0, missing, 0)) if missing else x
    batch, channels, frames, height, width = x.shape
    frames_per_group = group // (space * space)
    x = x.permute(0, 2, 3, 4, 1).reshape(
        batch, frames // time, time // frames_per_group, frames_per_group, height, width, channels
    )
    x = x.mean(dim=3) if frames_per_group > 1 else x.squeeze(3)  # (B, T', groups in time, H, W, C)
    x = x.permute(0, 1, 3, 4, 5, 2).reshape(batch, frames // time, height, width, shortcut.out_channels)
    return x.permute(0, 4, 1, 2, 3)


def duplicate_up(shortcut: DupUp3D, x: torch.Tensor, is_first: bool) -> torch.Tensor:
    """The shortcut of a residual up block: every value repeated over the block that it grows into.

    The channel that a position (i, j, k) of the block reads is given by the leading part of the index, see diffusers' DupUp3D.
    """
    time, space = shortcut.factor_t, shortcut.factor_s
    own = shortcut.factor // shortcut.repeats  # distinct input channels per output channel
    own_time = min(own, time)
    own_height = min(own // own_time, space)
    own_width = own // own_time // own_height
    batch, _, frames, height, width = x.shape
    x = x.permute(0, 2, 3, 4, 1).reshape(
        batch, frames, height, width, shortcut.out_channels, own_time, own_height, own_width
    )
    x = x.permute(0, 1, 5, 2, 6, 3, 7, 4)  # (B, T, i, H, j, W, k, C)
    x = x.expand(batch, frames, time, height, space, width, space, shortcut.out_channels)
    x = x.reshape(batch, frames * time, height * space, width * space, shortcut.out_channels)
    x = x.permute(0, 4, 1, 2, 3)
    return x[:, :, time - 1 :] if is_first else x
