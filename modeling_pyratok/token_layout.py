"""The sizes that say how many tokens a clip has, checked and bounded before any token is touched."""

import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass

from ..configuration.configuration_pyratok import MAX_LEVELS
from .bit_packing import MAX_BITS
from .errors import PyraTokError
from .token_grids import TEMPORAL_STRIDE, level_grids, spatial_multiple_of

MAX_SIDE = 2**31 - 1
"""Frames, rows and columns of a video at most."""

MAX_SPATIAL_MULTIPLE = 2**16
MAX_TOKENS = 2**30
"""Tokens of one clip at most: 8 GiB as int64, some five hours of 640 x 360. Longer films go into several files."""


@dataclass(frozen=True)
class TokenLayout:
    """True size, strides and bits of a clip's tokens.

    Args:
        video_size: (T, H, W) before padding, each in 1..2**31 - 1.
        level_strides: one pair (t, s) for each of the 1 to 16 levels, shallowest first; t is 1, 2 or 4 frames.
        codebook_bits: bits per token, 1..62.
        spatial_multiple: what H and W are padded to a multiple of; None stands for the least common multiple of all s.

    Lists become tuples. Raises PyraTokError with a sentence that names the wrong value.
    """

    video_size: tuple[int, int, int]
    level_strides: tuple[tuple[int, int], ...]
    codebook_bits: int
    spatial_multiple: int | None = None

    def __post_init__(self) -> None:
        video_size = _items(self.video_size, "video_size", "three numbers (frames, height, width)")
        if len(video_size) != 3:
            raise PyraTokError(f"video_size is three numbers (frames, height, width), got {video_size!r:.200}")
        video_size = tuple(
            whole_number(size, f"the {name} in video_size", 1, MAX_SIDE)
            for size, name in zip(video_size, ("frame count", "height", "width"), strict=True)
        )
        strides = _items(self.level_strides, "level_strides", "one pair (t, s) per level")
        if not 1 <= len(strides) <= MAX_LEVELS:
            raise PyraTokError(f"level_strides has one pair for each of 1 to {MAX_LEVELS} levels, got {len(strides)}")
        strides = tuple(_checked_stride(pair, level) for level, pair in enumerate(strides, start=1))
        object.__setattr__(self, "video_size", video_size)
        object.__setattr__(self, "level_strides", strides)
        object.__setattr__(self, "codebook_bits", whole_number(self.codebook_bits, "codebook_bits", 1, MAX_BITS))
        object.__setattr__(self, "spatial_multiple", _checked_multiple(self.spatial_multiple, strides))

    @property
    def grids(self) -> tuple[tuple[int, int, int], ...]:
        """The token grid (T_l, H_l, W_l) of every level."""
        return level_grids(self.video_size, self.level_strides, self.spatial_multiple)

    def count_tokens(self, levels: Iterable[int]) -> int:
        """Tokens of the given levels (1 = shallowest). Raises PyraTokError if they are more than `MAX_TOKENS`."""
        grids = self.grids
        count = sum(math.prod(grids[level - 1]) for level in levels)
        if count > MAX_TOKENS:
            raise PyraTokError(
                f"a video of {' x '.join(map(str, self.video_size))} has {count} tokens in these levels and one clip "
                f"holds at most {MAX_TOKENS}; cut it into several clips"
            )
        return count

    def check_levels(self, levels: Iterable[int], name: str) -> tuple[int, ...]:
        """The levels as a tuple. Raises PyraTokError if there are none, or for a repeated or unknown level."""
        last = len(self.level_strides)
        checked = tuple(whole_number(level, f"a level in {name}", 1, last) for level in _items(levels, name, "levels"))
        if not checked or len(set(checked)) != len(checked):
            raise PyraTokError(f"{name} names at least one level of 1 to {last} and none twice, got {checked!r}")
        return checked


def whole_number(value: object, name: str, low: int, high: int) -> int:
    """`value` as an int. Raises PyraTokError unless it is a whole number (no bool, no float) in low..high."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or not low <= number <= high:
        raise PyraTokError(f"{name} is a whole number from {low} to {high}, got {value!r:.200}")
    return number


def _items(value: object, name: str, meaning: str) -> tuple:
    """A list or tuple as a tuple. Raises PyraTokError for anything else, a string for example."""
    if not isinstance(value, list | tuple):
        raise PyraTokError(f"{name} is a tuple of {meaning}, got {value!r:.200}")
    return tuple(value)


def _checked_stride(pair: object, level: int) -> tuple[int, int]:
    """The stride (t, s) of one level, with t a divisor of the backbone's temporal stride."""
    stride = _items(pair, f"the stride of level {level}", "two numbers (t, s)")
    if len(stride) != 2:
        raise PyraTokError(f"the stride of level {level} is a pair (t, s), got {stride!r:.200}")
    frames = whole_number(stride[0], f"the stride of level {level} in time", 1, TEMPORAL_STRIDE)
    if TEMPORAL_STRIDE % frames:
        raise PyraTokError(f"the stride of level {level} in time divides {TEMPORAL_STRIDE}, got {frames}")
    return frames, whole_number(stride[1], f"the stride of level {level} in space", 1, MAX_SPATIAL_MULTIPLE)


def _checked_multiple(multiple: object, strides: tuple[tuple[int, int], ...]) -> int:
    """The number that H and W are padded to a multiple of."""
    smallest = spatial_multiple_of(strides)
    if smallest > MAX_SPATIAL_MULTIPLE:
        raise PyraTokError(
            f"the spatial strides {[space for _, space in strides]} have no common multiple up to "
            f"{MAX_SPATIAL_MULTIPLE}; choose strides that divide each other"
        )
    if multiple is None:
        return smallest
    checked = whole_number(multiple, "spatial_multiple", 1, MAX_SPATIAL_MULTIPLE)
    if checked % smallest:
        raise PyraTokError(f"spatial_multiple is a multiple of {smallest}, which all strides divide; got {checked}")
    return checked
