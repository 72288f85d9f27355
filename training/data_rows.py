"""One row of data, wherever it comes from."""

from typing import TypedDict


class Row(TypedDict):
    """media: the bytes of a video or picture, or its path or address. caption: None if there is none.

    name: says in every run which sample this is. problem: why it cannot be used, None if nothing is wrong with it so far.
    """

    media: bytes | str
    name: str
    caption: str | None
    problem: str | None


def checked_row(media: bytes | str, name: str, caption: object = None, problem: str | None = None) -> Row:
    """A row, with a problem if its caption is no text. An empty caption is none."""
    if caption is not None and not isinstance(caption, str):
        problem = problem or f"its caption is not a text but of type {type(caption).__name__}: {str(caption)[:40]}"
        caption = None
    return Row(media=media, name=name, caption=caption or None, problem=problem)
