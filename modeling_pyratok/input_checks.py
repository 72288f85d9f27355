"""Checks of what users hand to the model; every message says what was wrong, with which value, and what is right."""

from collections.abc import Iterable, Sequence

import torch

from .token_grids import TEMPORAL_STRIDE


def check_video(video: torch.Tensor) -> None:
    """Raises ValueError unless `video` is a floating point tensor (B, T, 3, H, W) without an empty dimension."""
    if not isinstance(video, torch.Tensor) or video.dim() != 5 or video.shape[2] != 3:
        shape = tuple(video.shape) if isinstance(video, torch.Tensor) else type(video).__name__
        raise ValueError(f"pixel_values_videos must be a tensor (batch, frames, 3, height, width), got {shape}")
    if not video.is_floating_point():
        raise ValueError(
            f"pixel_values_videos must be floating point in [-1, 1], got {video.dtype}; PyraTokVideoProcessor converts"
        )
    if not video.numel():
        raise ValueError(f"pixel_values_videos has an empty dimension: {tuple(video.shape)}")


def check_target(target: torch.Tensor, video: torch.Tensor) -> None:
    """Raises ValueError unless `target` is floating point and of the video's shape (B, T, 3, H, W)."""
    if target.shape != video.shape or not target.is_floating_point():
        raise ValueError(
            f"target_values must be floating point in [-1, 1] and {tuple(video.shape)} as pixel_values_videos, got "
            f"{target.dtype} {tuple(target.shape)}"
        )


def check_options(given: Iterable[str], known: Iterable[str]) -> None:
    """Raises TypeError for a name that is not known, so that none is misspelt without effect."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise TypeError(f"PyraTokModel has no argument {', '.join(unknown)}; see the documentation of `forward`")


def check_next_piece(size: Sequence[int], before: Sequence[int] | None) -> None:
    """Raises ValueError unless a piece of this (T, H, W) can come after a stream of the size `before`, None for none."""
    if before is None:
        return
    if tuple(size[1:]) != tuple(before[1:]):
        raise ValueError(
            f"all pieces of a stream must have one frame size, got {tuple(size[1:])} after {tuple(before[1:])} "
            "(height, width)"
        )
    if (before[0] - 1) % TEMPORAL_STRIDE:
        raise ValueError(
            f"another piece comes after {before[0]} frames, but only after 1 + {TEMPORAL_STRIDE}n frames a video can go "
            "on: a piece before it is short, or the end of another video"
        )


def check_text(embeds: torch.Tensor | None, mask: torch.Tensor | None, batch: int, width: int) -> None:
    """Raises ValueError unless text is absent, or (B, S, width) with an optional mask (B, S)."""
    if embeds is None:
        if mask is not None:
            raise ValueError("text_mask was given without text_embeds")
        return
    if embeds.dim() != 3 or embeds.shape[0] != batch or embeds.shape[1] == 0 or embeds.shape[2] != width:
        raise ValueError(f"text_embeds must be ({batch}, tokens, {width}), got {tuple(embeds.shape)}")
    if mask is not None and mask.shape != embeds.shape[:2]:
        raise ValueError(f"text_mask must be {tuple(embeds.shape[:2])} as text_embeds, got {tuple(mask.shape)}")


def check_levels(
    levels: Iterable[int] | None, codes: Sequence[torch.Tensor | None], num_levels: int
) -> tuple[int, ...]:
    """The levels to decode, sorted. Raises ValueError for repeats, numbers outside 1..L, missing codes, or none."""
    if len(codes) != num_levels:
        raise ValueError(
            f"video_codes needs one entry per level, {num_levels}, got {len(codes)}; left out levels are None"
        )
    if levels is None:
        levels = [level for level, entry in enumerate(codes, start=1) if entry is not None]
    if not isinstance(levels, Iterable):
        raise TypeError(f"levels are several numbers, such as (1, 4), got {levels!r}")
    levels = list(levels)
    if not levels:
        raise ValueError("at least one level is needed, got none")
    present = ", ".join(str(level) for level, entry in enumerate(codes, start=1) if entry is not None) or "none"
    for level in levels:
        if isinstance(level, bool) or not isinstance(level, int) or not 1 <= level <= num_levels:
            raise ValueError(f"levels are numbers from 1 to {num_levels}, got {level!r}")
        if codes[level - 1] is None:
            raise ValueError(f"level {level} is asked for, but video_codes holds None for it; there are {present}")
    if len(set(levels)) != len(levels):
        raise ValueError(f"each level can be named once, got {levels}")
    return tuple(sorted(levels))


def check_codes(
    codes: Sequence[torch.Tensor | None],
    levels: Iterable[int],
    grids: Sequence[tuple[int, int, int]],
    num_bits: int,
) -> None:
    """Raises ValueError unless the codes of `levels` are integers in [0, 2**num_bits) on the given grids, all in one batch."""
    batches = set()
    for level in levels:
        tensor, grid = codes[level - 1], grids[level - 1]
        if tensor.dim() != 4 or tuple(tensor.shape[1:]) != tuple(grid):
            raise ValueError(
                f"the codes of level {level} must be (batch, {', '.join(map(str, grid))}) for this video_size, "
                f"got {tuple(tensor.shape)}"
            )
        if tensor.is_floating_point() or tensor.dtype == torch.bool:
            raise ValueError(f"the codes of level {level} must be integers, got {tensor.dtype}")
        if not tensor.shape[0]:
            raise ValueError(f"the codes of level {level} are an empty batch: {tuple(tensor.shape)}")
        low, high = int(tensor.min()), int(tensor.max())
        if low < 0 or high >= 2**num_bits:
            raise ValueError(f"the codes of level {level} must lie in [0, {2**num_bits}), got {low} to {high}")
        batches.add(tensor.shape[0])
    if len(batches) > 1:
        raise ValueError(f"all levels must have one batch size, got {sorted(batches)}")


def check_present_levels(present: torch.Tensor, batch: int, num_levels: int) -> torch.Tensor:
    """`present` itself. Raises ValueError unless it is bool (batch, num_levels) and every sample has a level."""
    if present.dtype != torch.bool or tuple(present.shape) != (batch, num_levels):
        raise ValueError(
            f"present_levels must be bool ({batch}, {num_levels}), got {present.dtype} {tuple(present.shape)}"
        )
    if not present.any(dim=1).all():
        raise ValueError("present_levels leaves a sample without any level; at least one has to be decoded")
    return present
