"""The command line `pyratok`."""

import signal
import sys
from typing import NoReturn

import typer

from .ask import ask
from .card import card
from .classify import classify
from .convert import convert
from .decode import decode
from .encode import encode
from .errors_for_people import for_people
from .evaluate import evaluate
from .generate import generate
from .info import info
from .install import install
from .localize import localize
from .push import push
from .reconstruct import reconstruct
from .search import search
from .segment import segment
from .train import train

COMMANDS = (
    *(reconstruct, encode, decode, generate, segment, localize, classify, search, ask),
    *(train, convert, card, push, info, install),
)

app = typer.Typer(
    name="pyratok",
    help="Video to discrete tokens at several depths of a causal video VAE, and back.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
for command in COMMANDS:
    app.command()(for_people(command))
app.add_typer(evaluate)


def main() -> None:
    """The entry point of the installed command."""
    signal.signal(signal.SIGTERM, _terminate)
    app(prog_name="pyratok")


def _terminate(number: int, _frame: object) -> NoReturn:
    """End as an exception does, so that files that are only half written are removed."""
    sys.exit(128 + number)
