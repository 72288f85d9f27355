"""Whether scripts take their arguments, without running them: calls as JSON on stdin, a sentence or null for each on stdout.

A call is {"script": path or module, "is_module": bool, "arguments": [...], "is_whole": bool}. A script is run until it has
parsed its arguments, which is the first thing that it does; one without a parser is not run, and takes none.
"""

import argparse
import contextlib
import importlib.util
import json
import runpy
import sys
from pathlib import Path
from typing import Any, NoReturn


class _Parsed(BaseException):
    """The arguments were taken."""


class _Refused(BaseException):
    """They were not."""


_parse_args = argparse.ArgumentParser.parse_args


def _parse_and_end(parser: argparse.ArgumentParser, *given: Any) -> NoReturn:
    _parse_args(parser, *given)
    raise _Parsed


def _refuse(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    raise _Refused(message)


def problem(script: str, is_module: bool, arguments: list[str], is_whole: bool) -> str | None:
    """What is wrong; that arguments are missing only if the call is whole."""
    path = Path(importlib.util.find_spec(script).origin if is_module else script)
    if "ArgumentParser" not in path.read_text("utf-8"):
        return f"{script} takes no arguments, got {arguments}" if arguments else None
    sys.argv = [script, *arguments]
    try:
        if is_module:
            runpy.run_module(script, run_name="__main__")
        else:
            runpy.run_path(script, run_name="__main__")
    except _Parsed:
        return None
    except _Refused as refusal:
        is_missing = "arguments are required" in str(refusal)
        return None if is_missing and not is_whole else f"{script}: {refusal}"
    return f"{script} ended without parsing its arguments"


if __name__ == "__main__":
    argparse.ArgumentParser.parse_args, argparse.ArgumentParser.error = _parse_and_end, _refuse
    sys.path.append("benchmarks")  # these import each other by name
    with contextlib.redirect_stdout(sys.stderr):
        problems = [problem(**call) for call in json.load(sys.stdin)]
    print(json.dumps(problems))
