"""What `pyratok evaluate reconstruction` prints."""

import math

from rich.table import Table

from ..training.reconstruction_evaluation import ReconstructionEvaluation
from .tables import add_levels, two_columns


def evaluation_table(
    folder: str, model: str, weights_fingerprint: str, evaluation: ReconstructionEvaluation, distance: str | None
) -> Table:
    """The figures of the first of the evaluation's level sets; `distance` names the perceptual distance, if any."""
    report = evaluation.reports[0]
    table = two_columns(f"{model} on {folder}")
    table.add_row("clips, frames", f"{report.clips:,}, {report.frames:,}")
    if evaluation.unreadable:
        table.add_row("unreadable files", f"{len(evaluation.unreadable):,}, left out")
    table.add_row("PSNR, whole clip", _number(report.psnr_clip, "{:.2f} dB"))
    table.add_row("PSNR, mean of frames", _number(report.psnr_frames, "{:.2f} dB"))
    table.add_row("SSIM", _number(report.ssim, "{:.4f}"))
    if distance is not None:
        table.add_row(f"distance, {distance}", _number(report.perceptual_distance, "{:.4f}"))
    table.add_row("bits per pixel", f"{report.bits_per_pixel:.4f}")
    add_levels(table, "tokens per level", [f"{count:,}" for count in report.tokens_per_level])
    add_levels(table, "share of codes used", [_number(share, "{:.1%}") for share in report.code_use])
    add_levels(table, "perplexity of codes", [_number(value, "{:,.1f}") for value in report.perplexity])
    table.add_row("weights", weights_fingerprint)
    return table


def _number(value: float, template: str) -> str:
    return "none" if math.isnan(value) else template.format(value)
