"""The figures of a reconstruction as a table that fits a phone."""

import html

from reconstruction_files import Reconstruction

HEAD = ("levels", "tokens", "bits per pixel", "kB", "PSNR, dB")


def figures_table(result: Reconstruction) -> str:
    """HTML: a row for each position of the slider, and what else is to be said of the clip."""
    rows = [
        (
            ", ".join(map(str, step.levels)),
            f"{step.tokens:,}",
            f"{step.bits_per_pixel:.3f}",
            f"{step.kilobytes:.1f}",
            f"{step.psnr:.2f}",
        )
        for step in result.steps
    ]
    lines = [_row("th", HEAD), *(_row("td", row) for row in rows)]
    facts = "<br>".join(html.escape(fact) for fact in (*result.facts, result.timing))
    return f"<table>{''.join(lines)}</table><p>{facts}</p>"


def _row(tag: str, cells: tuple[str, ...]) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"
