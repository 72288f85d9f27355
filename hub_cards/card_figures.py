"""The figures of a model's card: the JSON files that PyraTok's commands wrote beside the model, and how they are printed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from ..modeling_pyratok.errors import PyraTokError

FIGURE_FILES = (
    "evaluation",
    "language",
    "generation",
    "understanding",
    "questions",
    "rate_distortion",
    "text_encoder",
)
"""JSON files that a card knows, by their names without extension; each is there or not."""

MAX_FIGURE_BYTES = 10_000_000
"""A file of figures that is larger is none."""

MARKDOWN_SIGNS = "\\`*_{}[]<>()#+-.!|&~$:@"
"""ASCII that Markdown, or the HTML within it, may take for more than text; a colon makes addresses into links."""


def read_figures(folder: Path) -> dict[str, Any]:
    """Name -> content of the figure files in `folder`, None for those that are not there. Raises PyraTokError."""
    return {name: _read(folder / f"{name}.json") for name in FIGURE_FILES}


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    if path.stat().st_size > MAX_FIGURE_BYTES:
        raise PyraTokError(f"{str(path)!r} has {path.stat().st_size:,} bytes: too many for figures")
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as problem:
        raise PyraTokError(f"the figures {str(path)!r} cannot be read: {problem}") from problem
    if not isinstance(found, dict):
        raise PyraTokError(f"the figures {str(path)!r} are no JSON object but a {type(found).__name__}")
    return found


def decibel(value: float) -> str:
    """26.40 dB."""
    return f"{value:.2f} dB"


def percent(value: float, digits: int = 1) -> str:
    """A share of 1."""
    return f"{value:.{digits}%}"


def count(value: float) -> str:
    """A whole number, 3,106."""
    return f"{value:,.0f}"


def millions(value: float) -> str:
    """So many millions, 9.4."""
    return f"{value / 1e6:.1f}"


def decimals(value: float, digits: int = 3) -> str:
    """A number with so many digits behind the point."""
    return f"{value:.{digits}f}"


def plain_text(value: Any) -> str:
    """Text from elsewhere, a name for example, as one line that Markdown shows as it is."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in str(value)).split())
    return "".join(f"&#{ord(sign)};" if sign in MARKDOWN_SIGNS else sign for sign in line)


def render(template: str, values: Mapping[str, Any], what: str) -> str:
    """Fill in a template. A value that is not there is an error, not a gap.

    Raises PyraTokError, which names `what` was rendered.
    """
    environment = SandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        db=decibel, percent=percent, count=count, millions=millions, decimals=decimals, plain=plain_text
    )
    try:
        return environment.from_string(template).render(**values)
    except Exception as problem:  # a template is code: whatever is wrong with it is said in one sentence
        raise PyraTokError(f"the template {what} cannot be filled in: {problem}") from problem
