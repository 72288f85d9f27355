"""A row of a dataset of tokens: what is in it, and the ids in it for a language model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..modeling_pyratok.errors import PyraTokError, TokenFileError
from ..modeling_pyratok.token_layout import MAX_TOKENS, whole_number
from ..modeling_pyratok.video_tokens import VideoTokens

MAX_ROW_BYTES = 2**30
"""Bytes of the token file in a row at most; a value of Parquet has no more than twice as many."""

MAX_OFFSET = 2**31


def row_of(name: str, contents: bytes, tokens: VideoTokens) -> dict[str, Any]:
    """The row of a clip: `contents` is its token file and `tokens` what that holds. Raises TokenFileError."""
    try:
        name.encode()
    except UnicodeEncodeError as problem:
        raise TokenFileError(f"the name {name!r} is no text in UTF-8; rename the file") from problem
    if len(contents) > MAX_ROW_BYTES:
        raise TokenFileError(
            f"{name!r} has {len(contents):,} bytes and a row takes {MAX_ROW_BYTES:,}; cut the film into several"
        )
    frames, height, width = tokens.video_size
    return {
        "name": name,
        "caption": tokens.caption,
        "fps": float(tokens.fps),
        "num_frames": frames,
        "height": height,
        "width": width,
        "num_tokens": tokens.num_tokens,
        "tokens": contents,
    }


def tokens_of_row(row: Mapping[str, Any]) -> VideoTokens:
    """The tokens in a row, checked as a token file is, and against what the row says of them, as far as it does.

    A row that says `num_tokens` is not unpacked if it holds more, so leaving rows out by that column bounds the memory.

    Raises TokenFileError with the row's name and the reason.
    """
    try:
        contents = row.get("tokens")
        if not isinstance(contents, bytes):
            raise TokenFileError(f"its `tokens` are the bytes of a token file, got a {type(contents).__name__}")
        tokens = VideoTokens.from_bytes(contents, _said(row, "num_tokens", MAX_TOKENS))
        frames, height, width = tokens.video_size
        found = {"num_tokens": tokens.num_tokens, "num_frames": frames, "height": height, "width": width}
        for column, value in found.items():
            if _said(row, column, value) != value:
                raise TokenFileError(f"it says {column} = {row[column]!r:.50} and its tokens say {value}")
    except TokenFileError as problem:
        raise TokenFileError(f"the row {row.get('name')!r:.200} cannot be used: {problem}") from problem
    return tokens


def _said(row: Mapping[str, Any], column: str, otherwise: int) -> int:
    """The number in a column; `otherwise` for a row without that column."""
    if column not in row:
        return otherwise
    try:
        return whole_number(row[column], f"the column {column}", 1, MAX_TOKENS * 2)
    except PyraTokError as problem:
        raise TokenFileError(str(problem)) from problem


def token_sequence(row: Mapping[str, Any], order: Sequence[int] | None = None, offset: int = 0) -> dict[str, Any]:
    """The ids of a row's tokens, `SOI level Q-SEP level ...`, for a language model: made for `map` of `datasets`.

    ```python
    rows = load_dataset("me/films", split="train", streaming=True)
    rows = rows.map(token_sequence, fn_kwargs={"order": (4, 3, 2, 1)})
    ```

    Args:
        row: of a dataset that `pyratok encode --push` or `write_token_dataset` made; at least its column `tokens`.
        order: the levels in the order of the sequence, (4, 3, 2, 1) for coarse to fine; ascending by default.
        offset: is added to every id, so that they can follow those of a text: the size of its vocabulary.

    Returns:
        `input_ids`, int64 (n,), and `length`, n = `num_tokens` + number of levels. `VideoTokens.from_sequence(input_ids -
        offset, ...)` goes back.

    Raises:
        TokenFileError: for a row whose tokens are damaged, too many, or not what it says, with its name and the reason.
        PyraTokError: for another order than one of the levels that are there, or a negative offset.
    """
    offset = whole_number(offset, "offset", 0, MAX_OFFSET)
    ids = tokens_of_row(row).to_sequence(order).numpy()
    return {"input_ids": ids + np.int64(offset), "length": len(ids)}
