"""`pyratok generate`: a text into a video."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from ..modeling_pyratok.atomic_writing import atomic_path
from ..modeling_pyratok.errors import PyraTokError, TokenFileError
from ..modeling_pyratok.pixel_values import values_to_frames
from ..modeling_pyratok.video_writing import VideoWriter
from ..pipelines.text_to_video_loading import load_text_to_video
from .errors_for_people import argument_errors, memory_errors
from .model_use import be_quiet, place
from .options import Device, Model


def generate(
    prompt: Annotated[str, typer.Argument(help="What the video shows; an empty text leaves it open.")],
    video: Annotated[
        str, typer.Argument(help="The video or picture to write: mp4, webm, mkv, avi, gif; png, jpg, webp.")
    ],
    model: Model = "pyratok",
    frames: Annotated[int, typer.Option("--frames", min=1, help="Number of frames.")] = 17,
    height: Annotated[int, typer.Option("--height", min=1)] = 64,
    width: Annotated[int, typer.Option("--width", min=1)] = 64,
    guidance: Annotated[
        float, typer.Option("--guidance", help="How far to follow the text; 1 does not exaggerate.")
    ] = 2.0,
    temperature: Annotated[float, typer.Option("--temperature", help="0 always takes what is likeliest.")] = 1.0,
    top_k: Annotated[
        int | None, typer.Option("--top-k", help="Of each group of bits only so many likeliest values.")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option("--top-p", help="Only the likeliest values up to this probability.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same video.")] = 0,
    start: Annotated[
        str | None, typer.Option("--start", help="A clip or picture to go on from; its size counts.")
    ] = None,
    fps: Annotated[float, typer.Option("--fps", help="Frames per second.")] = 24.0,
    tokens: Annotated[str | None, typer.Option("--tokens", help="Write the tokens as well, NAME.safetensors.")] = None,
    device: Device = None,
) -> None:
    """Generate a video from a text.

    Example: `pyratok generate "a rabbit on a meadow" rabbit.mp4 --model runs/mine/stage_2`
    """
    if tokens is not None and Path(tokens).suffix != ".safetensors":
        raise PyraTokError(f"--tokens takes NAME.safetensors, got {tokens!r}")
    be_quiet()
    with VideoWriter(video, fps) as writer:
        pipeline = place(load_text_to_video(model), None, device)
        pipeline.set_progress_bar_config(desc="tokens", unit="token")
        with argument_errors(), memory_errors("ask for fewer frames, or smaller ones"):
            output = pipeline(
                prompt,
                num_frames=frames,
                height=height,
                width=width,
                guidance_scale=guidance,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                generator=torch.Generator().manual_seed(seed),
                video=start,
                fps=fps,
                output_type="pt",
            )
        for frame in values_to_frames(2 * output.frames - 1)[0]:
            writer.write(frame.cpu())
    if tokens is not None:
        with atomic_path(tokens, error=TokenFileError) as temporary:
            temporary.write_bytes(output.tokens.to_bytes())
    count, rows, columns = output.tokens.video_size
    typer.echo(f"wrote {video}: {count:,} frames of {columns} x {rows}, {output.tokens.num_tokens:,} tokens")
