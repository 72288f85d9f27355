"""Errors as visitors see them: one sentence for what they can mend; for the rest no path and no traceback."""

import contextlib
import html
import logging
from collections.abc import Iterator

import gradio as gr

from pyratok import PyraTokError

logger = logging.getLogger("pyratok.space")

UNEXPECTED = "Something went wrong in the app, not with what you did. It is noted in the app's log."
NO_MEMORY = "There is not enough memory for this clip: give a shorter one."


@contextlib.contextmanager
def shown_errors() -> Iterator[None]:
    """Around a handler. Messages are shown as HTML, so what they quote is escaped."""
    try:
        yield
    except gr.Error:
        raise
    except PyraTokError as problem:
        raise shown(str(problem)) from None
    except Exception as problem:
        logger.exception("a handler failed")
        is_memory = isinstance(problem, MemoryError) or "allocate memory" in str(problem)
        raise shown(NO_MEMORY if is_memory else UNEXPECTED) from None


def shown(sentence: str) -> gr.Error:
    """The error to raise for a sentence."""
    return gr.Error(html.escape(" ".join(sentence.split()), quote=False), print_exception=False)
