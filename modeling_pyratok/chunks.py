"""Where a video is cut into chunks: the first holds one frame and `chunk_frames` more, later ones `chunk_frames`.

Offline and streaming code share these cuts; that is why they compute the same thing.
"""

from collections.abc import Iterable, Iterator

import torch

from .token_grids import TEMPORAL_STRIDE, pad_space, padded_frames


def check_chunk_frames(chunk_frames: int | None) -> None:
    """Raises ValueError unless `chunk_frames` is a positive multiple of 4, or None for the whole video at once."""
    if chunk_frames is not None and (chunk_frames < TEMPORAL_STRIDE or chunk_frames % TEMPORAL_STRIDE):
        raise ValueError(
            f"chunk_frames must be a positive multiple of {TEMPORAL_STRIDE}, or None for the whole video, got {chunk_frames}"
        )


def chunk_bounds(length: int, chunk: int | None) -> Iterator[tuple[int, int]]:
    """(start, end) of the chunks of `length` items: 1 + chunk first, then `chunk`; None makes one chunk."""
    start, end = 0, length if chunk is None else min(1 + chunk, length)
    while start < length:
        yield start, end
        start, end = end, min(end + (chunk or 0), length)


def level_bounds(start: int, end: int, temporal_stride: int) -> tuple[int, int]:
    """The token frames of a level that belong to the latent frames start..end."""
    per_latent = TEMPORAL_STRIDE // temporal_stride
    return (0 if start == 0 else 1 + (start - 1) * per_latent), 1 + (end - 1) * per_latent


def pad_chunk(video: torch.Tensor, is_first: bool, spatial_multiple: int) -> torch.Tensor:
    """Complete the last group of frames of (B, T, C, H, W) with copies of the last frame, and pad space by reflection."""
    frames = video.shape[1]
    target = padded_frames(frames) if is_first else padded_frames(frames + 1) - 1
    if target > frames:
        video = torch.cat([video, video[:, -1:].expand(-1, target - frames, -1, -1, -1)], dim=1)
    return pad_space(video, spatial_multiple)


def chunks_of_stream(frames: Iterable[torch.Tensor], chunk_frames: int | None) -> Iterator[torch.Tensor]:
    """Gather (C, H, W) or (n, C, H, W) tensors into chunks (1, T, C, H, W); at most one chunk and one tensor are held.

    Raises:
        ValueError: for a tensor of another shape than the first or not of floating point, or if there is no frame.
    """
    held: list[torch.Tensor] = []
    count, wanted, shape, any_frame = 0, None if chunk_frames is None else 1 + chunk_frames, None, False
    for piece in frames:
        piece = piece.unsqueeze(0) if piece.dim() == 3 else piece
        if piece.dim() != 4 or piece.shape[1] != 3:
            raise ValueError(
                f"a stream holds tensors (3, H, W) or (n, 3, H, W), got one of shape {tuple(piece.shape)}"
            )
        if not piece.is_floating_point():
            raise ValueError(f"a stream holds floating point frames in [-1, 1], got {piece.dtype}")
        shape = shape or piece.shape[1:]
        if piece.shape[1:] != shape:
            raise ValueError(
                f"all frames of a stream must have one size, got {tuple(piece.shape[1:])} after {tuple(shape)}"
            )
        while wanted is not None and count + piece.shape[0] >= wanted:
            held.append(piece[: wanted - count])
            piece = piece[wanted - count :]
            yield torch.cat(held)[None]
            held, count, wanted, any_frame = [], 0, chunk_frames, True
        if piece.shape[0]:
            held.append(piece)
            count, any_frame = count + piece.shape[0], True
    if count:
        yield torch.cat(held)[None]
    elif not any_frame:
        raise ValueError("the stream has no frames; a video needs at least one")
