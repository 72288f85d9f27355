"""`pyratok reconstruct`: a video through the tokens and back, to look at and with figures."""

from pathlib import Path
from typing import Annotated

import typer

from ..modeling_pyratok.video_reading import VideoReader
from ..pipelines.bundled_model import resolve_model
from .model_use import Work, load_quietly, place
from .options import ChunkFrames, Device, Dtype, Levels, MaxFrames, Model, TileOverlap, TileSize, parse_levels
from .output_folder import output_folder
from .tables import reconstruction_table, show


def reconstruct(
    clip: Annotated[str, typer.Argument(help="A video or picture: mp4, webm, mkv, avi, mov, gif, png, jpg, ...")],
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="Folder for the results. Default: NAME_reconstruction, here.")
    ] = None,
    model: Model = "pyratok",
    levels: Levels = None,
    chunk_frames: ChunkFrames = 16,
    max_frames: MaxFrames = None,
    tile_size: TileSize = None,
    tile_overlap: TileOverlap = None,
    dtype: Dtype = "float32",
    device: Device = None,
) -> None:
    """Encode CLIP to tokens, decode them, and show how good the result is.

    Writes the reconstruction (with the sound of CLIP), original and reconstruction side by side, and a contact sheet,
    and prints a table of figures.

    Example: `pyratok reconstruct holiday.mp4 --output holiday_tokens`
    """
    from .reconstruction_run import output_names, run_reconstruction  # slow: it brings torchmetrics

    work = Work(parse_levels(levels), chunk_frames, tile_size, tile_overlap)
    folder = Path(output if output is not None else f"{Path(clip).stem}_reconstruction")
    with VideoReader(clip) as reader:
        resolve_model(model)  # before the seconds that loading takes
        names = output_names(clip, reader.info, folder)
        with output_folder(folder, names) as stage:
            tokenizer = load_quietly(model)
            work.check(tokenizer, (reader.info.height, reader.info.width))
            place(tokenizer, dtype, device)
            result = run_reconstruction(tokenizer, reader, clip, stage, names, work, max_frames)
    show(reconstruction_table(clip, reader.info, result))
    for name in names:
        typer.echo(f"wrote {folder / name}")
