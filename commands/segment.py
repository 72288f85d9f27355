"""`pyratok segment`: words into masks of a video."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from ..modeling_pyratok.atomic_writing import atomic_path
from ..modeling_pyratok.chunks import check_chunk_frames
from ..modeling_pyratok.content_words import content_words
from ..modeling_pyratok.errors import PyraTokError, VideoWriteError
from ..modeling_pyratok.video_reading import VideoReader
from ..modeling_pyratok.video_tokens import VideoTokens
from ..modeling_pyratok.video_writing import VideoWriter
from ..pipelines.mask_pictures import overlaid, with_legend
from ..pipelines.pictures import ContactSheet
from ..pipelines.segmentation_pipeline import PyraTokSegmentationPipeline, SegmentationMaps
from ..pipelines.text_aligned_loading import load_text_aligned
from ..pipelines.text_aligned_pipeline import checked_texts
from ..pipelines.token_streams import decoded_frames
from ..pipelines.video_tokens_of import is_token_path
from .errors_for_people import argument_errors, memory_errors
from .model_use import be_quiet, place
from .options import ChunkFrames, Device, Model, parse_levels
from .output_folder import output_folder
from .tables import show, two_columns

LONGEST_NAME = 50
"""Letters of a word in the name of its file."""

OVERLAY, SHEET, MASKS = "overlay", "contact_sheet.png", "{}.masks.npz"


def segment(
    clip: Annotated[
        str, typer.Argument(help="A video or picture: mp4, webm, mkv, gif, png, jpg, ...; or a token file.")
    ],
    text: Annotated[
        list[str],
        typer.Option(
            "--text", "-t", help="A phrase: a mask for each content word. Several: a mask for each as it stands."
        ),
    ],
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="The folder to write into. Default: CLIP_segmentation.")
    ] = None,
    model: Model = "pyratok",
    levels: Annotated[
        str, typer.Option("--levels", "-l", help="Levels whose tokens are compared with the words, for example 1,4.")
    ] = "4",
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", help="Score from which on a pixel counts. Default: each word's own."),
    ] = None,
    crf: Annotated[
        bool,
        typer.Option("--crf/--no-crf", help="Fit the masks to edges in the pictures; takes longer, and more memory."),
    ] = False,
    chunk_frames: ChunkFrames = 16,
    device: Device = None,
) -> None:
    """Find the pixels of a video that words speak of.

    Writes the video with the masks over it, a contact sheet (original above, masks below), and each mask as NAME.masks.npz
    (`masks`: bits packed along the width, `shape`: frames, rows, columns). While it works a mask takes an eighth of a byte for
    each pixel of the film. Of a token file the pictures are decoded.

    Example: `pyratok segment clip.mp4 --text "a dog and a ball"`
    """
    asked = text[0] if len(text) == 1 else text
    with argument_errors():
        words = content_words(asked) if len(text) == 1 else checked_texts(asked, "--text")
        check_chunk_frames(chunk_frames)
    chosen, folder, files = parse_levels(levels), Path(output or f"{Path(clip).stem}_segmentation"), _mask_files(words)
    with ExitStack() as opened:
        if is_token_path(clip):
            video = VideoTokens.load(clip)
            is_image, fps = video.video_size[0] == 1, video.fps
        else:
            video, reader = clip, opened.enter_context(VideoReader(clip))
            is_image, fps = reader.info.is_image, reader.info.fps
        names = [f"{OVERLAY}{'.png' if is_image else '.mp4'}", SHEET, *files]
        stage = opened.enter_context(output_folder(folder, names))
        be_quiet()
        pipeline = place(load_text_aligned(PyraTokSegmentationPipeline, model), None, device)
        with argument_errors(), memory_errors("leave --crf out, or give a shorter or smaller clip"):
            maps = pipeline.maps(video, asked, chosen, threshold, chunk_frames)
            frames = reader if video is clip else decoded_frames(pipeline.vq_model, video, None, chunk_frames)
            if crf:
                refined = pipeline.refine(maps, video, chunk_frames=chunk_frames) >= 0.5
                pieces = iter(refined.split(chunk_frames, dim=1))
            else:
                pieces = (masks for masks, _ in pipeline.stream(maps, chunk_frames))
            shares = _write(stage, names, frames, fps, maps, pieces)
    table = two_columns(Path(clip).name)
    for word, share, limit in zip(words, shares, maps.thresholds.tolist(), strict=True):
        told = f"score from {limit:.4f} on" if limit < float("inf") else "all score the same"
        table.add_row(f"{share:.1%} of the pixels; {told}", word)
    show(table)
    for name in names:
        typer.echo(f"wrote {folder / name}")


def _mask_files(words: Sequence[str]) -> list[str]:
    """A file name for each word. Raises PyraTokError if two words would have one."""
    names = [MASKS.format(re.sub(r"[^\w-]+", "_", word).strip("_")[:LONGEST_NAME] or "mask") for word in words]
    if len(set(names)) < len(names):
        raise PyraTokError(
            f"each --text gets a mask of its own, but two of these would be one file: {', '.join(words)}"
        )
    return names


def _write(
    folder: Path,
    files: Sequence[str],
    frames: Iterable[torch.Tensor],
    fps: Fraction,
    maps: SegmentationMaps,
    pieces: Iterator[torch.Tensor],
) -> list[float]:
    """Write all files, a piece (K, n, H, W) of masks at a time; returns each mask's share of the pixels.

    frames: uint8 (H, W, 3), those of the clip.
    """
    sheet, packed = ContactSheet(), []
    counts = torch.zeros(len(maps.words), dtype=torch.int64)
    overlay, sheet_file, *mask_files = files
    with VideoWriter(folder / overlay, fps) as video:
        frames = iter(frames)
        for piece in pieces:
            counts += piece.sum(dim=(1, 2, 3))
            packed.append(np.packbits(piece.numpy(), axis=-1))
            for masks in piece.unbind(1):
                frame = next(frames)
                picture = with_legend(overlaid(frame, masks), maps.words)
                video.write(picture)
                sheet.add(with_legend(frame, ()), picture)
    with atomic_path(folder / sheet_file, error=VideoWriteError) as path:
        sheet.picture().save(path)
    size = maps.tokens.video_size
    for name, bits in zip(mask_files, np.concatenate(packed, axis=1), strict=True):
        with atomic_path(folder / name) as path, open(path, "wb") as file:
            np.savez_compressed(file, masks=bits, shape=np.array(size))
    return (counts / float(np.prod(size))).tolist()
