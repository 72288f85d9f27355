"""`pyratok localize`: when a text happens in a video."""

import json
import warnings
from pathlib import Path
from typing import Annotated

import typer

from ..modeling_pyratok.atomic_writing import atomic_path
from ..modeling_pyratok.chunks import check_chunk_frames
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.video_reading import VideoReader
from ..pipelines.action_localization_pipeline import (
    PyraTokActionLocalizationPipeline,
    check_numbers,
    window_covers,
)
from ..pipelines.text_aligned_loading import load_text_aligned
from ..pipelines.text_aligned_pipeline import checked_texts
from ..pipelines.video_tokens_of import is_token_path
from .errors_for_people import argument_errors
from .evaluation_output import check_targets, json_target
from .model_use import be_quiet, place
from .options import ChunkFrames, Device, Model, check_png
from .tables import show, two_columns


def localize(
    clip: Annotated[str, typer.Argument(help="A video, or a token file that `pyratok encode` wrote.")],
    text: Annotated[list[str], typer.Option("--text", "-t", help="What happens; may be given several times.")],
    plot: Annotated[
        str | None, typer.Option("--plot", help="The picture to write, NAME.png. Default: CLIP_localization.png.")
    ] = None,
    json_file: Annotated[
        str | None, typer.Option("--json", help="Write the segments and all scores into this file.")
    ] = None,
    model: Model = "pyratok",
    level: Annotated[int, typer.Option("--level", "-l", help="Level whose tokens are compared with the text.")] = 1,
    window: Annotated[
        int,
        typer.Option(
            "--window",
            min=1,
            help="Features, of four frames each, over which scores are averaged; a short clip takes fewer.",
        ),
    ] = 25,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Score from which on it happens. Default: each text's own.")
    ] = None,
    segments: Annotated[
        int, typer.Option("--segments", min=1, help="So many of the longest segments of each text.")
    ] = 1,
    chunk_frames: ChunkFrames = 16,
    device: Device = None,
) -> None:
    """Find when something happens in a video, and draw its score over time.

    Example: `pyratok localize clip.mp4 --text "a person falls" --window 5`
    """
    from ..pipelines.score_plot import score_plot  # slow: it brings matplotlib

    if len(set(text)) < len(text):
        raise PyraTokError(f"each --text is looked for once, but one stands there twice: {', '.join(text)}")
    with argument_errors():  # before the seconds that loading takes
        checked_texts(text, "--text")
        check_numbers(window, threshold, segments)
        check_chunk_frames(chunk_frames)
    check_png("--plot", plot)
    if not is_token_path(clip):
        VideoReader(clip).close()
    target = plot or f"{Path(clip).stem}_localization.png"
    check_targets(plot=target, json=json_file)
    with json_target(json_file) as record_file, atomic_path(target) as picture:
        be_quiet()
        pipeline = place(load_text_aligned(PyraTokActionLocalizationPipeline, model), None, device)
        with argument_errors():
            found = pipeline(clip, text, level, window, threshold, segments, chunk_frames)
        with warnings.catch_warnings():  # of letters that the font lacks; a box stands for each
            warnings.filterwarnings(
                "ignore", "Glyph .* missing from|Matplotlib currently does not support", UserWarning
            )
            score_plot(found).savefig(picture, dpi=100, format="png")
        if record_file is not None:
            record = {
                "segments": dict(zip(found.texts, found.segments, strict=True)),
                "scores": dict(zip(found.texts, found.scores.tolist(), strict=True)),
                "times": found.times.tolist(),
            }
            record_file.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    table = two_columns(Path(clip).name)
    for name, runs in zip(found.texts, found.segments, strict=True):
        lines = [f"{start:.2f} to {end:.2f} s, score {score:.4f}" for start, end, score in runs]
        table.add_row("\n".join(lines) or "not found", name)
    show(table)
    _say_if_covered(window, found.scores.shape[1], pipeline.alignment.config.feature_stride[0])
    for path in (target, json_file):
        if path is not None:
            typer.echo(f"wrote {path}")


def _say_if_covered(window: int, count: int, stride: int) -> None:
    """On stderr, if all scores of a text are equal because the window holds all `count` features of `stride` frames."""
    if count == 1:
        typer.echo(
            "Warning: the clip has one feature, and no time in it to find anything: give a longer clip", err=True
        )
    elif window_covers(window, count):
        typer.echo(
            f"Warning: the clip has {count} features of {stride} frames and the window of {window} covers them all: "
            "give a smaller --window",
            err=True,
        )
