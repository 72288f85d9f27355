"""A Sphinx extension: docstrings here write code and links as Markdown does, and autodoc wants reStructuredText.

It also keeps to what is ours: of inherited members those of PyraTok, of links to files outside docs/ the files themselves.
"""

import inspect
import re
from typing import Any

from sphinx.application import Sphinx

import pyratok

FENCE = re.compile(r"( *)```(\w*)")
LINK = re.compile(r"\[`~?([\w.]+)`\]")
OUTSIDE = re.compile(r"\]\((\.\./[^)#\s]+)(?:#[^)\s]*)?\)")


def with_code_blocks(lines: list[str]) -> list[str]:
    """Fenced blocks as code-block directives."""
    converted: list[str] = []
    inside = False
    for line in lines:
        fence = FENCE.fullmatch(line)
        if fence is None:
            converted.append(f"    {line}" if inside and line else line)
        elif inside:
            inside = False
            converted.append("")
        else:
            inside = True
            converted += ["", f"{fence[1]}.. code-block:: {fence[2] or 'text'}", ""]
    return converted


def linked(line: str) -> str:
    """[`Name`] as a link to what is public, and as code otherwise."""

    def role(found: re.Match) -> str:
        owner = found[1].split(".")[0]
        return f":py:obj:`~pyratok.{found[1]}`" if owner in pyratok.__all__ else f"``{found[1]}``"

    return LINK.sub(role, line)


def convert(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Runs before napoleon, which has the priority 500."""
    lines[:] = [linked(line) for line in with_code_blocks(lines)]


def keep_property(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Runs after napoleon, which takes the words before a colon in a property's docstring for its type."""
    if what == "property":
        lines[:] = [*inspect.cleandoc(obj.__doc__ or "").splitlines(), ""]


def skip_other_libraries(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Inherited members of torch, transformers and diffusers have documentation of their own."""
    if inspect.isbuiltin(obj):
        return True
    function = getattr(obj, "fget", obj)  # of a property
    home = getattr(function, "__module__", None) or getattr(
        getattr(obj, "__objclass__", None), "__module__", "pyratok"
    )
    return None if home.startswith("pyratok") else True


def link_files_outside(app: Sphinx, docname: str, source: list[str]) -> None:
    """On the site a link to a file of the repository that is no page leads to a copy of the file."""
    source[0] = OUTSIDE.sub(r"](path:\1)", source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", convert, priority=400)
    app.connect("autodoc-process-docstring", keep_property, priority=600)
    app.connect("autodoc-skip-member", skip_other_libraries)
    app.connect("source-read", link_files_outside)
    return {"parallel_read_safe": True}
