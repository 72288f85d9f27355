"""`pyratok encode FOLDER --push ID`: the tokens of a folder as a dataset on the Hub."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import typer
from huggingface_hub.utils import disable_progress_bars

from ..hub_cards.dataset_facts import TokenKind
from ..modeling_pyratok.errors import PyraTokError
from ..pipelines.bundled_model import BUNDLED_ID
from ..token_datasets.hub_upload import HubTarget, push_token_files
from .hub_errors import hub_errors
from .progress import progress_bar


def hub_target(
    clip: str, model: str, push: str | None, split: str | None, licence: str | None, private: bool
) -> HubTarget | None:
    """Where the tokens are pushed, None if nowhere; checked with the Hub. Raises PyraTokError."""
    if push is None:
        for option, given in (("--split", split), ("--license", licence), ("--private", private or None)):
            if given is not None:
                raise PyraTokError(f"{option} is for a dataset on the Hub: it needs --push OWNER/NAME")
        return None
    if not os.path.isdir(clip):
        raise PyraTokError(f"--push takes the videos of a folder, and {clip!r} is none")
    target = HubTarget(push, "train" if split is None else split, private, licence)
    with hub_errors(f"push to the dataset {push!r}"):
        target.check()
    if model != BUNDLED_ID and os.path.isdir(model):
        typer.echo(
            f"Warning: everybody will read that the tokenizer is {model!r}, a folder that nobody else has; to name one that "
            "they can load, push the model first and give its id to --model.",
            err=True,
        )
    return target


def check_tokens(target: HubTarget, kind: TokenKind) -> None:
    """Raise PyraTokError, before clips are encoded, if tokens of this kind do not fit the dataset that is there."""
    with hub_errors(f"push to the dataset {target.repo_id!r}"):
        target.check_tokens(kind)


def push_tokens(files: Mapping[str, Path], target: HubTarget, folder: str) -> None:
    """Push token files, which lie in `folder`, by the names of their rows, and say what came of it. Raises PyraTokError."""
    if not sys.stderr.isatty():
        disable_progress_bars()
    with hub_errors(f"push to the dataset {target.repo_id!r}"):
        address, shards = push_token_files(files, target, Path(folder), progress_bar("writing shards"))
    typer.echo(
        f"pushed {shards.clips:,} clips in {len(shards.paths):,} shards as the split {target.split} to {address}"
    )
    for name, reason in shards.left_out.items():
        typer.echo(f"not pushed: {name}: {reason}", err=True)
