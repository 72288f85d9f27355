"""Commands that pages show and no test runs: that what they name is there, and that their arguments are taken.

Nothing is executed: `pyratok` commands are parsed by the command line itself, scripts up to where they have parsed their
arguments (`parse_script_arguments.py`).
"""

import itertools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from markdown_pages import FENCE, Block, blocks

import pyratok
from pyratok.commands.app import app

ROOT = Path(pyratok.__file__).resolve().parent
PARSE_ARGUMENTS = Path(__file__).with_name("parse_script_arguments.py")

PROMPT, CODE_PROMPTS = "$ ", (">>> ", "... ")
IN_LINE = re.compile(r"`((?:pyratok|python|accelerate launch) [^`\n]+)`")
LEFT_OUT = "..."
"""Stands in a command for arguments that a page does not spell out."""


@dataclass(frozen=True)
class ShownCommand:
    """A command of a page."""

    words: tuple[str, ...]
    folder: Path
    """Where it is given: `cd` counts."""
    is_whole: bool
    """Whether it can be given as it stands; one within a sentence may lack arguments."""
    place: str
    """The page and the line."""

    @property
    def folder_after(self) -> Path:
        """Where the next command is given."""
        return self.folder / self.words[1] if self.words[0] == "cd" else self.folder

    def __str__(self) -> str:
        return f"{self.place}: {' '.join(self.words)}"


@dataclass(frozen=True)
class ScriptCall:
    """A Python file, or a module with `-m`, and its arguments."""

    script: str
    is_module: bool
    arguments: tuple[str, ...]
    is_whole: bool


def shown_lines(block: Block) -> Iterator[tuple[int, str]]:
    """(line of the page, line) of a block; one that goes on in the next is joined with it."""
    first, said = block.line, ""
    for line, text in enumerate(block.code.splitlines(), start=block.line):
        said += text.removesuffix("\\")
        if not text.endswith("\\"):
            yield first, said
            first, said = line + 1, ""


def console_blocks(page: Path) -> list[Block]:
    """The page's `console` blocks."""
    return [block for block in blocks(page) if block.language == "console"]


def console_commands(page: Path) -> Iterator[ShownCommand]:
    """The commands of the `console` blocks, each of which begins in the root: what comes after a `$`."""
    name = page.relative_to(ROOT).as_posix()
    for block in console_blocks(page):
        folder = ROOT
        for line, text in shown_lines(block):
            if text.startswith(PROMPT):
                for command in commands_of(text.removeprefix(PROMPT), folder, f"{name}:{line}"):
                    yield command
                    folder = command.folder_after


def commands_of(line: str, folder: Path, place: str) -> Iterator[ShownCommand]:
    """The commands of a line for a shell, parted at `&&`."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&")
    lexer.whitespace_split = True
    for is_parting, words in itertools.groupby(lexer, lambda word: word == "&&"):
        if not is_parting:
            command = ShownCommand(tuple(words), folder, True, place)
            yield command
            folder = command.folder_after


def commands_in_sentences(page: Path) -> Iterator[ShownCommand]:
    """The commands that stand as code in the text."""
    name = page.relative_to(ROOT).as_posix()
    text = FENCE.sub(lambda block: "\n" * block[0].count("\n"), page.read_text("utf-8"))
    for found in IN_LINE.finditer(text):
        words = tuple(word for word in shlex.split(found[1]) if word != LEFT_OUT)
        yield ShownCommand(words, ROOT, False, f"{name}:{text.count(chr(10), 0, found.start()) + 1}")


def check(command: ShownCommand) -> ScriptCall | None:
    """Check a command, all but the arguments of a script: its call is given back. Raises what says what is wrong with it."""
    program, *arguments = command.words
    if program not in PROGRAMS:
        raise AssertionError(f"nothing here knows how to check {program!r}: say it in PROGRAMS")
    return PROGRAMS[program](arguments, command)


def script_problems(calls: list[ScriptCall]) -> dict[ScriptCall, str | None]:
    """What is wrong with the arguments of scripts, None for nothing: all in one process, for what they import takes seconds."""
    asked = json.dumps([vars(call) for call in calls])
    command = [sys.executable, str(PARSE_ARGUMENTS)]
    done = subprocess.run(command, cwd=ROOT, input=asked, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(zip(calls, json.loads(done.stdout), strict=True))


def parsed(words: list[str], is_whole: bool = True) -> dict[str, Any]:
    """What the command line makes of the words after `pyratok`: the arguments of the command's function.

    Raises click's exception for what it does not know, for a value that it does not take and, of a whole command, for what is
    missing.
    """
    command = typer.main.get_command(app)
    _disarm(command, is_whole)
    return command.main(list(words), prog_name="pyratok", standalone_mode=False)


def _disarm(command: Any, is_whole: bool) -> None:
    """Let a click command, and those below it, give its arguments back; without `is_whole` nothing has to be given."""
    command.callback = lambda **given: given
    for name in getattr(command, "commands", ()):
        command.invoke_without_command = not is_whole
        _disarm(command.commands[name], is_whole)
    if not is_whole:
        command.no_args_is_help = False
        for parameter in command.params:
            parameter.required = False


def _pyratok(arguments: list[str], command: ShownCommand) -> None:
    given = parsed(arguments, command.is_whole)
    if arguments[:1] == ["train"] and command.is_whole:
        from pyratok.training.recipe_reading import load_settings

        load_settings(given["recipe"], given["settings"] or ())


def _python(arguments: list[str], command: ShownCommand) -> ScriptCall | None:
    is_module = arguments[0] == "-m"
    script, *rest = arguments[1:] if is_module else arguments
    if is_module and script == "pyratok":
        return _pyratok(rest, command)
    if not is_module:
        assert (command.folder / script).is_file(), f"there is no {script}"
        script = str((command.folder / script).relative_to(ROOT))
    return ScriptCall(script, is_module, tuple(rest), command.is_whole)


def _accelerate(arguments: list[str], command: ShownCommand) -> None:
    assert arguments[:3] == ["launch", "-m", "pyratok"]
    _pyratok(arguments[3:], command)


def _pip(arguments: list[str], command: ShownCommand) -> None:
    """The files and PyraTok's extras; what else is installed is not ours."""
    assert arguments[0] == "install"
    extras = re.findall(r'^    "(\w+)": ', (ROOT / "setup.py").read_text("utf-8"), re.MULTILINE)
    for option, word in zip(arguments, arguments[1:], strict=False):
        if option == "-c":
            assert (command.folder / word).is_file(), f"there is no {word}"
        if found := re.fullmatch(r"\.\[([\w,]+)\]", word):
            assert set(found[1].split(",")) <= set(extras), f"setup.py knows the extras {extras}"


def _make(arguments: list[str], command: ShownCommand) -> None:
    for target in arguments:
        assert re.search(rf"^{target}:", (command.folder / "Makefile").read_text("utf-8"), re.MULTILINE), target


def _cd(arguments: list[str], command: ShownCommand) -> None:
    assert (command.folder / arguments[0]).is_dir(), f"there is no folder {arguments[0]}"


def _ci(arguments: list[str], command: ShownCommand) -> None:
    assert not arguments and (command.folder / command.words[0]).is_file()


PROGRAMS: dict[str, Callable[[list[str], ShownCommand], ScriptCall | None]] = {
    "pyratok": _pyratok,
    "python": _python,
    "accelerate": _accelerate,
    "pip": _pip,
    "make": _make,
    "cd": _cd,
    ".ci/run": _ci,
}
