"""`pyratok search`: videos by what they show, from their tokens alone."""

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..modeling_pyratok.atomic_writing import atomic_path
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.video_tokens import VideoTokens
from ..pipelines.bundled_model import BUNDLED_ID
from ..pipelines.hit_pictures import hit_sheet, preview_frames
from ..pipelines.text_alignment_loading import load_text_alignment
from ..pipelines.text_to_video_loading import tokenizer_folder
from ..pipelines.token_index import SearchHit, TokenIndex, check_index_places
from ..pipelines.token_streams import chosen_levels
from .errors_for_people import argument_errors, memory_errors
from .evaluation_output import check_targets
from .model_use import be_quiet, load_quietly, place
from .options import Device, Model, check_png, parse_levels
from .progress import progress_bar
from .search_table import search_table
from .tables import printable, show

NAMED = 10
"""Files that are left out and named one by one; --json has all of them."""


def search(
    folder: Annotated[str, typer.Argument(help="A folder of token files; its subfolders are searched as well.")],
    text: Annotated[str, typer.Argument(help="What the videos show.")],
    model: Model = "pyratok",
    levels: Annotated[
        str | None, typer.Option("--levels", "-l", help="Levels to compare, for example 4. Default: all of a file.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Show so many files.")] = 10,
    index: Annotated[
        str | None,
        typer.Option("--index", help="The index's file, NAME.safetensors. Default: a hidden file in FOLDER."),
    ] = None,
    json_file: Annotated[
        str | None, typer.Option("--json", help="Write the hits, and all that was left out, into this file.")
    ] = None,
    sheet: Annotated[
        str | None,
        typer.Option("--sheet", help="Draw the first and the middle frame of each hit, NAME.png, from its tokens."),
    ] = None,
    device: Device = None,
) -> None:
    """Find the token files in FOLDER whose videos fit a text, best first; no video is needed.

    An index of the folder is kept in it, and brought up to date when files have changed. Files that are damaged, and those
    of other weights, are named, counted and left out.

    Example: `pyratok search tokens "a rabbit on a meadow" --sheet rabbits.png`
    """
    asked = " ".join(text.split())
    if not asked:
        raise PyraTokError("the text to search for is empty; say what the videos show")
    check_targets(json=json_file, sheet=sheet)
    check_png("--sheet", sheet)
    wanted = parse_levels(levels)
    check_index_places(folder, index)  # before the seconds that loading takes
    be_quiet()
    with contextlib.ExitStack() as files:
        json_target = None if json_file is None else files.enter_context(atomic_path(json_file))
        sheet_target = None if sheet is None else files.enter_context(atomic_path(sheet))
        alignment, encoder = load_text_alignment(model)
        tokenizer = load_quietly(model if model == BUNDLED_ID else tokenizer_folder(model).as_posix())
        with argument_errors():
            chosen_levels(tokenizer, wanted)
        fingerprint = tokenizer.weights_fingerprint()
        for part in (alignment, encoder.model):
            place(part, None, device)
        with memory_errors("encode long films in parts"):
            found = TokenIndex.build(folder, alignment, fingerprint, index, progress_bar("indexing"))
        lacking = found.lacking(wanted)
        _check_any(found, lacking)
        hits = found.search(encoder([asked]).pooled(), wanted, limit)[0]
        if sheet_target is not None:
            _draw(place(tokenizer, None, device), hits, sheet_target)
        if json_target is not None:
            record = _record(asked, model, fingerprint, wanted, found, hits)
            json_target.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", "utf-8")
    show(search_table(f"{asked} in {len(found) - len(lacking):,} files", hits))
    _say_what_is_left_out(found, lacking)
    for path in filter(None, (json_file, sheet)):
        typer.echo(f"wrote {path}")


def _check_any(index: TokenIndex, lacking: Sequence[str]) -> None:
    """Raise PyraTokError if there is nothing to search."""
    folder, left_out = str(index.folder), index.left_out
    if not len(index) and not left_out:
        raise PyraTokError(
            f"the folder {folder!r} holds no token files, NAME.safetensors; `pyratok encode VIDEOS {folder}` makes them"
        )
    if not len(index):
        name, reason = next(iter(left_out.items()))
        raise PyraTokError(
            f"none of the {len(left_out):,} token files in {folder!r} can be searched; the first, {name!r}: {reason}"
        )
    if len(lacking) == len(index):
        raise PyraTokError(
            f"none of the {len(index):,} token files in {folder!r} has all the levels asked for; leave --levels out"
        )


def _draw(model: PyraTokModel, hits: Sequence[SearchHit], target: Path) -> None:
    """Decode frames of each hit and write the sheet."""
    cells = []
    for rank, hit in enumerate(progress_bar("decoding")(hits), start=1):
        with memory_errors("leave --sheet out, or ask for fewer with --limit"):
            frames = preview_frames(model, VideoTokens.load(hit.path))
        cells.append((f"{rank}.  {hit.score:.4f}  {printable(hit.name)}", frames))
    hit_sheet(cells).save(target)


def _record(
    text: str,
    model: str,
    fingerprint: str,
    levels: tuple[int, ...] | None,
    index: TokenIndex,
    hits: Sequence[SearchHit],
) -> dict[str, Any]:
    """What --json writes. Names are paths within the folder."""
    fields = ("name", "score", "caption", "duration", "num_frames")
    lacking = index.lacking(levels)
    return {
        "text": text,
        "model": model,
        "weights_fingerprint": fingerprint,
        "levels": levels,
        "files": len(index) - len(lacking),
        "hits": [
            {field: value for field, value in dataclasses.asdict(hit).items() if field in fields} for hit in hits
        ],
        "left_out": {**index.left_out, **dict.fromkeys(lacking, "it lacks a level that is asked for")},
        "no_token_files": index.passed_over,
    }


def _say_what_is_left_out(index: TokenIndex, lacking: Sequence[str]) -> None:
    """On stderr: what became of the index's file, and which files do not count."""
    for note in index.notes:
        typer.echo(f"Warning: {printable(note)}", err=True)
    left_out = index.left_out
    for name, reason in list(left_out.items())[:NAMED]:
        typer.echo(f"left out: {printable(name)}: {printable(reason)}", err=True)
    if len(left_out) > NAMED:
        typer.echo(f"left out: {len(left_out) - NAMED:,} more, {len(left_out):,} in all; --json names them", err=True)
    for names, what in ((lacking, "lack a level that is asked for"), (index.passed_over, "are no token files")):
        if names:
            more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
            typer.echo(f"left out: {len(names):,} that {what}: {printable(', '.join(names[:NAMED]))}{more}", err=True)
