"""A bar on stderr for work on many files."""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")


def progress_bar(description: str) -> Callable[[Sequence[Item]], Iterable[Item]]:
    """Goes through items with a bar on stderr while they are worked on, if somebody looks at it; it leaves nothing behind."""

    def go_through(items: Sequence[Item]) -> Iterable[Item]:
        is_watched = sys.stderr.isatty() and len(items) > 0
        return track(
            items, description=description, console=Console(stderr=True), transient=True, disable=not is_watched
        )

    return go_through
