"""`pyratok encode`: a video into a token file."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ..modeling_pyratok.atomic_writing import atomic_path
from ..modeling_pyratok.errors import TokenFileError
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.token_files import is_token_file
from ..modeling_pyratok.video_reading import VideoReader
from ..pipelines.bundled_model import resolve_model
from ..pipelines.token_streams import TokenCollector, keep_levels
from .frame_source import FrameSource
from .model_use import Work, load_quietly, place
from .options import ChunkFrames, Device, Dtype, Levels, MaxFrames, Model, TileOverlap, TileSize, parse_levels
from .tables import show, tokens_table

EXTENSION = ".safetensors"


def encode(
    clip: Annotated[str, typer.Argument(help="A video or picture: mp4, webm, mkv, avi, mov, gif, png, jpg, ...")],
    tokens: Annotated[str, typer.Argument(help="The token file to write, NAME.safetensors.")],
    model: Model = "pyratok",
    levels: Levels = None,
    chunk_frames: ChunkFrames = 16,
    max_frames: MaxFrames = None,
    tile_size: TileSize = None,
    tile_overlap: TileOverlap = None,
    dtype: Dtype = "float32",
    device: Device = None,
) -> None:
    """Encode CLIP into a token file.

    The file holds the tokens, the size, the frame rate and the fingerprint of the weights, all that decoding needs. It
    holds no sound, and of a variable frame rate the average.

    Example: `pyratok encode holiday.mp4 holiday.safetensors`
    """
    _check_target(tokens)
    work = Work(parse_levels(levels), chunk_frames, tile_size, tile_overlap)
    with VideoReader(clip) as reader:
        resolve_model(model)  # before the seconds that loading takes
        with atomic_path(tokens, error=TokenFileError) as temporary:
            tokenizer = load_quietly(model)
            work.check(tokenizer, (reader.info.height, reader.info.width))
            fingerprint = tokenizer.weights_fingerprint()  # of the weights as they are stored: before `place`
            place(tokenizer, dtype, device)
            collector = TokenCollector(tokenizer)
            _collect(tokenizer, FrameSource(reader, max_frames, tokenizer.device), work, collector)
            contents = collector.tokens(reader.frame_rate.average, model, fingerprint)
            num_bytes = temporary.write_bytes(contents.to_bytes())
    show(tokens_table(tokens, contents, num_bytes))
    if not reader.frame_rate.is_kept:
        typer.echo(
            f"Warning: the frames of {clip!r} do not keep to the {float(reader.info.fps):.6g} per second that it states; "
            f"the token file has their average, {float(contents.fps):.6g}, and not their times.",
            err=True,
        )


def _check_target(tokens: str) -> None:
    """The weights of models have the same extension, and must not be lost to a slip of the hand."""
    if Path(tokens).suffix != EXTENSION:
        raise TokenFileError(f"a token file is called NAME{EXTENSION}, got {tokens!r}")
    if os.path.isfile(tokens) and os.path.getsize(tokens) and not is_token_file(tokens):
        raise TokenFileError(f"{tokens!r} is there and is no token file; give another name, or remove it first")


def _collect(model: PyraTokModel, source: FrameSource, work: Work, collector: TokenCollector) -> None:
    """Encode all frames; each is let go as soon as its chunk is done."""
    for piece in model.encode_stream(source, chunk_frames=work.chunk_frames, **work.tiles):
        collector.add(keep_levels(model, piece.video_codes, work.levels), piece.video_size)
        for _ in range(piece.video_size[0]):
            source.take()
