"""`pyratok evaluate TASK`: how good a model is on your data, with figures as a table and as JSON."""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import torch
import typer

from ..modeling_pyratok.atomic_writing import atomic_path
from ..modeling_pyratok.errors import PyraTokError
from ..pipelines.bundled_model import resolve_model
from .errors_for_people import argument_errors, for_people
from .evaluate_classification import classification
from .evaluate_generation import generation
from .evaluate_localization import localization
from .evaluate_questions import questions
from .evaluate_segmentation import segmentation
from .evaluation_output import needed, not_needed, spread
from .model_use import Work, load_quietly, place
from .options import ChunkFrames, Device, Dtype, Levels, Model, TileOverlap, TileSize, parse_levels
from .progress import progress_bar
from .tables import show

if TYPE_CHECKING:
    from ..training.reconstruction_evaluation import ReconstructionEvaluation

NO_DISTANCE = "none"

evaluate = typer.Typer(
    name="evaluate",
    help="Measure a model on your data or a published benchmark.\n\nExample: `pyratok evaluate reconstruction --data films`",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


def reconstruction(
    data: Annotated[
        str, typer.Option("--data", "-d", help="A folder of videos and pictures; its subfolders are taken as well.")
    ],
    benchmark: Annotated[
        Literal["folder", "webvid-10m", "coco-val", "mcl-jcv"],
        typer.Option(
            help="Which of the files count: all, or those of a published set, whose paper's figures are printed."
        ),
    ] = "folder",
    annotations: Annotated[
        str | None, typer.Option("--annotations", help="webvid-10m: the CSV file. coco-val: captions_val2017.json.")
    ] = None,
    model: Model = "pyratok",
    levels: Levels = None,
    json_file: Annotated[
        str | None, typer.Option("--json", help="Write all figures, those of each file too, into this file.")
    ] = None,
    perceptual: Annotated[
        str,
        typer.Option(
            help="A perceptual distance to measure as well: st-lpips, efficientnet-lite0 or lpips. It takes longer, "
            "and some need the extra `train`."
        ),
    ] = NO_DISTANCE,
    max_clips: Annotated[
        int | None, typer.Option("--max-clips", min=1, help="Measure this many files, spread evenly over all.")
    ] = None,
    chunk_frames: ChunkFrames = 16,
    tile_size: TileSize = None,
    tile_overlap: TileOverlap = None,
    dtype: Dtype = "float32",
    device: Device = None,
) -> None:
    """Encode and decode every video and picture of a folder, and say how good the result is and what it costs.

    Files that cannot be read are named, counted and left out; it is an error if none can be.

    Example: `pyratok evaluate reconstruction --data films --json figures.json`
    """
    # These bring torchmetrics, which is slow to import.
    from ..evaluation.paper_figures import paper_table
    from ..training.reconstruction_evaluation import evaluation_record
    from .evaluation_table import evaluation_table

    work = Work(parse_levels(levels), chunk_frames, tile_size, tile_overlap)
    distance = None if perceptual == NO_DISTANCE else perceptual
    files, left_out = _files(benchmark, data, annotations, max_clips)
    resolve_model(model)  # before the seconds that loading takes
    with atomic_path(json_file) if json_file is not None else contextlib.nullcontext() as temporary:
        fingerprint, evaluation = _measure(files, model, work, distance, dtype, device)
        if temporary is not None:
            record = evaluation_record(evaluation, data, model, fingerprint, distance)
            temporary.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", "utf-8")
    show(evaluation_table(data, model, fingerprint, evaluation, distance))
    if benchmark != "folder":
        best = evaluation.reports[0]
        # LPIPS is the distance of that name alone.
        lpips = {"LPIPS": best.perceptual_distance} if distance == "lpips" else {}
        measured = {"PSNR": best.psnr_frames, "SSIM": best.ssim, **lpips}
        show(paper_table(benchmark, measured, f"{best.clips} files of {data}", model))
    for reason in (*left_out, *evaluation.unreadable.values()):
        typer.echo(f"left out: {reason}", err=True)
    if json_file is not None:
        typer.echo(f"wrote {json_file}")


for task in (reconstruction, segmentation, localization, classification, questions, generation):
    evaluate.command()(for_people(task))


def _files(benchmark: str, data: str, annotations: str | None, max_clips: int | None) -> tuple[list[Path], list[str]]:
    """The files to measure, and what of a published set is not there."""
    from ..evaluation.coco_captions import read_coco_captions
    from ..evaluation.mcl_jcv import read_mcl_jcv
    from ..evaluation.webvid import read_webvid
    from ..training.evaluation_files import evaluation_files

    if benchmark in ("folder", "mcl-jcv"):
        not_needed(annotations, benchmark, ("webvid-10m", "coco-val"))
    if benchmark == "folder":
        return evaluation_files(data, max_clips), []
    if benchmark == "mcl-jcv":
        found = read_mcl_jcv(data)
    else:
        read = read_webvid if benchmark == "webvid-10m" else read_coco_captions
        found = read(needed(annotations, benchmark), data)
    return list(spread(found.paths, max_clips)), [f"{name}: {reason}" for name, reason in found.left_out.items()]


def _measure(
    files: Sequence[Path], model: str, work: Work, distance: str | None, dtype: str, device: str | None
) -> tuple[str, "ReconstructionEvaluation"]:
    """The fingerprint of the model's weights and its figures on the files."""
    from ..evaluation.raw_video import open_video
    from ..training.reconstruction_evaluation import StreamOptions, evaluate_reconstruction, measuring_device

    tokenizer = load_quietly(model)
    work.check(tokenizer, (1, 1))
    fingerprint = tokenizer.weights_fingerprint()
    place(tokenizer, dtype, device)
    network = None if distance is None else _distance(distance, measuring_device(tokenizer.device))
    options = StreamOptions(work.chunk_frames, work.tile_size, work.tile_overlap)
    return fingerprint, evaluate_reconstruction(
        tokenizer, files, (work.levels,), network, options, progress_bar("measuring"), open_video
    )


def _distance(name: str, device: torch.device) -> torch.nn.Module:
    """The distance of this name, on `device`. Raises PyraTokError if there is none, or a library that it needs."""
    try:
        from ..training.perceptual_distance import perceptual_distance

        with argument_errors():
            return perceptual_distance(name).to(device).eval()
    except ModuleNotFoundError as problem:
        raise PyraTokError(
            f"the perceptual distance {name!r} needs {problem.name}, which is not installed; install pyratok with its "
            "extra `train`, or leave --perceptual out"
        ) from problem
