"""Pixels as files hold them (uint8, channels last) and as the model takes them (floats in [-1, 1], channels first)."""

import torch


def frames_to_values(frames: torch.Tensor) -> torch.Tensor:
    """uint8 (..., H, W, C) -> float32 (..., C, H, W) in [-1, 1]."""
    return frames.movedim(-1, -3).float() / 127.5 - 1


def values_to_frames(values: torch.Tensor) -> torch.Tensor:
    """Floats (..., C, H, W) in [-1, 1] -> uint8 (..., H, W, C), contiguous, rounded; what lies outside is clamped."""
    frames = ((values.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return frames.movedim(-3, -1).contiguous()
