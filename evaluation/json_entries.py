"""Annotation files in JSON: reading them, and checking their entries with messages that say where and why."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..training.data_errors import DataError
from .annotation_reading import path_inside, read_text

KINDS = {int: "a whole number", str: "a text", list: "a list", dict: "an object"}
"""How a message calls what an entry should hold."""

DEEPLY_NESTED = "it is nested too deeply"


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


def read_json_object(path: str | os.PathLike[str]) -> JsonEntry:
    """The one object of a JSON file. Raises PyraTokError, for wrong syntax with line and column."""
    file = os.fspath(path)
    text = read_text(file)
    try:
        return entry_of(file, "", json.loads(text))
    except json.JSONDecodeError as problem:
        raise DataError(
            f"{file!r}, line {problem.lineno}, column {problem.colno}: not valid JSON: {problem.msg}"
        ) from problem
    except RecursionError as problem:
        raise DataError(f"{file!r}: {DEEPLY_NESTED}") from problem


def read_json_lines(path: str | os.PathLike[str]) -> list[JsonEntry]:
    """The objects of a file with one per line, blank lines passed over. Raises PyraTokError with line and column."""
    file = os.fspath(path)
    entries = []
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as problem:
            raise DataError(
                f"{file!r}, line {number}, column {problem.colno}: not valid JSON: {problem.msg}"
            ) from problem
        except RecursionError as problem:
            raise DataError(f"{file!r}, line {number}: {DEEPLY_NESTED}") from problem
        entries.append(entry_of(file, f"line {number}", value))
    return entries
