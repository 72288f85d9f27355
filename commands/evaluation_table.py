"""What `pyratok evaluate reconstruction` prints."""

import math
from collections.abc import Callable, Sequence

from rich.table import Table

from ..training.reconstruction_evaluation import ReconstructionEvaluation


def evaluation_table(
    folder: str, model: str, weights_fingerprint: str, evaluation: ReconstructionEvaluation, distance: str | None
) -> Table:
    """The figures of the first of the evaluation's level sets; `distance` names the perceptual distance, if any."""
    report = evaluation.reports[0]
    table = Table(title=f"{model} on {folder}", title_justify="left", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("clips, frames", f"{report.clips:,}, {report.frames:,}")
    if evaluation.unreadable:
        table.add_row("unreadable files", f"{len(evaluation.unreadable):,}, left out")
    table.add_row("PSNR, whole clip", _number(report.psnr_clip, "{:.2f} dB"))
    table.add_row("PSNR, mean of frames", _number(report.psnr_frames, "{:.2f} dB"))
    table.add_row("SSIM", _number(report.ssim, "{:.4f}"))
    if distance is not None:
        table.add_row(f"distance, {distance}", _number(report.perceptual_distance, "{:.4f}"))
    table.add_row("bits per pixel", f"{report.bits_per_pixel:.4f}")
    table.add_row("tokens per level", _per_level(report.tokens_per_level, lambda count: f"{count:,}"))
    table.add_row("share of codes used", _per_level(report.code_use, lambda share: _number(share, "{:.1%}")))
    table.add_row("perplexity of codes", _per_level(report.perplexity, lambda value: _number(value, "{:,.1f}")))
    table.add_row("weights", weights_fingerprint)
    return table


def _number(value: float, template: str) -> str:
    if math.isnan(value):
        return "none"
    return "infinite: exact copies" if math.isinf(value) else template.format(value)


def _per_level(values: Sequence[float], text: Callable[[float], str]) -> str:
    """One line for each level, 1 first."""
    return "\n".join(f"{level}: {text(value)}" for level, value in enumerate(values, start=1))
