"""Videos through the tokenizer piece by piece, so that a long film never sits in memory."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch

from ..modeling_pyratok.chunks import check_chunk_frames, chunk_bounds, level_bounds
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.input_checks import check_levels
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.outputs import PyraTokEncoderOutput
from ..modeling_pyratok.pixel_values import values_to_frames
from ..modeling_pyratok.token_fields import check_model_id
from ..modeling_pyratok.token_grids import TEMPORAL_STRIDE, padded_frames
from ..modeling_pyratok.video_tokens import VideoTokens

DEFAULT_FPS = 24
"""Frames per second of a video that does not say, an array for example."""


@dataclass(frozen=True)
class ReconstructedPiece:
    """A few frames of a stream and the tokens that they were decoded from."""

    video_values: torch.Tensor
    """(n, C, H, W) in [-1, 1], as the model gives them; n is a chunk's frames, and adds up to the video's."""
    video_codes: tuple[torch.Tensor | None, ...]
    """Per level (1, T_l, H_l, W_l), None for a level that is left out; they join along time."""

    @property
    def video_size(self) -> tuple[int, int, int]:
        """(n, H, W)."""
        return self.video_values.shape[0], *self.video_values.shape[2:]


def chosen_levels(model: PyraTokModel, levels: Iterable[int] | None) -> tuple[int, ...]:
    """`levels` (1..L; None for all), sorted: to be checked before the work of encoding.

    Raises ValueError for a level that is repeated or unknown, and if there is none.
    """
    num_levels = model.config.num_levels
    return check_levels(levels, (torch.empty(0),) * num_levels, num_levels)


def keep_levels(
    model: PyraTokModel, video_codes: Sequence[torch.Tensor | None], levels: Iterable[int] | None
) -> tuple[torch.Tensor | None, ...]:
    """The codes with None for every level not in `levels` (1..L; None keeps all).

    Raises ValueError for a level that is repeated, unknown or not there, and if there is none.
    """
    kept = check_levels(levels, video_codes, model.config.num_levels)
    return tuple(codes if level in kept else None for level, codes in enumerate(video_codes, start=1))


def recorded_id(id_or_folder: str | os.PathLike[str] | None) -> str | None:
    """The model's id as tokens can hold it; None for a folder whose name is too long, or no plain text."""
    name = os.fspath(id_or_folder or "")
    try:
        check_model_id(name)
    except PyraTokError:
        return None
    return name


def tokens_of(
    model: PyraTokModel,
    video_codes: Sequence[torch.Tensor | None],
    video_size: Sequence[int],
    fps: Fraction | float,
    model_id: str | None,
    caption: str | None,
) -> VideoTokens:
    """The codes of one video, per level (1, T_l, H_l, W_l) or None, with what this tokenizer says of them."""
    config = model.config
    return VideoTokens(
        video_codes=tuple(video_codes),
        video_size=tuple(video_size),
        fps=fps,
        level_strides=config.level_strides,
        codebook_bits=config.codebook_bits,
        model_id=model_id,
        weights_fingerprint=model.weights_fingerprint(),
        caption=caption,
        spatial_multiple=config.spatial_multiple,
    )


def reconstruct_stream(
    model: PyraTokModel,
    frames: Iterable[torch.Tensor],
    levels: Iterable[int] | None = None,
    text_embeds: torch.Tensor | None = None,
    text_mask: torch.Tensor | None = None,
    chunk_frames: int | None = 16,
    tile_size: int | None = None,
    tile_overlap: int | None = None,
) -> Iterator[ReconstructedPiece]:
    """Encode and decode frames as they come; frames are taken no further ahead than one chunk.

    Args:
        model: the tokenizer.
        frames: tensors (C, H, W) in [-1, 1].
        levels: the levels that are kept and decoded, 1..L in any order; all by default.
        text_embeds, text_mask, chunk_frames, tile_size, tile_overlap: as in `PyraTokModel.encode_stream`.

    Raises ValueError as `encode_stream` and `decode_stream` do.
    """
    wanted = chosen_levels(model, levels)
    encoded: deque[tuple[torch.Tensor | None, ...]] = deque()

    def pieces() -> Iterator[PyraTokEncoderOutput]:
        tiles = {"tile_size": tile_size, "tile_overlap": tile_overlap}
        for piece in model.encode_stream(frames, text_embeds, text_mask, chunk_frames=chunk_frames, **tiles):
            codes = keep_levels(model, piece.video_codes, wanted)
            encoded.append(codes)
            yield PyraTokEncoderOutput(video_codes=codes, video_size=piece.video_size)

    for values in model.decode_stream(pieces(), tile_size=tile_size, tile_overlap=tile_overlap):
        yield ReconstructedPiece(video_values=values, video_codes=encoded.popleft())


