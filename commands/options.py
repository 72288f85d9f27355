"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..modeling_pyratok.errors import PyraTokError

Model = Annotated[
    str, typer.Option("--model", "-m", help="`pyratok` for the bundled model, a model folder, or a Hub id.")
]
Levels = Annotated[
    str | None,
    typer.Option("--levels", "-l", help="Levels to keep, for example 3,4 for a coarse preview. Default: all."),
]
ChunkFrames = Annotated[
    int, typer.Option("--chunk-frames", help="Frames per step, a multiple of 4: more is faster and takes more memory.")
]
MaxFrames = Annotated[int | None, typer.Option("--max-frames", min=1, help="Stop after this many frames.")]
TileSize = Annotated[
    int | None,
    typer.Option("--tile-size", help="Work in overlapping tiles of this many pixels, if frames are too large."),
]
TileOverlap = Annotated[
    int | None, typer.Option("--tile-overlap", help="Least overlap of tiles in pixels. Default: a quarter tile.")
]
Dtype = Annotated[
    Literal["float32", "bfloat16", "float16"],
    typer.Option("--dtype", help="Number format of the model; the short ones may change a few bits of the tokens."),
]
Device = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, cuda:1, mps. Default: a GPU if there is one.")
]


def check_png(option: str, name: str | None) -> None:
    """Raises PyraTokError for a picture's name that does not say that it is a PNG."""
    if name is not None and Path(name).suffix.lower() != ".png":
        raise PyraTokError(f"{option} takes NAME.png, got {name!r}")


def parse_levels(text: str | None) -> tuple[int, ...] | None:
    """ "3,4" as (3, 4). Raises PyraTokError unless it is whole numbers with commas between."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as problem:
        raise PyraTokError(
            f"--levels takes level numbers with commas between, for example 3,4; got {text!r}"
        ) from problem
