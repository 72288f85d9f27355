"""Spatial tiles for frames that are too large for memory, blended where they overlap.

A tile has its own memory of the past, so tiling and streaming combine. Features of tiles are blended before they are
quantized: codes cannot be.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Tile:
    """A window in pixels."""

    top: int
    left: int
    height: int
    width: int

    def crop(self, x: torch.Tensor, stride: int) -> torch.Tensor:
        """The tile's part of (..., H, W) given on a grid of `stride` pixels."""
        rows = slice(self.top // stride, (self.top + self.height) // stride)
        columns = slice(self.left // stride, (self.left + self.width) // stride)
        return x[..., rows, columns]


def _segments(size: int, tile: int, overlap: int, multiple: int) -> list[tuple[int, int]]:
    """(start, length) of equally spread segments of at most `tile` that cover `size` and overlap by at least `overlap`."""
    if size <= tile:
        return [(0, size)]
    count = math.ceil((size - overlap) / (tile - overlap))
    step = (size - tile) / (count - 1)
    # Rounding up keeps the last segment at the end; rounding moves a segment by less than `multiple`.
    return [
        (math.ceil(index * step / multiple) * multiple if index < count - 1 else size - tile, tile)
        for index in range(count)
    ]


def plan_tiles(
    height: int, width: int, tile_size: int | None, tile_overlap: int | None, multiple: int
) -> tuple[Tile, ...]:
    """Tiles that cover a padded frame.

    Args:
        height, width: of the padded frame, multiples of `multiple`.
        tile_size: largest side of a tile in pixels, a multiple of `multiple`; None for one tile.
        tile_overlap: least overlap of neighbours in pixels, a multiple of `multiple` below `tile_size`; by default a quarter of
            the tile.
        multiple: the configuration's `spatial_multiple`.

    Raises:
        ValueError: if a size does not fit the grid, or for an overlap without a size.
    """
    if tile_size is None:
        if tile_overlap is not None:
            raise ValueError(f"tile_overlap={tile_overlap} needs a tile_size; without one there are no tiles")
        return (Tile(0, 0, height, width),)
    if tile_size < 2 * multiple or tile_size % multiple:
        raise ValueError(f"tile_size must be a multiple of {multiple} and at least {2 * multiple}, got {tile_size}")
    if tile_overlap is None:
        tile_overlap = max(tile_size // 4 // multiple, 1) * multiple
    if not 0 < tile_overlap < tile_size or tile_overlap % multiple:
        raise ValueError(
            f"tile_overlap must be a multiple of {multiple} between {multiple} and tile_size={tile_size}, got {tile_overlap}"
        )
    rows = _segments(height, tile_size, tile_overlap, multiple)
    columns = _segments(width, tile_size, tile_overlap, multiple)
    return tuple(Tile(top, left, h, w) for top, h in rows for left, w in columns)


def _ramp(start: int, length: int, others: Sequence[tuple[int, int]], stride: int, like: torch.Tensor) -> torch.Tensor:
    """Weights along one axis: 1 inside, falling linearly towards an edge over the overlap with the neighbour there."""
    positions = torch.arange(length // stride, device=like.device, dtype=torch.float32) + 0.5
    weights = torch.ones_like(positions)
    before = max((s + n - start for s, n in others if s < start), default=0) // stride
    after = max((start + length - s for s, _ in others if s > start), default=0) // stride
    if before > 0:
        weights = torch.minimum(weights, positions / before)
    if after > 0:
        weights = torch.minimum(weights, (length // stride - positions) / after)
    return weights


def blend_tiles(parts: Sequence[torch.Tensor], tiles: Sequence[Tile], stride: int) -> torch.Tensor:
    """Join the tiles' tensors (..., h, w), given on a grid of `stride` pixels, into one (..., H, W)."""
    if len(tiles) == 1:
        return parts[0]
    height, width = max(t.top + t.height for t in tiles), max(t.left + t.width for t in tiles)
    rows = sorted({(t.top, t.height) for t in tiles})
    columns = sorted({(t.left, t.width) for t in tiles})
    joined = parts[0].new_zeros(*parts[0].shape[:-2], height // stride, width // stride)
    total = torch.zeros(height // stride, width // stride, device=joined.device)
    for part, tile in zip(parts, tiles, strict=True):
        weight = torch.outer(
            _ramp(tile.top, tile.height, rows, stride, part), _ramp(tile.left, tile.width, columns, stride, part)
        )
        tile.crop(joined, stride).add_(part * weight.to(part.dtype))
        tile.crop(total, stride).add_(weight)
    return joined / total.to(joined.dtype)
