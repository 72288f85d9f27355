"""The tokens of one clip with all that decoding them needs, and their file."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch

from .atomic_writing import atomic_path
from .bit_packing import pack_codes, packed_size, unpack_codes
from .errors import PyraTokError, TokenFileError
from .token_fields import check_caption, check_fingerprint, check_model_id, checked_codes, checked_fps, fps_from_pair
from .token_files import FORMAT_VERSION, read_token_file, seal, unseal
from .token_layout import MAX_TOKENS, TokenLayout
from .token_sequences import bits_of_sequence, checked_ids, codes_from_sequence, sequence_from_codes

if TYPE_CHECKING:
    from .modeling_pyratok import PyraTokModel

LAYOUT_FIELDS = ("video_size", "level_strides", "codebook_bits", "spatial_multiple")
FIELDS = {*LAYOUT_FIELDS, "version", "levels", "fps", "model_id", "weights_fingerprint", "caption"}
"""What the metadata of a file says, no more and no less."""


@dataclass(frozen=True, eq=False)
class VideoTokens:
    """The tokens of one clip.

    Args:
        video_codes: one integer tensor per level, (T_l, H_l, W_l) or (1, T_l, H_l, W_l) with values in
            [0, 2**codebook_bits), or None for a level that is left out; at least one level is there. They are kept as
            int64 (1, T_l, H_l, W_l) on the CPU, the shape that `PyraTokModel.decode` takes; memory is shared if they
            are of that kind already.
        video_size: (T, H, W) of the video before padding; it fixes the grids of the levels.
        fps: frames per second, an int, float or Fraction between 1e-6 and 1e6. Kept as the exact Fraction: 29.97 stays
            the binary number that Python writes 29.97, and Fraction(30000, 1001) stays what it is.
        level_strides: (t, s) of every level, those left out included.
        codebook_bits: bits per token, 1..62.
        model_id: Hub id or folder of the tokenizer, up to 320 bytes; None if it is not known.
        weights_fingerprint: SHA-256 of the tokenizer's tensors in hex; None if it is not known.
        caption: the text that the tokens were made with, up to 64 KiB of UTF-8, if any.
        spatial_multiple: what H and W were padded to a multiple of; None stands for the least common multiple of the
            strides, which is right unless the backbone is coarser than every level.

    Raises PyraTokError (a ValueError) with a sentence that names the wrong value.

    A file takes at most ceil(num_bits / 8) bytes plus 4 KiB, a caption of up to 512 bytes included if it has no
    quotes, backslashes or control characters, which take up to 7 bytes each. A longer caption adds its own length.
    """

    video_codes: tuple[torch.Tensor | None, ...] = field(repr=False)
    video_size: tuple[int, int, int]
    fps: Fraction | float
    level_strides: tuple[tuple[int, int], ...]
    codebook_bits: int
    model_id: str | None
    weights_fingerprint: str | None
    caption: str | None = None
    spatial_multiple: int | None = None

    def __post_init__(self) -> None:
        layout = self.layout
        object.__setattr__(self, "video_size", layout.video_size)
        object.__setattr__(self, "level_strides", layout.level_strides)
        object.__setattr__(self, "codebook_bits", layout.codebook_bits)
        object.__setattr__(self, "spatial_multiple", layout.spatial_multiple)
        object.__setattr__(self, "fps", checked_fps(self.fps))
        check_model_id(self.model_id)
        check_fingerprint(self.weights_fingerprint)
        check_caption(self.caption)
        object.__setattr__(self, "video_codes", checked_codes(self.video_codes, layout))

    def __eq__(self, other: object) -> bool:
        """Equal in every field, every code included: then their files have the same bytes."""
        if not isinstance(other, VideoTokens):
            return NotImplemented
        return self._metadata() == other._metadata() and all(
            torch.equal(self.video_codes[level - 1], other.video_codes[level - 1]) for level in self.levels
        )

    # The codes can be changed in place, so equal tokens may not stay equal: no hash.
    __hash__ = None

    @property
    def layout(self) -> TokenLayout:
        """Sizes, strides and bits; its `.grids` are the token grids of all levels."""
        return TokenLayout(self.video_size, self.level_strides, self.codebook_bits, self.spatial_multiple)

    @property
    def levels(self) -> tuple[int, ...]:
        """The levels that are there, ascending; 1 is the shallowest."""
        return tuple(level for level, codes in enumerate(self.video_codes, start=1) if codes is not None)

    @property
    def num_tokens(self) -> int:
        """Tokens of all levels that are there."""
        return sum(codes.numel() for codes in self.video_codes if codes is not None)

    @property
    def num_bits(self) -> int:
        """`num_tokens` times `codebook_bits`."""
        return self.num_tokens * self.codebook_bits

    @property
    def bits_per_pixel(self) -> float:
        """Bits of every token stored, those of padding included, per pixel of the true T x H x W video."""
        return self.num_bits / math.prod(self.video_size)

    def check_fits(self, model: "PyraTokModel", force: bool = False) -> None:
        """Raise TokenFileError unless `model` can decode these tokens.

        Strides, bits and padding must be the model's own. So must the weights: tokens of other weights, or of weights
        that are not known, decode to something else without any sign of it. Weights that the model has rounded to half
        precision are the same here: they decode to nearly the same. `force` lets others through.
        """
        config = model.config
        theirs = TokenLayout(self.video_size, config.level_strides, config.codebook_bits, config.spatial_multiple)
        for name in LAYOUT_FIELDS:
            if getattr(self, name) != getattr(theirs, name):
                raise TokenFileError(
                    f"this model cannot decode the tokens: they have {name} = {getattr(self, name)} and the model has "
                    f"{getattr(theirs, name)}; take the model that made them ({self.model_id!r})"
                )
        if not force and not model.has_fingerprint(self.weights_fingerprint):
            raise TokenFileError(
                f"the tokens were made by other weights (model {self.model_id!r}, fingerprint "
                f"{self.weights_fingerprint}) than this model's ({model.weights_fingerprint()}): take the "
                "model that made them, or force decoding"
            )

    def to_sequence(self, order: Sequence[int] | None = None) -> torch.Tensor:
        """One flat int64 sequence `<SOI> level <Q-SEP> level ...`, (num_tokens + number of levels,).

        `order` is a permutation of `levels`, (4, 3, 2, 1) for coarse to fine; None takes them ascending. SOI is
        2**codebook_bits and Q-SEP one more. Raises PyraTokError for another order.
        """
        order = self.levels if order is None else self.layout.check_levels(order, "order")
        if set(order) != set(self.levels):
            raise PyraTokError(f"order is a permutation of the levels that are there, {self.levels}; got {order}")
        return sequence_from_codes([self.video_codes[level - 1] for level in order], self.codebook_bits)

    @classmethod
    def from_sequence(
        cls,
        ids: torch.Tensor | Sequence[int],
        video_size: Sequence[int],
        level_strides: Sequence[Sequence[int]],
        order: Sequence[int] | None = None,
        *,
        codebook_bits: int | None = None,
        spatial_multiple: int | None = None,
        fps: Fraction | float = 24,
        model_id: str | None = None,
        weights_fingerprint: str | None = None,
        caption: str | None = None,
    ) -> "VideoTokens":
        """The tokens of a sequence that `to_sequence` made or a language model wrote: (n,) integers or a list.

        `order` names the levels in the order of the sequence; those it leaves out are None; without it all levels
        come, ascending. `codebook_bits` need not be given, for SOI, the first id, tells it. A sequence knows nothing
        of the other arguments: say them if they matter, fps above all.

        Raises PyraTokError if the number of ids, a separator or an id is wrong, naming its position.
        """
        ids = checked_ids(ids)
        bits = bits_of_sequence(ids) if codebook_bits is None else codebook_bits
        layout = TokenLayout(video_size, level_strides, bits, spatial_multiple)
        every = range(1, len(layout.level_strides) + 1)
        order = tuple(every) if order is None else layout.check_levels(order, "order")
        return cls(
            video_codes=codes_from_sequence(ids, layout, order),
            video_size=layout.video_size,
            fps=fps,
            level_strides=layout.level_strides,
            codebook_bits=layout.codebook_bits,
            model_id=model_id,
            weights_fingerprint=weights_fingerprint,
            caption=caption,
            spatial_multiple=layout.spatial_multiple,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all. Raises TokenFileError if the target cannot be written."""
        contents = self.to_bytes()
        with atomic_path(path, error=TokenFileError) as temporary:
            temporary.write_bytes(contents)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "VideoTokens":
        """Read a file that `save` wrote. Raises TokenFileError if it is anything else, damaged, cut or unreadable."""
        contents = read_token_file(path)
        try:
            return cls.from_bytes(contents)
        except TokenFileError as problem:
            raise TokenFileError(f"cannot read {os.fspath(path)!r}: {problem}") from problem

    def to_bytes(self) -> bytes:
        """The file as bytes; `token_files` describes them. Equal tokens give equal bytes."""
        packed = [
            (f"level_{level}", pack_codes(self.video_codes[level - 1], self.codebook_bits)) for level in self.levels
        ]
        return seal(self._metadata(), packed)

    @classmethod
    def from_bytes(cls, contents: bytes, max_tokens: int = MAX_TOKENS) -> "VideoTokens":
        """The tokens that `to_bytes` wrote.

        Raises TokenFileError for anything else, and for more than `max_tokens`, before they are unpacked: one of them takes 8
        bytes in memory, and in a file as little as a bit.
        """
        metadata, packed = unseal(contents)
        try:
            return cls._from_parts(metadata, packed, max_tokens)
        except TokenFileError:
            raise
        except (ValueError, RecursionError) as problem:  # the latter from quoting a value that is nested too deeply
            raise TokenFileError(f"the token file contradicts itself: {problem}") from problem

    def _metadata(self) -> dict[str, Any]:
        """All fields but the codes, in whole numbers and strings."""
        return {
            "version": FORMAT_VERSION,
            "video_size": list(self.video_size),
            "fps": [self.fps.numerator, self.fps.denominator],
            "levels": list(self.levels),
            "level_strides": [list(stride) for stride in self.level_strides],
            "codebook_bits": self.codebook_bits,
            "spatial_multiple": self.spatial_multiple,
            "model_id": self.model_id,
            "weights_fingerprint": self.weights_fingerprint,
            "caption": self.caption,
        }

    @classmethod
    def _from_parts(
        cls, metadata: dict[str, Any], packed: list[tuple[str, memoryview]], max_tokens: int
    ) -> "VideoTokens":
        """Rebuild the tokens; sizes are compared before anything is unpacked. Raises ValueError."""
        if metadata.keys() != FIELDS:
            raise TokenFileError(f"the token file's fields are {sorted(FIELDS)}, got {sorted(metadata)!r:.300}")
        layout = TokenLayout(*(metadata[name] for name in LAYOUT_FIELDS))
        levels = layout.check_levels(metadata["levels"], "levels")
        count = layout.count_tokens(levels)  # bounds the number that is unpacked below
        if count > max_tokens:
            raise TokenFileError(f"the token file holds {count} tokens, and {max_tokens} are allowed")
        sizes = [
            (f"level_{level}", packed_size(math.prod(layout.grids[level - 1]), layout.codebook_bits))
            for level in levels
        ]
        if sizes != [(name, len(data)) for name, data in packed]:
            raise TokenFileError("the token file's levels are not of the sizes that its video size asks for")
        codes: list[torch.Tensor | None] = [None] * len(layout.level_strides)
        for level, (_, data) in zip(levels, packed, strict=True):
            grid = layout.grids[level - 1]
            codes[level - 1] = unpack_codes(data, math.prod(grid), layout.codebook_bits).reshape(grid)
        tokens = cls(
            video_codes=tuple(codes),
            video_size=layout.video_size,
            fps=fps_from_pair(metadata["fps"]),
            level_strides=layout.level_strides,
            codebook_bits=layout.codebook_bits,
            model_id=metadata["model_id"],
            weights_fingerprint=metadata["weights_fingerprint"],
            caption=metadata["caption"],
            spatial_multiple=metadata["spatial_multiple"],
        )
        if tokens._metadata() != metadata:
            raise TokenFileError("the token file's fields are not in the form in which PyraTok writes them")
        return tokens
