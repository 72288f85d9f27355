"""Libraries that only some uses need, and what to say when one is missing."""

import contextlib
from collections.abc import Iterator

from .errors import PyraTokError


@contextlib.contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Around imports: a library that is missing becomes a PyraTokError that names the extra which brings it."""
    try:
        yield
    except ModuleNotFoundError as problem:
        raise PyraTokError(
            f"this needs {problem.name}, which is not installed; install pyratok with its extra `{extra}`"
        ) from problem
