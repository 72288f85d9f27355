"""`pyratok info`: what a token file, a video or a model folder holds."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ..modeling_pyratok.video_reading import VideoReader
from ..modeling_pyratok.video_tokens import VideoTokens
from ..pipelines.bundled_model import BUNDLED_ID
from .encode import EXTENSION
from .model_use import load_quietly
from .tables import model_table, show, tokens_table, video_table


def info(
    path: Annotated[str, typer.Argument(help="A token file, a video or picture, a model folder, or `pyratok`.")],
) -> None:
    """Say what a token file, a video or a model folder holds.

    Example: `pyratok info holiday.safetensors`
    """
    if path == BUNDLED_ID or os.path.isdir(path):
        show(model_table(path, load_quietly(path)))
    elif Path(path).suffix == EXTENSION:
        show(tokens_table(path, VideoTokens.load(path), os.path.getsize(path)))
    else:
        with VideoReader(path) as reader:
            show(video_table(path, reader.info))
