"""Writes the tables of settings in docs/training.md from `TrainingSettings`: `python docs/settings_table.py`.

What a setting means stands in the docstring of that class and its default in its fields, and nowhere else.
"""

import dataclasses
import inspect
import re
from pathlib import Path

from pyratok.training.settings import TrainingSettings

PAGE = Path(__file__).resolve().parent / "training.md"
PLACE = re.compile(r"(?<=<!-- settings: begin -->\n).*?(?=<!-- settings: end -->)", re.DOTALL)

SECTION = re.compile(r"([A-Z][^:]*):")
ENTRY = re.compile(r" {4}([a-z_]+(?:, [a-z_]+)*): (.*)")


def sections() -> dict[str, list[tuple[list[str], str]]]:
    """Heading -> (names, meaning) of each entry of the docstring."""
    found: dict[str, list[tuple[list[str], str]]] = {}
    for line in inspect.cleandoc(TrainingSettings.__doc__).splitlines():
        if heading := SECTION.fullmatch(line):
            found[heading[1]] = []
        elif entry := ENTRY.fullmatch(line):
            found[[*found][-1]].append((entry[1].split(", "), entry[2]))
        elif found and line.startswith(" " * 8):
            names, meaning = found[[*found][-1]].pop()
            found[[*found][-1]].append((names, f"{meaning} {line.strip()}"))
    return found


def default_of(field: dataclasses.Field) -> str:
    """A field's default as one writes it."""
    if field.default_factory is not dataclasses.MISSING:
        return f"`{field.default_factory()}`"
    return "has to be given" if field.default is dataclasses.MISSING else f"`{field.default}`"


def tables() -> str:
    """A heading and a table for each section."""
    fields = {field.name: field for field in dataclasses.fields(TrainingSettings)}
    lines = []
    for heading, entries in sections().items():
        lines += [f"\n**{heading}**\n", "| setting | default | |", "|---|---|---|"]
        for names, meaning in entries:
            defaults = ", ".join(default_of(fields[name]) for name in names)
            lines.append(
                f"| {', '.join(f'`{name}`' for name in names)} | {defaults} | {meaning.replace('|', chr(92) + '|')} |"
            )
    return "\n".join(lines) + "\n\n"


if __name__ == "__main__":
    page = PAGE.read_text("utf-8")
    PAGE.write_text(PLACE.sub(lambda _: tables(), page), "utf-8")
