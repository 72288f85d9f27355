"""The card of a model: what its files say, what PyraTok's commands measured of it, and what its makers have to add.

Architecture, parts and sizes are read from the folder; figures come from the JSON files in it (`card_figures`) and from
nowhere else, so that each can be traced to the command that wrote it. What no file knows, on training, data and limits,
stands in Markdown files, the notes; without them the card says that it is not described.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..modeling_pyratok.atomic_writing import atomic_path
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.short_cards import CARD_FILE
from .card_figures import read_figures, render
from .dataset_card import licence_metadata
from .evaluation_results import evaluation_results
from .measured_weights import own_figures
from .model_facts import ModelFacts, model_facts

TEMPLATES = Path(__file__).resolve().parent / "templates"
BUNDLED_NOTES = TEMPLATES / "bundled"
"""What the card of the bundled model says beyond its files."""

NOTES = ("introduction", "parts", "training", "measured", "data", "limits")
"""Names of the notes, `training.md` for example; each may use the figures, as templates do."""

LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
CARD = "---\n{{ card_data }}\n---\n\n{{ body }}"


def model_card(
    folder: str | os.PathLike[str],
    repo_id: str | None = None,
    licence: str | None = None,
    notes: str | os.PathLike[str] | None = None,
) -> ModelCard:
    """Make the card of the PyraTok model in `folder`.

    Args:
        folder: with `config.json`, weights, parts beside (`prior/` ...), and figures (`evaluation.json` ...).
        repo_id: what users will load it by; by default the name of the folder.
        licence: of the weights, by its identifier on the Hub, "apache-2.0" for example; without it the card names none. Which
            identifiers there are the Hub alone knows: it refuses a card with another one.
        notes: a folder with Markdown files of the names in NOTES (BUNDLED_NOTES are those of the bundled model).

    Returns:
        The card; `str(card)` is the README.md.

    Raises:
        PyraTokError: if the folder holds no model, a file of figures is of other weights or does not say of which, or it, a
            note or the licence cannot be used.
    """
    root = Path(folder)
    if licence is not None and not LICENCE.fullmatch(licence):
        raise PyraTokError(f"a licence is named as on the Hub, apache-2.0 or cc-by-4.0 for example, got {licence!r}")
    facts, figures = model_facts(root), own_figures(root, read_figures(root))
    results = evaluation_results(figures)
    name = repo_id or root.resolve().name
    values = {"name": name, "config": facts.shape, "facts": asdict(facts), **figures}
    values["notes"] = _notes(None if notes is None else Path(notes), values)
    body = render((TEMPLATES / "model_card.md").read_text("utf-8"), values, "of the card")
    data = card_data(name, facts, licence, results)
    return ModelCard.from_template(data, template_str=CARD, body=body.strip() + "\n")


def card_data(name: str, facts: ModelFacts, licence: str | None, results: list[EvalResult]) -> ModelCardData:
    """The metadata at the top of a card."""
    parts = {part.folder for part in facts.parts}
    tags = ["pyratok", "video-tokenizer", *(["text-to-video"] if "prior" in parts else [])]
    named = {"model_name": name, "eval_results": results} if results else {}
    return ModelCardData(
        **({} if licence is None else licence_metadata(licence)),
        library_name="pyratok",
        pipeline_tag="video-to-video",
        tags=tags,
        **named,
        ignore_metadata_errors=False,
    )


def write_model_card(folder: str | os.PathLike[str], **options: Any) -> Path:
    """Write `README.md` into the model's folder; options as in `model_card`. Returns its path. Raises PyraTokError."""
    card = model_card(folder, **options)
    target = Path(folder) / CARD_FILE
    with atomic_path(target) as path:
        path.write_text(str(card), "utf-8")
    return target


def _notes(folder: Path | None, values: Mapping[str, Any]) -> dict[str, str | None]:
    """Name -> text of each note, filled in; None for those that are not there."""
    if folder is None:
        return dict.fromkeys(NOTES)
    if not folder.is_dir():
        raise PyraTokError(f"there is no folder of notes {str(folder)!r}")
    unknown = sorted(path.name for path in folder.glob("*.md") if path.stem not in NOTES)
    if unknown:
        raise PyraTokError(
            f"no note is named {', '.join(unknown)}; there are {', '.join(f'{name}.md' for name in NOTES)}"
        )
    paths = {name: folder / f"{name}.md" for name in NOTES}
    return {name: _note(path, values) if os.path.lexists(path) else None for name, path in paths.items()}


def _note(path: Path, values: Mapping[str, Any]) -> str:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeError) as problem:
        raise PyraTokError(f"the note {str(path)!r} cannot be read: {problem}") from problem
    return render(text, values, repr(str(path))).strip()
