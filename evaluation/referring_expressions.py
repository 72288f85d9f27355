"""Referring expressions for the objects of DAVIS 2017, in the files of Khoreva, Rohrbach and Schiele (2018).

A line is `sequence number "expression"`, such as `dance-twirl 1 "a woman in a white dress"`; one line for each object.
Of the published files one annotator's are in UTF-8 and the other's in Latin-1.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..modeling_pyratok.errors import system_reason
from ..training.data_errors import DataError

LINE = re.compile(r'(\S+)\s+(\d+)\s+"?(.*?)"?\s*')

OTHER_SPELLINGS = {"clasic-car": "classic-car", "dog-scale": "dogs-scale", "motor-bike": "motorbike"}
"""How the published files spell three sequences -> the names of their folders."""


@dataclass(frozen=True)
class Expression:
    """What refers to an object, and the line that it stands in."""

    text: str
    line: int


@dataclass(frozen=True)
class Expressions:
    """The expressions of a file."""

    file: str
    by_sequence: dict[str, dict[int, Expression]]
    """Sequence -> number of the object -> expression."""

    def of(self, sequence: str) -> dict[int, Expression]:
        """Those of one sequence, {} if it has none."""
        return self.by_sequence.get(sequence, {})


def read_referring_expressions(path: str | os.PathLike[str]) -> Expressions:
    """Every expression of a file. Raises DataError with the line if one cannot be understood or an object has two."""
    file = os.fspath(path)
    try:
        contents = Path(file).read_bytes()
    except OSError as problem:
        raise DataError(f"cannot read {file!r}: {system_reason(problem)}") from problem
    try:
        text = contents.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = contents.decode("latin-1")
    expressions: dict[str, dict[int, Expression]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        parts = LINE.fullmatch(line.strip())
        if parts is None or not parts[3].strip():
            raise DataError(
                f'{file!r}, line {number}: sequence number "expression" is needed, got {line.strip()!r:.80}'
            )
        of_sequence = expressions.setdefault(OTHER_SPELLINGS.get(parts[1], parts[1]), {})
        if int(parts[2]) in of_sequence:
            raise DataError(f"{file!r}, line {number}: object {parts[2]} of {parts[1]!r} has an expression before it")
        of_sequence[int(parts[2])] = Expression(parts[3].strip(), number)
    return Expressions(file, expressions)
