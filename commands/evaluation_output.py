"""What the tasks of `pyratok evaluate` do alike: choose files, write the JSON, print tables and what was left out."""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.table import Table

from ..modeling_pyratok.atomic_writing import atomic_path
from ..modeling_pyratok.errors import PyraTokError
from .tables import show, two_columns

Item = TypeVar("Item")

Data = Annotated[str, typer.Option("--data", "-d", help="The folder with the benchmark's videos or frames.")]
JsonFile = Annotated[
    str | None, typer.Option("--json", help="Write all figures, those of each item too, into this file.")
]
MaxClips = Annotated[
    int | None, typer.Option("--max-clips", min=1, help="Measure this many videos, spread evenly over all.")
]

Fold = Annotated[
    int | None,
    typer.Option("--fold", min=1, max=3, help="ucf-101: which of its three ways to split the videos. Default: 1."),
]


def spread(items: Sequence[Item], count: int | None) -> tuple[Item, ...]:
    """At most `count` of the items, spread evenly over all; None for all."""
    count = len(items) if count is None else min(count, len(items))
    return tuple(items[index * len(items) // count] for index in range(count))


def check_targets(**options: str | None) -> None:
    """Raises PyraTokError if two options name one file, for then one of two results would be lost."""
    seen: dict[Path, str] = {}
    for option, name in options.items():
        if name is not None and (first := seen.setdefault(Path(name).resolve(), option)) != option:
            raise PyraTokError(f"--{first} and --{option.replace('_', '-')} are one file, {name!r}; give two names")


def needed(annotations: str | None, benchmark: str) -> str:
    """The annotations. Raises PyraTokError if the benchmark needs some and there are none."""
    if annotations is None:
        raise PyraTokError(f"--benchmark {benchmark} needs --annotations; `--help` says what they are")
    return annotations


def not_needed(annotations: str | None, benchmark: str, others: Sequence[str]) -> None:
    """Raises PyraTokError if there are annotations; the benchmark has none, only `others` have."""
    if annotations is not None:
        known = f"{', '.join(others[:-1])} or {others[-1]}"
        raise PyraTokError(f"--annotations needs --benchmark {known}; {benchmark} takes none")


@contextlib.contextmanager
def json_target(json_file: str | None) -> Iterator[Path | None]:
    """A file to write the record into, which becomes `json_file` at the end; that it can be written is known beforehand."""
    with atomic_path(json_file) if json_file is not None else contextlib.nullcontext() as temporary:
        yield temporary


def write_record(target: Path | None, record: Mapping[str, Any], model: str, data: str) -> None:
    """Write the figures as JSON, with what was measured on what."""
    if target is not None:
        content = {"model": model, "data": Path(data).name, **record}
        target.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", "utf-8")


def figures_table(title: str, figures: Mapping[str, str]) -> Table:
    """A table of names and values."""
    table = two_columns(title)
    for name, value in figures.items():
        table.add_row(name, value)
    return table


def absent(names: Iterable[str]) -> dict[str, str]:
    """Videos that the annotations name and whose files are not there, with that as the reason to leave them out."""
    return dict.fromkeys(names, "its file is not there")


def report(tables: Sequence[Table], left_out: Mapping[str, str], *written: str | None) -> None:
    """Print the tables, what was left out and why, and which files were written."""
    for table in tables:
        show(table)
    for name, reason in left_out.items():
        typer.echo(f"left out: {name}: {reason}", err=True)
    for file in written:
        if file is not None:
            typer.echo(f"wrote {file}")
