"""What the commands print on stdout."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.video_reading import VideoInfo
from ..modeling_pyratok.video_tokens import VideoTokens

if TYPE_CHECKING:
    from .reconstruction_run import ReconstructionResult


def show(table: Table) -> None:
    """Print a table on stdout; brackets and colons in it mean nothing to rich."""
    Console(markup=False, highlight=False, emoji=False).print(table)


def reconstruction_table(clip: str, info: VideoInfo, result: "ReconstructionResult") -> Table:
    """The figures of `pyratok reconstruct`."""
    report, table = result.report, _table(clip)
    table.add_row("frames", f"{report.frames:,}")
    rate = "a picture" if info.is_image else f"{float(info.fps):.6g} frames per second"
    table.add_row("size", f"{info.width} x {info.height}, {rate}")
    table.add_row("sound", result.sound)
    add_levels(table, "tokens per level", _counts(report.tokens_per_level, result.level_strides))
    table.add_row("bits per pixel", f"{report.bits_per_pixel:.4f}")
    table.add_row("PSNR, whole clip", _decibels(report.psnr_clip))
    table.add_row("PSNR, mean of frames", _decibels(report.psnr_frames))
    table.add_row("SSIM", "none: the frames are too small" if math.isnan(report.ssim) else f"{report.ssim:.4f}")
    shares = ["left out" if math.isnan(share) else f"{share:.1%}" for share in report.code_use]
    add_levels(table, "share of codes used", shares)
    table.add_row(
        "frames per second",
        f"{report.frames / result.model_seconds:.1f} encoding and decoding, "
        f"{report.frames / result.total_seconds:.1f} with reading, measuring and writing",
    )
    return table


def tokens_table(path: str, tokens: VideoTokens, num_bytes: int) -> Table:
    """What a token file holds."""
    frames, height, width = tokens.video_size
    table = _table(path)
    table.add_row("kind", f"token file, {num_bytes:,} bytes")
    table.add_row("frames", f"{frames:,}")
    table.add_row("size", f"{width} x {height}, {float(tokens.fps):.6g} frames per second")
    counts = [0 if codes is None else codes.numel() for codes in tokens.video_codes]
    add_levels(table, "tokens per level", _counts(counts, tokens.level_strides))
    table.add_row("bits per token", str(tokens.codebook_bits))
    table.add_row("bits per pixel", f"{tokens.bits_per_pixel:.4f}")
    table.add_row("model", tokens.model_id or "not known")
    table.add_row("weights", tokens.weights_fingerprint or "not known")
    table.add_row("caption", printable(tokens.caption or "none"))
    return table


def video_table(path: str, info: VideoInfo) -> Table:
    """What a video's or picture's header says."""
    table = _table(path)
    table.add_row("kind", "picture" if info.is_image else "video")
    table.add_row("size", f"{info.width} x {info.height}")
    if not info.is_image:
        table.add_row("frames per second", f"{float(info.fps):.6g}")
        table.add_row("frames", "not said" if info.num_frames is None else f"{info.num_frames:,}, says the header")
        table.add_row("duration", "not said" if info.duration is None else f"{info.duration:.2f} s")
        table.add_row("sound", "yes" if info.has_audio else "no")
    return table


def model_table(folder: str, model: PyraTokModel) -> Table:
    """What a model folder holds."""
    table = _table(folder)
    table.add_row("kind", "model")
    add_model(table, model)
    return table


def add_model(table: Table, model: PyraTokModel) -> None:
    """The lines about a model."""
    config = model.config
    table.add_row("parameters", f"{sum(parameter.numel() for parameter in model.parameters()):,}")
    add_levels(table, "levels", [f"one token {_covers(stride)}" for stride in config.level_strides])
    table.add_row("bits per token", str(config.codebook_bits))
    table.add_row("quantizer", config.quantizer)
    table.add_row("text encoder", config.text_encoder or "none")
    table.add_row("weights", model.weights_fingerprint())


def _table(path: str) -> Table:
    """A table of names and values under the file's name."""
    return two_columns(Path(path).name)


def two_columns(title: str) -> Table:
    """An empty table of names and values."""
    table = Table(title=printable(title), title_justify="left", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def add_levels(table: Table, name: str, values: Sequence[str]) -> None:
    """One line for each level, 1 first."""
    table.add_row(name, "\n".join(f"{level}: {value}" for level, value in enumerate(values, start=1)))


def _counts(counts: Sequence[int], strides: Sequence[Sequence[int]]) -> list[str]:
    return [
        f"{count:,}, one {_covers(stride)}" if count else "left out"
        for count, stride in zip(counts, strides, strict=True)
    ]


def _covers(stride: Sequence[int]) -> str:
    """What a token of this stride (t, s) stands for."""
    return f"for {stride[0]} frames of {stride[1]} x {stride[1]} pixels"


def _decibels(value: float) -> str:
    return f"{value:.2f} dB"


def printable(text: str) -> str:
    """Text of a file without what a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text)
