"""What pages only show, since running it takes hours or a network, is checked without running it: see `shown_commands`."""

from pathlib import Path

import pytest
from markdown_pages import blocks
from shown_commands import (
    CODE_PROMPTS,
    PROMPT,
    ROOT,
    ScriptCall,
    check,
    commands_in_sentences,
    commands_of,
    console_blocks,
    console_commands,
    script_problems,
    shown_lines,
)

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"] + sorted(
    path
    for folder, pattern in (("docs", "*.md"), ("hub_cards", "*/README.md"), ("hub_cards/templates", "**/*.md"))
    for path in (ROOT / folder).glob(pattern)
)
NOT_RUN = [ROOT / name for name in ("CONTRIBUTING.md", "benchmarks/README.md", "hub_cards/space/README.md")]
"""Pages whose `bash` and `python` blocks no test would run, so they have none."""

COMMANDS = [command for page in PAGES for kind in (console_commands, commands_in_sentences) for command in kind(page)]
CODE = [
    (f"{page.relative_to(ROOT).as_posix()}:{line}", text[len(CODE_PROMPTS[0]) :])
    for page in PAGES
    for block in console_blocks(page)
    for line, text in shown_lines(block)
    if text.startswith(CODE_PROMPTS)
]

WRONG_ARGUMENTS = {
    "training.py a --stages 2": "unrecognized arguments: --stages",
    "training.py --steps 20": "arguments are required: source",
    "training.py a --steps some": "invalid int value: 'some'",
    "full_size_prior.py a": "takes no arguments",
}
"""Of scripts in `benchmarks/`, and what is said of them."""


def wrong_call(line: str) -> ScriptCall:
    """One of these as a call."""
    (command,) = commands_of(f"python benchmarks/{line}", ROOT, "a page")
    return check(command)


@pytest.fixture(scope="module")
def scripts() -> dict[ScriptCall, str | None]:
    """What is wrong with the arguments of all scripts here: those that the pages show, and those with wrong ones."""
    calls = {check(command) for command in COMMANDS if command.words[0] == "python"} - {None}
    return script_problems(sorted(calls | set(map(wrong_call, WRONG_ARGUMENTS)), key=str))


def test_pages_show_what_is_looked_for():
    shown = {Path(command.words[0]).name for command in COMMANDS if command.is_whole}
    assert {"pyratok", "python", "accelerate", "pip", "make"} <= shown and len(COMMANDS) > 50 and len(CODE) > 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_console_blocks_hold_commands_and_code_alone(page):
    """Anything else in them would be read by no test."""
    lines = [text for block in console_blocks(page) for _, text in shown_lines(block)]
    assert [text for text in lines if not text.startswith((PROMPT, *CODE_PROMPTS))] == []


@pytest.mark.parametrize("page", NOT_RUN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_that_are_not_run_show_commands_as_such(page):
    assert {block.language for block in blocks(page)} <= {"console", "text"}


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_and_its_options_are_known(command, request):
    call = check(command)
    if call is not None:
        assert request.getfixturevalue("scripts")[call] is None


@pytest.mark.parametrize(("place", "code"), CODE)
def test_code_in_console_blocks_is_python(place, code):
    compile(code, place, "exec")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("pyratok encod a b", "No such command 'encod'"),
        ("pyratok encode a b --chunks 4", "No such option: --chunks"),
        ("pyratok push runs/mine", "Missing parameter: repo_id"),
        ("pyratok evaluate segmentation", "Missing parameter: data"),
        ("pyratok evaluate localization --benchmark thumos15 --data a --annotations b", "'thumos15' is not one of"),
        ("pyratok encode a b --chunk-frames some", "valid integer"),
        ("pyratok train tiny data=a output_folder=b stage=7", "stage"),
        ("pyratok train tiny data=a folder=b", "unknown settings: folder"),
        ("python -m pyratok info", "Missing parameter"),
        ("accelerate launch -m pyratok train", "Missing parameter"),
        ("python benchmarks/nothing.py", "there is no benchmarks/nothing.py"),
        ("pip install -c constraint.txt .", "there is no constraint.txt"),
        ('pip install -c constraints.txt ".[trains]"', "knows the extras"),
        ("make demos", "demos"),
        ("cd hub_cards/spaces", "there is no folder"),
        ("curl https://example.com", "knows how to check 'curl'"),
    ],
)
def test_what_is_wrong_with_a_command_is_noticed(command, reason):
    (shown,) = commands_of(command, ROOT, "a page")
    with pytest.raises(Exception, match=reason):
        check(shown)


@pytest.mark.parametrize("line", WRONG_ARGUMENTS)
def test_what_is_wrong_with_the_arguments_of_a_script_is_noticed(line, scripts):
    assert WRONG_ARGUMENTS[line] in scripts[wrong_call(line)]
