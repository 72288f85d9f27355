"""What a run leaves to look at: metrics as JSON lines, their curves, contact sheets of reconstructed clips."""

import json
import math
import re
from pathlib import Path
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from ..modeling_pyratok.atomic_writing import atomic_path

PER_LEVEL = re.compile(r"(.+?)(?:_(\d+))?")
"""`code_use_2` is `code_use` of level 2; other names have no level."""
PANEL_COLUMNS = 4
SHEET_FRAMES = 4
"""Frames of a clip that a contact sheet shows, evenly spread."""
SHEET_GAP = 4
"""Pixels between the pictures of a contact sheet."""


class MetricsFile:
    """`metrics.jsonl`: one JSON object per line, each with `step` and `kind` ("train" or "validation")."""

    def __init__(self, path: Path):
        self._path = path

    def rewind(self, step: int) -> None:
        """Drop the lines after `step`: a resumed run writes them again. A last line that was cut off goes too."""
        if self._path.is_file():
            kept = [json.dumps(row) for row in self.rows() if row["step"] <= step]
            with atomic_path(self._path) as path:
                path.write_text("".join(f"{line}\n" for line in kept))

    def append(self, row: dict[str, Any]) -> None:
        """Add one line. NaN and infinities, which JSON does not have, are written as null."""
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        with self._path.open("a") as file:
            file.write(json.dumps(clean) + "\n")

    def rows(self) -> list[dict[str, Any]]:
        """Every complete line so far."""
        rows = []
        for line in self._path.read_text().splitlines() if self._path.is_file() else []:
            try:
                rows.append(json.loads(line))
            except ValueError:  # cut off by a crash
                continue
        return rows


class TensorBoard:
    """The same metrics for TensorBoard; nothing is written before the first line."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def add(self, kind: str, step: int, row: dict[str, float]) -> None:
        """Add one line as `kind/name`."""
        if self._writer is None:
            # What a stopped run wrote after its last checkpoint is hidden from this step on.
            self._writer = SummaryWriter(str(self._folder), purge_step=step)
        for name, value in row.items():
            self._writer.add_scalar(f"{kind}/{name}", value, step)
        self._writer.flush()


def draw_curves(metrics: MetricsFile, target: Path) -> None:
    """A PNG with one panel per metric over the steps: lines for training, dots for validation, a colour per level."""
    series: dict[str, dict[tuple[str, str | None], list[tuple[int, float]]]] = {}
    for row in metrics.rows():
        for name, value in row.items():
            if name not in ("step", "kind") and value is not None:
                metric, level = PER_LEVEL.fullmatch(name).groups()
                series.setdefault(metric, {}).setdefault((row["kind"], level), []).append((row["step"], value))
    if not series:
        return
    panel_rows = math.ceil(len(series) / PANEL_COLUMNS)
    figure = Figure(figsize=(4 * PANEL_COLUMNS, 2.4 * panel_rows))
    FigureCanvasAgg(figure)
    # Fixed margins: measuring all labels to fit them would take several times as long as drawing.
    figure.subplots_adjust(left=0.05, right=0.98, bottom=0.25 / panel_rows, top=1 - 0.12 / panel_rows, hspace=0.35)
    for position, (metric, lines) in enumerate(series.items(), start=1):
        axes = figure.add_subplot(panel_rows, PANEL_COLUMNS, position)
        for (kind, level), points in lines.items():
            style = "o--" if kind == "validation" else "-"
            axes.plot(*zip(*points, strict=True), style, color=f"C{level or 0}", markersize=3, linewidth=1)
        axes.set_title(metric, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.locator_params(nbins=4)
    with atomic_path(target) as path:
        figure.savefig(path, dpi=80, format="png")


def draw_contact_sheet(originals: torch.Tensor, reconstructions: torch.Tensor, target: Path) -> None:
    """Per clip two rows, the original above its reconstruction; both uint8 (N, T, H, W, 3); a PNG."""
    total, height, width = originals.shape[1:4]
    chosen = torch.linspace(0, total - 1, min(SHEET_FRAMES, total)).round().long()
    rows = torch.stack((originals, reconstructions), dim=1).flatten(0, 1)[:, chosen]  # (2N, frames, H, W, 3)
    sheet = Image.new("RGB", (len(chosen) * (width + SHEET_GAP), len(rows) * (height + SHEET_GAP)), "white")
    for row, frames in enumerate(rows):
        for column, frame in enumerate(frames):
            place = (column * (width + SHEET_GAP), row * (height + SHEET_GAP))
            sheet.paste(Image.fromarray(frame.cpu().contiguous().numpy()), place)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as path:
        sheet.save(path, format="PNG")
