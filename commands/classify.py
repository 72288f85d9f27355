"""`pyratok classify`: which of some labels fits a video best."""

from pathlib import Path
from typing import Annotated

import typer

from ..modeling_pyratok.video_reading import VideoReader
from ..pipelines.classification_pipeline import PLACE, PyraTokClassificationPipeline
from ..pipelines.text_aligned_loading import load_text_aligned
from ..pipelines.video_tokens_of import is_token_path
from .errors_for_people import argument_errors
from .model_use import be_quiet, place
from .options import ChunkFrames, Device, Model, parse_levels
from .tables import show, two_columns


def classify(
    clip: Annotated[str, typer.Argument(help="A video or picture, or a token file that `pyratok encode` wrote.")],
    label: Annotated[list[str], typer.Option("--label", help="A name of a class; give it several times.")],
    model: Model = "pyratok",
    levels: Annotated[
        str | None, typer.Option("--levels", "-l", help="Levels whose tokens count. Default: all.")
    ] = None,
    template: Annotated[
        str, typer.Option("--template", help='Where the label goes, for example "a video of {}".')
    ] = PLACE,
    chunk_frames: ChunkFrames = 16,
    device: Device = None,
) -> None:
    """Say which of some labels fits a video best.

    Example: `pyratok classify clip.mp4 --label "a city at night" --label "an animated film"`
    """
    if not is_token_path(clip):
        VideoReader(clip).close()  # what cannot be read is said before the seconds that loading takes
    chosen = parse_levels(levels)
    be_quiet()
    pipeline = place(load_text_aligned(PyraTokClassificationPipeline, model), None, device)
    with argument_errors():
        found = pipeline(clip, label, chosen, template, chunk_frames)
    table = two_columns(Path(clip).name)
    for probability, name in sorted(zip(found.scores.tolist(), found.labels, strict=True), key=lambda pair: -pair[0]):
        table.add_row(f"{probability:.1%}", name)
    show(table)
