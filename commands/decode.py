"""`pyratok decode`: a token file into a video."""

from typing import Annotated

import typer

from ..modeling_pyratok.input_checks import check_levels
from ..modeling_pyratok.video_tokens import VideoTokens
from ..modeling_pyratok.video_writing import VideoWriter
from ..pipelines.bundled_model import resolve_model
from ..pipelines.token_streams import decoded_frames
from .errors_for_people import argument_errors
from .model_use import Work, load_quietly, place
from .options import ChunkFrames, Device, Dtype, Levels, Model, TileOverlap, TileSize, parse_levels


def decode(
    tokens: Annotated[str, typer.Argument(help="A token file that `pyratok encode` wrote.")],
    video: Annotated[
        str, typer.Argument(help="The video or picture to write: mp4, webm, mkv, avi, gif; png, jpg, webp.")
    ],
    model: Model = "pyratok",
    levels: Levels = None,
    chunk_frames: ChunkFrames = 16,
    tile_size: TileSize = None,
    tile_overlap: TileOverlap = None,
    dtype: Dtype = "float32",
    device: Device = None,
    force: Annotated[
        bool, typer.Option("--force", help="Decode with other weights than those that made the tokens.")
    ] = False,
) -> None:
    """Decode a token file into a video.

    Example: `pyratok decode holiday.safetensors holiday.mp4`
    """
    work = Work(parse_levels(levels), chunk_frames, tile_size, tile_overlap)
    contents = VideoTokens.load(tokens)
    resolve_model(model)  # before the seconds that loading takes
    with argument_errors():
        check_levels(work.levels, contents.video_codes, len(contents.video_codes))
    with VideoWriter(video, contents.fps) as writer:
        tokenizer = load_quietly(model)
        work.check(tokenizer, contents.video_size[1:])
        contents.check_fits(tokenizer, force=force)
        place(tokenizer, dtype, device)
        for frame in decoded_frames(tokenizer, contents, work.levels, work.chunk_frames, **work.tiles):
            writer.write(frame)
    frames, height, width = contents.video_size
    typer.echo(f"wrote {video}: {frames:,} frames of {width} x {height}")
