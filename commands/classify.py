"""`pyratok classify`: which of some labels fits a video best, or which class a linear probe finds in it."""

from pathlib import Path
from typing import Annotated

import typer

from ..evaluation.linear_probe import LinearProbe
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.video_reading import VideoReader
from ..pipelines.classification_pipeline import PLACE, PyraTokClassificationPipeline
from ..pipelines.text_aligned_loading import load_text_aligned
from ..pipelines.video_tokens_of import is_token_path
from .errors_for_people import argument_errors
from .model_use import be_quiet, place
from .options import ChunkFrames, Device, Model, parse_levels
from .probe_use import check_probe
from .tables import show, two_columns

PROBE_CLASSES = 5
"""A probe may know hundreds of classes: so many of the likeliest are shown."""


def classify(
    clip: Annotated[str, typer.Argument(help="A video or picture, or a token file that `pyratok encode` wrote.")],
    label: Annotated[
        list[str] | None, typer.Option("--label", help="A name of a class; give it several times.")
    ] = None,
    probe: Annotated[
        str | None,
        typer.Option(
            "--probe",
            help="Instead of labels: a linear probe that `pyratok evaluate classification --save-probe` wrote.",
        ),
    ] = None,
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
    """Say which of some labels fits a video best, or the likeliest classes of a linear probe.

    Example: `pyratok classify clip.mp4 --label "a city at night" --label "an animated film"`
    """
    if bool(label) == (probe is not None):
        raise PyraTokError("classes are names or those of a probe: give --label once for each name, or --probe FILE")
    if probe is not None and template != PLACE:
        raise PyraTokError(f"--template {template!r} is for --label: a probe takes no names")
    fitted = None if probe is None else LinearProbe.load(probe)
    if not is_token_path(clip):
        VideoReader(clip).close()  # what cannot be read is said before the seconds that loading takes
    chosen = parse_levels(levels)
    be_quiet()
    pipeline = place(load_text_aligned(PyraTokClassificationPipeline, model), None, device)
    with argument_errors():
        if fitted is None:
            found = pipeline(clip, label, chosen, template, chunk_frames)
            labels, scores, count = found.labels, found.scores, len(found.labels)
        else:
            check_probe(fitted, probe, pipeline, chosen)
            features = pipeline.features(clip, fitted.levels, chunk_frames)  # (D,)
            labels, scores, count = fitted.classes, fitted.scores(features[None])[0], PROBE_CLASSES
    table = two_columns(Path(clip).name)
    ranked = sorted(zip(scores.tolist(), labels, strict=True), key=lambda pair: -pair[0])
    for probability, name in ranked[:count]:
        table.add_row(f"{probability:.1%}", name)
    show(table)
