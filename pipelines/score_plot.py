"""A picture of when texts happen: their scores over time, the threshold, and the stretches that were found."""

import math

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .action_localization_pipeline import PyraTokActionLocalizationOutput


def score_plot(output: PyraTokActionLocalizationOutput) -> Figure:
    """A row for each text: its score over the seconds of the video, its threshold dashed if it has one, its segments shaded."""
    count = len(output.texts)
    figure = Figure(figsize=(8, 1.2 + 1.6 * count), layout="constrained")
    FigureCanvasAgg(figure)  # without a window
    axes = figure.subplots(count, 1, sharex=True, squeeze=False)
    times = output.times.tolist()
    for axis, text, scores, threshold, segments in zip(
        axes[:, 0], output.texts, output.scores.tolist(), output.thresholds.tolist(), output.segments, strict=True
    ):
        axis.stairs(scores, times, baseline=None)
        if math.isfinite(threshold):
            axis.axhline(threshold, linestyle="--", linewidth=0.8, color="grey")
        for start, end, _ in segments:
            axis.axvspan(start, end, alpha=0.25, color="tab:orange")
        axis.set_title(text, fontsize=9, loc="left", parse_math=False)
        axis.set_ylabel("cosine")
    axes[-1, 0].set_xlabel("seconds")
    return figure
