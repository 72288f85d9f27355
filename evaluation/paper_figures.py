"""The figures of the PyraTok paper (arXiv 2601.16210) and of its best rival, and tables that put measured ones beside them."""

from collections.abc import Mapping
from dataclasses import dataclass

from rich.table import Table


@dataclass(frozen=True)
class PaperMetric:
    """One figure of a benchmark: of the paper's full-size model, and of the rival."""

    name: str
    pyratok: float
    rival: float
    template: str = "{:.2f}"
    """How it is written; percentages are written as the paper does, 33.17 for 0.3317."""
    is_better_high: bool = True


@dataclass(frozen=True)
class PaperRow:
    """A benchmark of the paper's headline table."""

    benchmark: str
    rival: str
    metrics: tuple[PaperMetric, ...]
    note: str = ""


def _reconstruction(
    name: str, pyratok: tuple[float, float, float], rival: str, its: tuple[float, float, float]
) -> PaperRow:
    return PaperRow(
        name,
        rival,
        (
            PaperMetric("PSNR", pyratok[0], its[0], "{:.2f} dB"),
            PaperMetric("SSIM", pyratok[1], its[1], "{:.3f}"),
            PaperMetric("LPIPS", pyratok[2], its[2], "{:.3f}", is_better_high=False),
        ),
    )


def _masks(name: str, pyratok: tuple[float, float], its: tuple[float, float]) -> PaperRow:
    metrics = (PaperMetric("mAP", pyratok[0], its[0]), PaperMetric("J", pyratok[1], its[1]))
    return PaperRow(name, "OmniTokenizer", metrics)


def _against_larp(name: str, metric: str, pyratok: float, its: float) -> PaperRow:
    return PaperRow(name, "LARP", (PaperMetric(metric, pyratok, its),))


PAPER_ROWS = {
    "webvid-10m": _reconstruction("WebVid-10M", (35.72, 0.879, 0.066), "LARP", (33.03, 0.851, 0.091)),
    "coco-val": _reconstruction("COCO-val", (36.05, 0.885, 0.071), "LARP", (34.26, 0.853, 0.089)),
    "mcl-jcv": _reconstruction("MCL-JCV", (29.82, 0.942, 0.068), "3D-MBQ-VAE", (29.09, 0.922, 0.089)),
    "ucf-101": PaperRow(
        "UCF-101", "LARP", (PaperMetric("gFVD", 51, 57, "{:.0f}", is_better_high=False),), "with 1024 tokens"
    ),
    "youtube-vis-2021": _masks("YouTube-VIS 2021", (24.54, 66.56), (14.54, 51.12)),
    "ovis": _masks("OVIS", (8.9, 49.44), (2.8, 33.27)),
    "thumos14": _against_larp("THUMOS14", "mAP", 33.17, 27.42),
    "activitynet": _against_larp("ActivityNet", "mAP", 29.11, 25.53),
    "mvbench": _against_larp("MVBench", "accuracy", 86.03, 83.21),
    "kinetics-400": _against_larp("Kinetics-400", "top-1", 78.43, 69.27),
    "kinetics-600": _against_larp("Kinetics-600", "top-1", 77.11, 68.52),
    "kinetics-700": _against_larp("Kinetics-700", "top-1", 74.08, 66.89),
}
"""By the key that `paper_table` takes, in the order of the paper."""


def paper_table(benchmark: str, measured: Mapping[str, float], measured_on: str, model: str) -> Table:
    """A table with a line for each of the benchmark's figures: measured here, in the paper, and of the paper's best rival.

    Args:
        benchmark: one of the keys of `PAPER_ROWS`.
        measured: figure by the name of its `PaperMetric`, in its unit (percentages as 33.17); what is not given is "not
            measured". Only what is the same quantity belongs here: another perceptual distance is no LPIPS.
        measured_on: the data, as a reader of the table should know them: "5 real clips of 256 x 144", "simulated scenes".
        model: the model that was measured.

    Raises:
        ValueError: for a benchmark or a figure that the paper does not have, or if it is not said what was measured.
    """
    row = PAPER_ROWS.get(benchmark)
    if row is None:
        raise ValueError(f"the paper has no benchmark {benchmark!r}; it has {', '.join(PAPER_ROWS)}")
    names = [metric.name for metric in row.metrics]
    if unknown := sorted(measured.keys() - set(names)):
        raise ValueError(f"the paper has no figure {', '.join(unknown)} of {row.benchmark}; it has {', '.join(names)}")
    if not measured_on.strip() or not model.strip():
        raise ValueError(f"it has to be said which model was measured on what, got {model!r} and {measured_on!r}")
    table = Table(title=row.benchmark, title_justify="left", caption_justify="left")
    table.caption = (
        f"Measured: {model} on {measured_on}. The paper's figures are of full-size models on the whole benchmark"
        + (f", {row.note}." if row.note else ".")
    )
    table.add_column("figure", style="bold", no_wrap=True)
    for heading in ("measured", "PyraTok (paper)", f"{row.rival} (paper)"):
        table.add_column(heading, justify="right")
    for metric in row.metrics:
        here = metric.template.format(measured[metric.name]) if metric.name in measured else "not measured"
        paper = (metric.template.format(value) for value in (metric.pyratok, metric.rival))
        direction = "higher" if metric.is_better_high else "lower"
        table.add_row(f"{metric.name} ({direction} is better)", here, *paper)
    return table
