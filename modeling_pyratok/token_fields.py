"""What the fields of a `VideoTokens` may hold. Every check raises PyraTokError with a sentence that names a value."""

import math
import re
from fractions import Fraction

import torch

from .errors import PyraTokError
from .token_layout import TokenLayout
from .token_sequences import INTEGER_DTYPES, soi_id

MAX_MODEL_ID_BYTES = 320
MAX_CAPTION_BYTES = 2**16
FASTEST = 1_000_000
"""Frames per second lie between 1 / FASTEST and FASTEST."""

MAX_FPS_DENOMINATOR = 2**80
"""Every float between 1 / FASTEST and FASTEST has a smaller one (2**72)."""


def checked_fps(fps: object) -> Fraction:
    """The exact value of `fps`."""
    if isinstance(fps, bool) or not isinstance(fps, int | float | Fraction):
        raise PyraTokError(f"fps is an int, a float or a Fraction, got {fps!r:.200}")
    if isinstance(fps, float) and not math.isfinite(fps):
        raise PyraTokError(f"fps is a finite number, got {fps}")
    exact = Fraction(fps)
    if not Fraction(1, FASTEST) <= exact <= FASTEST or exact.denominator > MAX_FPS_DENOMINATOR:
        raise PyraTokError(
            f"fps is a ratio of whole numbers between 1/{FASTEST} and {FASTEST} with a denominator of at most 2**80, "
            f"got {fps!r:.200}"
        )
    return exact


def fps_from_pair(pair: object) -> Fraction:
    """The fraction that stands in a file as [numerator, denominator]."""
    if not isinstance(pair, list) or [type(number) for number in pair] != [int, int] or pair[1] < 1:
        raise PyraTokError(f"fps is a pair of whole numbers above zero, got {pair!r:.200}")
    return Fraction(*pair)


def check_model_id(model_id: object) -> None:
    """None, or printable characters."""
    _check_text(model_id, "model_id", MAX_MODEL_ID_BYTES)
    if model_id is not None and not (model_id and model_id.isprintable()):
        raise PyraTokError(f"model_id is a Hub id or a folder in printable characters, got {model_id!r:.200}")


def check_caption(caption: object) -> None:
    """None, or any text that is not too long."""
    _check_text(caption, "caption", MAX_CAPTION_BYTES)


def check_fingerprint(fingerprint: object) -> None:
    """Raise PyraTokError unless `fingerprint` is None or a SHA-256 in lower-case hex."""
    if fingerprint is None:
        return
    if not isinstance(fingerprint, str) or not re.fullmatch("[0-9a-f]{64}", fingerprint):
        raise PyraTokError(f"weights_fingerprint is a SHA-256, 64 digits of 0-9 and a-f, got {fingerprint!r:.200}")


def checked_codes(video_codes: object, layout: TokenLayout) -> tuple[torch.Tensor | None, ...]:
    """The codes of every level as int64 (1, T_l, H_l, W_l) on the CPU, in range; None where a level is left out."""
    grids = layout.grids
    if not isinstance(video_codes, list | tuple) or len(video_codes) != len(grids):
        got = f"{len(video_codes)}" if isinstance(video_codes, list | tuple) else f"a {type(video_codes).__name__}"
        raise PyraTokError(f"video_codes is a tuple with one entry for each of the {len(grids)} levels, got {got}")
    levels = [level for level, codes in enumerate(video_codes, start=1) if codes is not None]
    if not levels:
        raise PyraTokError("video_codes holds at least one level, got None for all of them")
    layout.count_tokens(levels)
    return tuple(
        None if codes is None else _checked_level(codes, level, grids[level - 1], layout.codebook_bits)
        for level, codes in enumerate(video_codes, start=1)
    )


def _checked_level(codes: object, level: int, grid: tuple[int, int, int], codebook_bits: int) -> torch.Tensor:
    """The codes of one level as int64 (1, T_l, H_l, W_l) on the CPU."""
    if not isinstance(codes, torch.Tensor) or codes.dtype not in INTEGER_DTYPES:
        got = codes.dtype if isinstance(codes, torch.Tensor) else type(codes).__name__
        raise PyraTokError(f"the codes of level {level} are an integer tensor or None, got {got}")
    if tuple(codes.shape) not in (grid, (1, *grid)):
        raise PyraTokError(
            f"the codes of level {level} have the shape {grid} for this video size and these strides, "
            f"got {tuple(codes.shape)} (a file holds one clip: split a batch)"
        )
    codes = codes.detach().to("cpu", torch.int64).reshape(1, *grid)
    lowest, highest = (int(value) for value in codes.aminmax())
    if lowest < 0 or highest >= soi_id(codebook_bits):
        raise PyraTokError(
            f"the codes of level {level} have {codebook_bits} bits, so they lie in [0, {soi_id(codebook_bits)}), "
            f"got {lowest} to {highest}"
        )
    return codes


def _check_text(text: object, name: str, longest: int) -> None:
    """Raise PyraTokError unless `text` is None or a str of at most `longest` bytes in UTF-8."""
    if text is None:
        return
    if not isinstance(text, str):
        raise PyraTokError(f"{name} is a str or None, got {text!r:.200}")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as problem:
        raise PyraTokError(f"{name} holds half a surrogate pair, which is no text: {text!r:.200}") from problem
    if size > longest:
        raise PyraTokError(f"{name} has at most {longest} bytes in UTF-8, got {size}; shorten it")
