"""What the command line says of itself."""

import pytest
from typer.testing import CliRunner

from pyratok.commands.app import app

COMMANDS = (
    *("reconstruct", "encode", "decode", "generate", "segment", "localize", "classify", "search", "ask"),
    *("train", "evaluate", "convert", "info", "install"),
)


def test_help_lists_the_commands():
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert all(command in result.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_shows_an_example(command):
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"Example: pyratok {command}" in result.stdout


def test_every_task_of_evaluate_shows_an_example():
    listed = CliRunner().invoke(app, ["evaluate", "--help"]).stdout
    for task in ("reconstruction",):
        assert task in listed
        assert f"Example: pyratok evaluate {task}" in CliRunner().invoke(app, ["evaluate", task, "--help"]).stdout


@pytest.mark.parametrize(
    "arguments", [["reconstruct"], ["encode", "clip.mp4"], ["nonsense"], ["info", "a", "b"], ["evaluate", "none"]]
)
def test_wrong_usage_ends_with_code_2(arguments):
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: " in result.stderr and "Traceback" not in result.stderr
