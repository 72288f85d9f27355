"""`pyratok train`: train a tokenizer from a recipe."""

import importlib.util
import logging
from typing import Annotated

import typer

from ..modeling_pyratok.errors import PyraTokError
from .errors_for_people import memory_errors


def train(
    recipe: Annotated[str, typer.Argument(help="`tiny`, `base`, `default`, or a YAML file of your own.")],
    settings: Annotated[
        list[str] | None, typer.Argument(help="Settings that replace those of the recipe.", metavar="[KEY=VALUE]...")
    ] = None,
) -> None:
    """Train a tokenizer by RECIPE, or go on with a run that was stopped.

    The model is in OUTPUT/stage_N/model, with curves, contact sheets and checkpoints beside it. On several devices:
    `accelerate launch -m pyratok train ...`.

    Example: `pyratok train tiny data=my/videos output_folder=runs/mine`
    """
    if importlib.util.find_spec("accelerate") is None or importlib.util.find_spec("datasets") is None:
        raise PyraTokError('training needs more packages: pip install "pyratok[train]"')
    from ..training.recipe_reading import load_settings
    from ..training.trainer import train as run

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    with memory_errors("give a smaller batch_pixels, or gradient_checkpointing=true"):
        run(load_settings(recipe, settings or ()))
