"""What goes wrong at the command line: one sentence on stderr and exit code 2; 130 after Ctrl-C. No traceback."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import typer

from ..modeling_pyratok.errors import PyraTokError

BAD_INPUT = 2
INTERRUPTED = 130
NO_MEMORY = "there is not enough memory"


def for_people(command: Callable[..., None]) -> Callable[..., None]:
    """The command with its errors said in one sentence. What is not the user's doing keeps its traceback."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except PyraTokError as problem:
            _fail(str(problem))
        except OSError as problem:
            if isinstance(problem, BrokenPipeError):
                raise  # the reader of our output has gone, as in `pyratok info x | head`
            where = f"'{problem.filename}': " if problem.filename else ""
            _fail(f"{where}{problem.strerror or problem}")
        except (MemoryError, RuntimeError) as problem:
            if not _is_out_of_memory(problem):
                raise
            _fail(f"{NO_MEMORY}: give a smaller --chunk-frames, or --tile-size for large frames")
        except KeyboardInterrupt as interruption:
            typer.echo("Interrupted; no file is half written.", err=True)
            raise typer.Exit(INTERRUPTED) from interruption

    return run


@contextlib.contextmanager
def argument_errors() -> Iterator[None]:
    """Around calls that check what the user asked for: their ValueErrors are the user's to mend."""
    try:
        yield
    except PyraTokError:
        raise
    except ValueError as problem:
        raise PyraTokError(str(problem)) from problem


@contextlib.contextmanager
def memory_errors(advice: str) -> Iterator[None]:
    """Around work whose memory depends on other things than frames in a chunk: the advice for when it runs out."""
    try:
        yield
    except (MemoryError, RuntimeError) as problem:
        if not _is_out_of_memory(problem):
            raise
        raise PyraTokError(f"{NO_MEMORY}: {advice}") from problem


def _fail(sentence: str) -> None:
    typer.echo(f"Error: {' '.join(sentence.split())}", err=True)
    raise typer.Exit(BAD_INPUT)


def _is_out_of_memory(problem: Exception) -> bool:
    """PyTorch has a class of its own for a GPU, and for the CPU only a text."""
    return (
        isinstance(problem, MemoryError)
        or type(problem).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(problem)
    )
