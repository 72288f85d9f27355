"""`pyratok push`: a model with all that belongs to it to the Hub."""

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer
from huggingface_hub import ModelCard
from huggingface_hub.utils import disable_progress_bars

from ..hub_cards.model_card import model_card
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.repository_upload import upload_repository
from ..modeling_pyratok.short_cards import CARD_FILE
from ..pipelines.bundled_model import BUNDLED_ID, resolve_model
from ..pipelines.model_loading import check_component, check_model
from ..pipelines.remote_pipelines import INDEX, add_remote_code
from ..pipelines.text_to_video_loading import ALIGNMENT, PRIOR, component_folder, tokenizer_folder
from .hub_errors import hub_errors
from .model_use import be_quiet

WEIGHTS = ".safetensors"
PARTS = ("alignment", "language_model", "language_tokenizer", "prior", "projector", "text_encoder", "tokenizer")
SHARED = (WEIGHTS, ".json", ".txt", ".jinja", ".model", ".md", ".png", ".jpg", ".gif", ".mp4")
"""Kinds of files that go to the Hub. Code is written anew, and pickles stay here."""


def push(
    model: Annotated[str, typer.Argument(help="A folder of a model, `stage_2` of a training run, or `pyratok`.")],
    repo_id: Annotated[str, typer.Argument(help="OWNER/NAME on the Hub, or NAME under your own name.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository that only you see.")] = False,
    revision: Annotated[str | None, typer.Option("--revision", help="The branch; made if it is not there.")] = None,
    with_code: Annotated[
        bool, typer.Option("--with-code", help="Also what opens it where PyraTok is not installed.")
    ] = False,
    message: Annotated[str | None, typer.Option("--message", help="Of the commit.")] = None,
) -> None:
    """Upload a model to the Hub: the tokenizer, what lies beside it (prior, alignment, text encoder ...), figures and card.

    What the repository had of another model's parts goes. A model without a card is given one, made of its files. Log in
    once with `hf auth login`.

    Example: `pyratok push runs/mine/stage_2 me/my-tokenizer`
    """
    be_quiet()
    if not sys.stderr.isatty():
        disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder, hub_errors(f"push to {repo_id!r}"):
        stage = Path(folder)
        sources = _gather(model, stage)

        def make_card(full_id: str) -> ModelCard:
            card = model_card(stage, full_id)
            card.save(stage / CARD_FILE)  # to be counted with the others
            return card

        with _named_by_source(sources):
            if with_code:
                add_remote_code(stage)
            # Parts of another tokenizer, which lay there before, would be loaded beside this one.
            stale = [f"{part}/*" for part in PARTS if not (stage / part).is_dir()]
            stale += [] if (stage / INDEX).is_file() else [INDEX]
            address = upload_repository(
                stage, repo_id, revision, private or None, commit_message=message, make_card=make_card, replaced=stale
            )
        sizes = [path.stat().st_size for path in stage.rglob("*") if path.is_file()]
    typer.echo(f"pushed {len(sizes)} files, {sum(sizes) / 1e6:,.1f} MB, to {address}")


def _gather(model: str, stage: Path) -> dict[Path, Path]:
    """Put a whole repository into `stage`; large files are links. Returns the folders there, with those that they are from.

    Raises PyraTokError if a part is not complete.
    """
    tokenizer = tokenizer_folder(model)
    if model != BUNDLED_ID and not tokenizer.is_dir():
        raise PyraTokError(f"there is no folder {model!r}; give that of a model")
    source = Path(resolve_model(model if model == BUNDLED_ID else tokenizer))
    check_model(source)
    parts = {name: source / name for name in _named_parts(source) if (source / name).is_dir()}
    for name in (PRIOR, ALIGNMENT):
        if (place := component_folder(source, name)) is not None:
            parts[name] = place
    _copy(source, stage)
    for name, part in parts.items():
        if (part / "config.json").is_file():
            check_component(part)
        _copy(part, stage / name)
    return {stage: source, **{stage / name: part for name, part in parts.items()}}


@contextlib.contextmanager
def _named_by_source(sources: Mapping[Path, Path]) -> Iterator[None]:
    """Errors of the block name the folders of the user instead of those that the files were gathered in."""
    try:
        yield
    except PyraTokError as problem:
        said = str(problem)
        for folder in sorted(sources, key=lambda folder: -len(folder.parts)):  # those inside first
            said = said.replace(str(folder), str(sources[folder]))
        raise PyraTokError(said) from problem


def _named_parts(source: Path) -> set[str]:
    """Folders of components: those that a PyraTok repository may have, and those that model_index.json names."""
    try:
        index = json.loads((source / INDEX).read_text("utf-8"))
    except FileNotFoundError:
        index = {}
    except (OSError, ValueError, RecursionError) as problem:
        raise PyraTokError(f"{str(source / INDEX)!r} cannot be read: {problem}") from problem
    named = {name for name, value in index.items() if isinstance(value, list)} if isinstance(index, dict) else set()
    return {name for name in {*PARTS, *named} if name.isidentifier()}  # what diffusers passes as an argument's name


def _copy(source: Path, target: Path) -> None:
    """The files of one folder that are shared, without what lies below or is hidden. Raises PyraTokError for foreign links."""
    own = (source.resolve(), source.resolve().parent.parent / "blobs")  # the second in the cache of the hub client
    for path in sorted(source.iterdir()):
        if path.is_file() and path.suffix in SHARED and not path.name.startswith("."):
            if not any(path.resolve().is_relative_to(folder) for folder in own):
                raise PyraTokError(f"{str(path)!r} links to a file that lies elsewhere; put the file itself there")
            target.mkdir(exist_ok=True)
            if path.suffix == WEIGHTS:
                (target / path.name).symlink_to(path.resolve())
            else:
                shutil.copyfile(path, target / path.name)
