"""`pyratok ask`: a question about a video."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from ..modeling_pyratok.chunks import check_chunk_frames
from ..modeling_pyratok.video_reading import VideoReader
from ..pipelines.question_answering_loading import load_question_answering
from ..pipelines.question_answering_pipeline import check_numbers, check_question
from ..pipelines.video_tokens_of import check_seconds, is_token_path
from .errors_for_people import argument_errors, memory_errors
from .model_use import be_quiet, place
from .options import ChunkFrames, Device, Model, parse_levels
from .tables import show, two_columns


def ask(
    clip: Annotated[str, typer.Argument(help="A video or picture, or a token file that `pyratok encode` wrote.")],
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    choice: Annotated[
        list[str] | None, typer.Option("--choice", help="An answer to choose from; give it several times.")
    ] = None,
    model: Model = "pyratok",
    projector: Annotated[
        str | None,
        typer.Option("--projector", help="The folder of a projector that you trained. Default: the model's."),
    ] = None,
    levels: Annotated[
        str | None, typer.Option("--levels", "-l", help="Levels whose tokens count. Default: all.")
    ] = None,
    start: Annotated[float | None, typer.Option("--start", help="Look at the video from this second on.")] = None,
    end: Annotated[float | None, typer.Option("--end", help="Look at the video up to this second.")] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate/--no-calibrate", help="Take off how likely a choice is without the video.")
    ] = True,
    max_words: Annotated[
        int,
        typer.Option(
            "--max-tokens", min=1, help="An answer in words is cut to so many of the language model's tokens."
        ),
    ] = 40,
    temperature: Annotated[
        float, typer.Option("--temperature", help="0 takes the likeliest words; 1 draws them, by --seed.")
    ] = 0.0,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same words.")] = 0,
    chunk_frames: ChunkFrames = 16,
    device: Device = None,
) -> None:
    """Answer a question about a video: in words, or by choosing among answers.

    Example: `pyratok ask clip.mp4 "What is in the video?" --choice "a rabbit" --choice "a car"`
    """
    with argument_errors():  # before the seconds that loading takes
        check_question(question, choice or None)
        check_numbers(max_words, temperature)
        check_seconds(start, end)
        check_chunk_frames(chunk_frames)
    chosen = parse_levels(levels)
    if not is_token_path(clip):
        VideoReader(clip).close()
    be_quiet()
    pipeline = place(load_question_answering(model, projector), None, device)
    with argument_errors(), memory_errors("give a shorter or smaller clip, or fewer --levels"):
        found = pipeline(
            clip,
            question,
            choice or None,
            chosen,
            calibrate,
            max_words,
            temperature,
            torch.Generator().manual_seed(seed),
            start,
            end,
            chunk_frames,
        )
    if found.scores is None:
        typer.echo(found.answer)
        return
    table = two_columns(Path(clip).name)
    for probability, name in sorted(zip(found.scores.tolist(), choice, strict=True), key=lambda pair: -pair[0]):
        table.add_row(f"{probability:.1%}", name)
    show(table)
