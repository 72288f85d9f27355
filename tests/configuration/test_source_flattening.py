"""Modules of a package become one file that does the same."""

import re
import runpy
import sys
from pathlib import Path

import pytest

from pyratok.configuration.source_flattening import FlatFile

BASE = '''"""Base."""

import math
from collections.abc import (
    Iterable,
)

LIMIT = 3


def _helper(values: Iterable[int]) -> str:
    return f"base {LIMIT} {_helper.__name__[:7]} {math.floor(sum(values))}"


class Base:
    limit = LIMIT

    def say(self) -> str:
        return _helper([1, 2])
'''

MIDDLE = '''"""Middle."""

from typing import TYPE_CHECKING

from ..one.base import LIMIT as MOST
from ..one.base import Base

if TYPE_CHECKING:
    from .top import Top

LIMIT = 5


def _helper(top: "Top | None" = None) -> str:
    # _helper of the middle
    return f"middle {LIMIT} {MOST}"


class Middle(Base):
    def tell(self) -> str:
        return _helper() + " " + self.say()
'''

TOP = '''"""Top."""

from . import aside as aside
from .middle import LIMIT, Middle


class Top(Middle):
    def all(self) -> str:
        return f"top {LIMIT} {self.limit} {self.tell()}"
'''

ASIDE = "import sys\n\nsys.flattened = True\n"


@pytest.fixture
def package(tmp_path) -> Path:
    for name, text in {"one/base": BASE, "two/middle": MIDDLE, "two/top": TOP, "two/aside": ASIDE}.items():
        (tmp_path / f"{name}.py").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


def test_it_does_what_the_modules_do(package, tmp_path):
    text = FlatFile([package / "two" / "top.py"]).text("All of it.")
    assert text.startswith('"""All of it."""\n\nfrom collections.abc import Iterable\n')
    assert text.index("# one/base.py") < text.index("# two/middle.py") < text.index("# two/top.py")
    assert not re.search(r"^\s*(from|import)\s+\.", text, re.MULTILINE)
    (tmp_path / "flat.py").write_text(text)
    names = runpy.run_path(str(tmp_path / "flat.py"))
    assert names["Top"]().all() == "top 5 3 middle 5 3 base 3 _helper 3"
    assert sys.__dict__.pop("flattened")
    assert names["_helper_of_middle"]() == "middle 5 3" and "# _helper_of_middle of the middle" in text


def test_what_lies_beside_is_imported(package):
    beside = FlatFile([package / "two" / "middle.py"])
    text = FlatFile([package / "two" / "top.py"], {"other": beside}).text("Top.")
    assert "from .other import (\n    LIMIT_of_middle,\n    Middle,\n)" in text
    assert "class Base" not in text and "top {LIMIT_of_middle}" in text


@pytest.mark.parametrize(
    ("module", "added", "said"),
    [
        ("two/middle", "def _x(_helper: int) -> int:\n    return _helper\n", "'_helper' with two meanings"),
        ("two/middle", "class Other:\n    def _helper(self) -> None: ...\n", "'_helper' with two meanings"),
        ("two/top", "from cmath import pi as math\n", "imports 'math' by"),
        ("two/top", "from json import dumps as Base\n", "'Base', which another module defines"),
    ],
)
def test_what_cannot_go_into_one_file_is_refused(package, module, added, said):
    path = package / f"{module}.py"
    path.write_text(path.read_text() + "\n\n" + added)
    with pytest.raises(ValueError, match=said):
        FlatFile([package / "two" / "top.py"]).text("All of it.")