class TokenCollector:
    """Joins the tokens of a stream's pieces into the tokens of the clip; up to 31 bits they take 4 bytes meanwhile."""

    def __init__(self, model: PyraTokModel) -> None:
        self._config = model.config
        self._dtype = torch.int32 if model.config.codebook_bits <= 31 else torch.int64
        self._pieces: list[tuple[torch.Tensor | None, ...]] = []
        self._size = (0, 0, 0)

    def add(self, video_codes: Sequence[torch.Tensor | None], video_size: Sequence[int]) -> None:
        """Add the next piece: per level (1, T_l, H_l, W_l) or None, and its true (frames, H, W)."""
        self._pieces.append(tuple(None if codes is None else codes.to("cpu", self._dtype) for codes in video_codes))
        frames, height, width = video_size
        self._size = (self._size[0] + frames, height, width)

    def tokens(
        self,
        fps: Fraction | float,
        model_id: str | os.PathLike[str] | None,
        weights_fingerprint: str | None,
        caption: str | None = None,
    ) -> VideoTokens:
        """The tokens of all pieces. Raises PyraTokError if there was none."""
        return VideoTokens(
            video_codes=tuple(
                None if parts[0] is None else torch.cat(parts, dim=1) for parts in zip(*self._pieces, strict=True)
            ),
            video_size=self._size,
            fps=fps,
            level_strides=self._config.level_strides,
            codebook_bits=self._config.codebook_bits,
            model_id=recorded_id(model_id),
            weights_fingerprint=weights_fingerprint,
            caption=caption,
            spatial_multiple=self._config.spatial_multiple,
        )


def token_pieces(tokens: VideoTokens, chunk_frames: int | None = 16) -> Iterator[PyraTokEncoderOutput]:
    """A clip's tokens cut where `encode_stream` with this chunk length would have cut them, for `decode_stream`.

    Raises ValueError, when the first is taken, for a chunk length that is none.
    """
    check_chunk_frames(chunk_frames)
    frames, height, width = tokens.video_size
    latent_frames = 1 + (padded_frames(frames) - 1) // TEMPORAL_STRIDE
    chunk = None if chunk_frames is None else chunk_frames // TEMPORAL_STRIDE
    for start, end in chunk_bounds(latent_frames, chunk):
        codes = tuple(
            None if codes is None else codes[:, slice(*level_bounds(start, end, temporal))]
            for codes, (temporal, _) in zip(tokens.video_codes, tokens.level_strides, strict=True)
        )
        first, last = level_bounds(start, end, temporal_stride=1)
        yield PyraTokEncoderOutput(video_codes=codes, video_size=(min(last, frames) - first, height, width))


def decoded_frames(
    model: PyraTokModel,
    tokens: VideoTokens,
    levels: Iterable[int] | None = None,
    chunk_frames: int | None = 16,
    tile_size: int | None = None,
    tile_overlap: int | None = None,
) -> Iterator[torch.Tensor]:
    """The frames of a clip, uint8 (H, W, 3) on the CPU, decoded a chunk at a time; arguments as in `reconstruct_stream`."""
    pieces = token_pieces(tokens, chunk_frames)
    for values in model.decode_stream(pieces, levels, tile_size=tile_size, tile_overlap=tile_overlap):
        yield from values_to_frames(values).cpu()
