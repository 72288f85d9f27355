"""`pyratok card`: the card of a model, from its files and figures."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ..hub_cards.model_card import write_model_card
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.short_cards import CARD_FILE
from .model_use import be_quiet


def card(
    model: Annotated[str, typer.Argument(help="The folder of a model.")],
    repo_id: Annotated[
        str | None, typer.Option("--repo-id", help="What users will load it by. Default: the folder's name.")
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            "--license",
            help="Of the weights, as the Hub names it: apache-2.0, cc-by-4.0 ... The Hub checks it, when the card is pushed.",
        ),
    ] = None,
    notes: Annotated[
        str | None,
        typer.Option(
            "--notes", help="A folder of Markdown files: introduction, parts, training, measured, data, limits."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a card that is there.")] = False,
) -> None:
    """Write a model's card, `README.md` in its folder.

    Shape, parts and sizes are read from the folder. Figures come from the JSON files in it alone, those of `pyratok evaluate
    reconstruction --json evaluation.json` for example. What no file knows, on training, data and limits, comes from --notes.

    Example: `pyratok card runs/mine/stage_1/model --repo-id me/my-tokenizer --license apache-2.0`
    """
    folder = Path(model)
    if not folder.is_dir():
        raise PyraTokError(f"{model!r} is no folder; give that of a model")
    if os.path.lexists(folder / CARD_FILE) and not force:
        raise PyraTokError(f"{str(folder / CARD_FILE)!r} is there already; --force replaces it")
    be_quiet()
    typer.echo(f"wrote {write_model_card(folder, repo_id=repo_id, licence=licence, notes=notes)}")
