"""The figures of a model's card: the JSON files that PyraTok's commands wrote beside the model, and how they are printed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.json_objects import read_json_object

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

MAX_JSON_BYTES = 10_000_000
"""A file that is larger is no configuration and no figures."""

UNKNOWN = "not known"
"""What stands in the place of a figure that the command could not measure."""

MARKDOWN_SIGNS = "\\`*_{}[]<>()#+-.!|&~$:@"
"""ASCII that Markdown, or the HTML within it, may take for more than text; a colon makes addresses into links."""


def read_figures(folder: Path) -> dict[str, Any]:
    """Name -> content of the figure files in `folder`, None for those that are not there. Raises PyraTokError."""
    paths = {name: folder / f"{name}.json" for name in FIGURE_FILES}
    return {name: read_json(path) if path.is_file() else None for name, path in paths.items()}


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises PyraTokError if it is none, too large, or cannot be read."""
    try:
        return read_json_object(path, MAX_JSON_BYTES)
    except ValueError as problem:
        raise PyraTokError(f"{str(path)!r} cannot be read: {problem}") from problem


def decibel(value: float | None) -> str:
    """26.40 dB."""
    return UNKNOWN if value is None else f"{value:.2f} dB"


def percent(value: float | None, digits: int = 1) -> str:
    """A share of 1."""
    return UNKNOWN if value is None else f"{value:.{digits}%}"


def count(value: float | None) -> str:
    """A whole number, 3,106."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def millions(value: float | None) -> str:
    """So many millions, 9.4."""
    return UNKNOWN if value is None else f"{value / 1e6:.1f}"


def decimals(value: float | None, digits: int = 3) -> str:
    """A number with so many digits behind the point."""
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def plain_text(value: Any) -> str:
    """Text from elsewhere, a name for example, as one line that Markdown shows as it is."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in str(value)).split())
    return "".join(f"&#{ord(sign)};" if sign in MARKDOWN_SIGNS else sign for sign in line)


def literal(text: str) -> str:
    """The text as Python code, without line breaks or what Markdown and HTML would end the code at."""
    return json.dumps(text, ensure_ascii=False).replace("`", r"\u0060").replace("<", r"\u003c")


def render(template: str, values: Mapping[str, Any], what: str) -> str:
    """Fill in a template. A value that is not there is an error, not a gap; templates change nothing.

    Raises PyraTokError, which names `what` was rendered.
    """
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        db=decibel,
        percent=percent,
        count=count,
        millions=millions,
        decimals=decimals,
        plain=plain_text,
        literal=literal,
    )
    try:
        return environment.from_string(template).render(**values)
    except Exception as problem:  # a template is code: whatever is wrong with it is said in one sentence
        raise PyraTokError(f"the template {what} cannot be filled in: {problem}") from problem
