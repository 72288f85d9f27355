"""Annotation files in JSON: reading them, and checking their entries with messages that say where and why."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..training.data_errors import DataError
from .annotation_reading import path_inside, read_text

KINDS = {int: "a whole number", str: "a text", list: "a list", dict: "an object"}
"""How a message calls what an entry should hold."""

PairsHook = Callable[[list[tuple[str, Any]]], dict[str, Any]]
"""The names and values of a JSON object, as they stand in the file -> the object."""


@dataclass(frozen=True)
class JsonEntry:
    """An object of a JSON file, with what errors call it.

    file: the path of the file. place: where the entry stands in it, such as "videos[3]" or "line 4"; "" for the whole.
    """

    file: str
    place: str
    values: dict[str, Any]

    @property
    def where(self) -> str:
        """The file and the place."""
        return f"{self.file!r}, {self.place}" if self.place else f"{self.file!r}"

    def problem(self, reason: str) -> DataError:
        """The error to raise: it names the file, the place and the reason."""
        return DataError(f"{self.where}: {reason}")

    def field(self, name: str, kind: type) -> Any:
        """The value of a field. Raises DataError if it is missing or not of `kind`, one of `KINDS`."""
        if name not in self.values:
            raise self.problem(f"{name!r} is missing")
        value = self.values[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.problem(f"{name!r} must be {KINDS[kind]}, got {value!r:.80}")
        return value

    def count(self, name: str) -> int:
        """A whole number from 1 on. Raises DataError."""
        value = self.field(name, int)
        if value < 1:
            raise self.problem(f"{name!r} must be at least 1, got {value}")
        return value

    def words(self, name: str) -> str:
        """A text that is not blank, without the blanks around it. Raises DataError."""
        text = self.field(name, str).strip()
        if not text:
            raise self.problem(f"{name!r} is blank")
        return text

    def entries(self, name: str) -> "list[JsonEntry]":
        """The objects of a list field, each with its place. Raises DataError."""
        place = f"{self.place}, {name}" if self.place else name
        return [entry_of(self.file, f"{place}[{index}]", item) for index, item in enumerate(self.field(name, list))]

    def path_in(self, folder: Path, name: str) -> Path:
        """The file that the text `name` stands for. Raises PyraTokError if it is outside `folder` or not there."""
        path = folder / path_inside(name, self.where)
        if not path.is_file():
            raise self.problem(f"the file {str(path)!r} does not exist")
        return path


def entry_of(file: str, place: str, value: object) -> JsonEntry:
    """`value` as an entry. Raises DataError if it is no JSON object."""
    entry = JsonEntry(file, place, {})
    if not isinstance(value, dict):
        raise entry.problem(f"an object is needed here, got {value!r:.80}")
    return JsonEntry(file, place, value)


def read_json(path: str | os.PathLike[str], pairs_hook: PairsHook | None = None) -> Any:
    """What a JSON file holds; `pairs_hook` makes its objects. Raises PyraTokError, for wrong syntax with line and column."""
    return _parsed(read_text(path), os.fspath(path), 1, pairs_hook)


def read_json_object(path: str | os.PathLike[str], pairs_hook: PairsHook | None = None) -> JsonEntry:
    """The one object of a JSON file. Raises PyraTokError as `read_json`, and if it holds anything else."""
    return entry_of(os.fspath(path), "", read_json(path, pairs_hook))


def read_json_lines(path: str | os.PathLike[str]) -> list[JsonEntry]:
    """The objects of a file with one per line, blank lines passed over. Raises PyraTokError as `read_json_object`."""
    file = os.fspath(path)
    lines = enumerate(read_text(file).split("\n"), start=1)
    return [entry_of(file, f"line {number}", _parsed(line, file, number)) for number, line in lines if line.strip()]


def _parsed(text: str, file: str, first_line: int, pairs_hook: PairsHook | None = None) -> Any:
    """What `text` holds, which begins in `first_line` of `file`. Raises DataError as `read_json`."""
    try:
        return json.loads(text, object_pairs_hook=pairs_hook)
    except json.JSONDecodeError as problem:
        line = first_line + problem.lineno - 1
        raise DataError(f"{file!r}, line {line}, column {problem.colno}: not valid JSON: {problem.msg}") from problem
    except RecursionError as problem:
        raise DataError(f"{file!r}, from line {first_line}: it is nested too deeply") from problem
    except ValueError as problem:  # of a number with thousands of digits
        raise DataError(f"{file!r}, from line {first_line}: {problem}") from problem
