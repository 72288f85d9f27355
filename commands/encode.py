"""`pyratok encode`: a video into a token file, or all videos of a folder into a folder of token files."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ..modeling_pyratok.atomic_writing import atomic_path
from ..modeling_pyratok.errors import TokenFileError
from ..modeling_pyratok.token_files import TOKEN_FILE_SUFFIX, is_token_file
from ..modeling_pyratok.video_reading import VideoReader
from ..pipelines.bundled_model import resolve_model
from ..token_datasets.hub_upload import HubTarget
from ..training.evaluation_files import evaluation_files
from .clip_encoding import ClipEncoder, uneven_frames
from .folder_encoding import FolderEncoding, OptionsRecord, clips_of, encode_clips
from .model_use import Work
from .options import ChunkFrames, Device, Dtype, Levels, MaxFrames, Model, TileOverlap, TileSize, parse_levels
from .progress import progress_bar
from .tables import show, tokens_table
from .token_push import check_tokens, hub_target, push_tokens

EXTENSION = TOKEN_FILE_SUFFIX


def encode(
    clip: Annotated[
        str,
        typer.Argument(help="A video or picture: mp4, webm, mkv, avi, mov, gif, png, jpg, ...; or a folder of them."),
    ],
    tokens: Annotated[
        str | None,
        typer.Argument(help="The token file to write, NAME.safetensors; or, for a folder, the folder for them."),
    ] = None,
    model: Model = "pyratok",
    levels: Levels = None,
    chunk_frames: ChunkFrames = 16,
    max_frames: MaxFrames = None,
    tile_size: TileSize = None,
    tile_overlap: TileOverlap = None,
    dtype: Dtype = "float32",
    device: Device = None,
    force: Annotated[
        bool, typer.Option("--force", help="Of a folder encode the files again whose tokens are up to date.")
    ] = False,
    push: Annotated[
        str | None, typer.Option("--push", help="Make the tokens of a folder a dataset on the Hub, OWNER/NAME.")
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="Of the dataset. Default: train.")] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="Of the dataset, as the Hub names it: cc-by-4.0, mit ...")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="The dataset is for its owner alone.")] = False,
) -> None:
    """Encode CLIP into a token file.

    The file holds the tokens, the size, the frame rate and the fingerprint of the weights, all that decoding needs. It
    holds no sound, and of a variable frame rate the average.

    Of a folder every video and picture is encoded, those in its subfolders too: `a/b.mp4` into `TOKENS/a/b.mp4.safetensors`.
    Captions of a `metadata.jsonl` in it (`file_name`, `text`) are stored with the tokens; the tokenizer does not see them.
    Given again, the command goes on where it was stopped. Files that cannot be read are named, counted and left out.

    With `--push` the tokens become a dataset that `datasets` streams: a split of it, with a card that says what is in it. The
    token files stay, in `NAME-token-files/SPLIT` unless TOKENS is another folder, so that the next push makes only what is new.

    Example: `pyratok encode holiday.mp4 holiday.safetensors`, `pyratok encode films --push me/film-tokens --license mit`
    """
    work = Work(parse_levels(levels), chunk_frames, tile_size, tile_overlap)
    target = hub_target(clip, model, push, split, licence, private)
    if tokens is None:
        if target is None:
            raise typer.BadParameter("say where they go: NAME.safetensors, or a folder", param_hint="TOKENS")
        tokens = target.folder
    if os.path.isdir(clip):
        report = _encode_folder(clip, tokens, model, work, max_frames, dtype, device, force, target)
        if target is not None:
            push_tokens(report.files, target, tokens)
        return
    _check_target(tokens)
    with VideoReader(clip) as reader:
        resolve_model(model)  # before the seconds that loading takes
        with atomic_path(tokens, error=TokenFileError) as temporary:
            contents = ClipEncoder(model, work, max_frames, dtype, device).encode(reader)
            num_bytes = temporary.write_bytes(contents.to_bytes())
    show(tokens_table(tokens, contents, num_bytes))
    warning = uneven_frames(clip, reader, contents)
    if warning is not None:
        typer.echo(warning, err=True)


def _encode_folder(
    folder: str,
    tokens: str,
    model: str,
    work: Work,
    max_frames: int | None,
    dtype: str,
    device: str | None,
    force: bool,
    target: HubTarget | None,
) -> FolderEncoding:
    clips = clips_of(folder, tokens, evaluation_files(folder))
    for clip in clips:
        _check_target(str(clip.target))
    resolve_model(model)
    encoder = ClipEncoder(model, work, max_frames, dtype, device)
    if target is not None:
        check_tokens(target, encoder.kind)
    options = {"max_frames": max_frames, "dtype": dtype, "chunk_frames": work.chunk_frames, **work.tiles}
    record = OptionsRecord(tokens, options, anew=force)
    report = encode_clips(clips, encoder, record, progress_bar("encoding"))
    _report(tokens, report)
    return report


def _report(target: str, report: FolderEncoding) -> None:
    count = report.written + report.kept
    typer.echo(
        f"wrote {report.written:,} token files into {target}, {report.kept:,} were up to date: {report.frames:,} frames, "
        f"{report.tokens:,} tokens, {report.captions:,} of {count:,} files with a caption"
    )
    for warning in report.warnings:
        typer.echo(warning, err=True)
    for reason in report.unreadable.values():
        typer.echo(f"left out: {reason}", err=True)


def _check_target(tokens: str) -> None:
    """The weights of models have the same extension, and must not be lost to a slip of the hand."""
    if Path(tokens).suffix != EXTENSION:
        raise TokenFileError(f"a token file is called NAME{EXTENSION}, got {tokens!r}")
    if os.path.isfile(tokens) and os.path.getsize(tokens) and not is_token_file(tokens):
        raise TokenFileError(f"{tokens!r} is there and is no token file; give another name, or remove it first")
