"""How well every place of a video fits a text, and the pixels that a place stands for."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from .text_alignment import PyraTokTextAlignment


@torch.no_grad()
def similarity_maps(
    alignment: PyraTokTextAlignment,
    video_codes: Sequence[torch.Tensor | None],
    pooled_text: torch.Tensor,
    levels: Sequence[int] | None = None,
) -> torch.Tensor:
    """How well the places of one video fit texts, in [-1, 1]: (K, T', H', W') on the grid of the alignment's features, float32.

    Args:
        alignment: puts tokens and texts into one space.
        video_codes: per level (1, T_l, H_l, W_l), None for a level that is not there.
        pooled_text: (K, text_hidden_size).
        levels: whose tokens count, 1..L; by default all that are there.

    Raises ValueError for levels that are unknown, repeated or not there.
    """
    pieces = [
        alignment.place_similarity(features[0], pooled_text)
        for features in alignment.feature_stream(video_codes, levels)
    ]  # (n, H', W', K) each
    return torch.cat(pieces).permute(3, 0, 1, 2)


def token_frames(frames: int, temporal_stride: int) -> torch.Tensor:
    """For each of T frames the index of the token frame that covers it: 0 for the first, then groups of `temporal_stride`."""
    return (torch.arange(frames) + temporal_stride - 1) // temporal_stride


def pixel_maps(
    maps: torch.Tensor,
    stride: Sequence[int],
    video_size: Sequence[int],
    start: int = 0,
    end: int | None = None,
) -> torch.Tensor:
    """Maps (K, T', H', W') of a grid of stride (t, s) at the frames start..end of the video: (K, end - start, H, W).

    In time a place stands for the frames that it covers; in space values are bilinear between the middles of places. What
    covers padding alone is cut.
    """
    frames, height, width = video_size
    temporal, spatial = stride
    chosen = token_frames(frames, temporal)[start : frames if end is None else end].to(maps.device)
    used = maps[:, chosen[0] : chosen[-1] + 1]
    size = (spatial * used.shape[2], spatial * used.shape[3])
    # Each moment by itself: with how many others it comes must not change how it is rounded.
    large = [F.interpolate(moment[:, None], size=size, mode="bilinear")[:, 0] for moment in used.unbind(1)]
    return torch.stack(large, dim=1)[:, chosen - chosen[0], :height, :width]


def otsu_threshold(values: torch.Tensor) -> torch.Tensor:
    """The threshold that splits each row's values into the two classes of least variance within (Otsu 1979).

    values: (K, ...) -> (K,), halfway between the two classes' nearest values. A row of equal values has no classes, and none of
    them stands out: its threshold is infinite.
    """
    ordered = values.flatten(1).double().sort(dim=1).values  # (K, N)
    count = ordered.shape[1]
    if count == 1:
        return torch.full_like(ordered[:, 0], torch.inf).to(values.dtype)
    below = torch.arange(1, count, device=values.device)
    sums = ordered.cumsum(dim=1)
    total = sums[:, -1:]
    low = sums[:, :-1] / below
    high = (total - sums[:, :-1]) / (count - below)
    between = below * (count - below) * (low - high).square()  # of the variance that the split explains
    best = between.argmax(dim=1, keepdim=True)
    split = ((ordered.gather(1, best) + ordered.gather(1, best + 1)) / 2)[:, 0]
    return split.where(ordered[:, -1] > ordered[:, 0], torch.inf).to(values.dtype)
