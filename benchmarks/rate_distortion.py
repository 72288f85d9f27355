"""PSNR and SSIM against bits per pixel on a folder of clips: the tokenizer, H.264, H.265 and JPEG.

    python benchmarks/rate_distortion.py path/to/videos [--json rd.json] [--plot rd.png] [--max-clips 8] [--model folder]

The tokenizer decodes from its coarsest level alone, from the two coarsest, and so on; only the tokens of those levels
count. All are measured as RGB in [0, 1] by `reconstruction_metrics`: PSNR from a clip's mean squared error and SSIM,
means over the clips; bits per pixel over all clips together. The codecs' frames are 8 bits, the tokenizer's are floats.
"""

import argparse
import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from measuring import print_table
from tqdm import tqdm
from video_codecs import Codec, jpeg, video_codecs

from pyratok import PyraTokModel, read_video
from pyratok.modeling_pyratok.atomic_writing import atomic_path
from pyratok.modeling_pyratok.reconstruction_metrics import ClipMetrics, DatasetMetrics
from pyratok.pipelines.bundled_model import BUNDLED_ID
from pyratok.pipelines.model_loading import load_model
from pyratok.training.evaluation_files import evaluation_files
from pyratok.training.reconstruction_evaluation import evaluate_reconstruction, json_values, previews

TOKENIZER = "PyraTok"
REFERENCE = "H.264"

COLUMNS = ["", "bits/pixel", "PSNR, dB", "SSIM", f"{REFERENCE}: PSNR at this rate", "bits/pixel for this PSNR"]

Point = dict[str, Any]
"""A measured point of a curve: "setting", "bits_per_pixel", "psnr" and "ssim"."""

Curve = list[Point]


def tokenizer_curve(model: PyraTokModel, files: Sequence[Path]) -> tuple[Curve, list[Path]]:
    """One point for each number of levels, the coarsest alone first; and the files that could be read."""
    level_sets = [*previews(model.config.num_levels), None]
    evaluation = evaluate_reconstruction(model, files, level_sets, progress=partial(tqdm, desc=TOKENIZER, unit="clip"))
    curve = [
        {
            "setting": "levels " + ", ".join(map(str, levels)),
            "bits_per_pixel": report.bits_per_pixel,
            "psnr": report.psnr_clip,
            "ssim": report.ssim,
        }
        for levels, report in zip(evaluation.level_sets, evaluation.reports, strict=True)
    ]
    return curve, [Path(path) for path in evaluation.file_reports]


def codec_curves(codecs: dict[str, tuple[Codec, dict[str, int]]], files: Sequence[Path]) -> dict[str, Curve]:
    """For each name a point per quality, the fewest bits first; `codecs`: name -> (codec, setting's name -> quality)."""
    totals = {(name, setting): DatasetMetrics(0, 0) for name, (_, settings) in codecs.items() for setting in settings}
    sizes = dict.fromkeys(totals, 0)  # bytes
    for file in tqdm(files, desc=", ".join(codecs), unit="clip"):
        frames, _ = read_video(file)  # uint8 (T, H, W, 3)
        for name, setting in totals:
            codec, settings = codecs[name]
            size, decoded = codec(frames, settings[setting])
            totals[name, setting].add(_compared(frames, torch.stack(decoded)))
            sizes[name, setting] += size
    curves: dict[str, Curve] = {name: [] for name in codecs}
    for (name, setting), total in totals.items():
        report, rate = total.report(), 8 * sizes[name, setting] / total.pixels
        curves[name].append(
            {"setting": setting, "bits_per_pixel": rate, "psnr": report.psnr_clip, "ssim": report.ssim}
        )
    return {name: sorted(curve, key=lambda point: point["bits_per_pixel"]) for name, curve in curves.items()}


def _compared(original: torch.Tensor, copy: torch.Tensor) -> ClipMetrics:
    """The figures of a copy without tokens; both uint8 (T, H, W, 3)."""
    metrics = ClipMetrics(0, 0)
    for pair in zip(original.split(16), copy.split(16), strict=True):  # floats of a whole clip would be large
        metrics.update_frames(*(frames.movedim(-1, 1) / 255 for frames in pair))
    return metrics


def psnr_at(curve: Curve, bits_per_pixel: float) -> float:
    """PSNR that a curve reaches at a rate, linear in the logarithm of the rate between its points; NaN beyond them."""
    rates = [math.log(point["bits_per_pixel"]) for point in curve]
    return _interpolated(math.log(bits_per_pixel), rates, [point["psnr"] for point in curve])


def rate_for(curve: Curve, psnr: float) -> float:
    """Bits per pixel that a curve needs for a PSNR, the inverse of `psnr_at`; NaN beyond its points."""
    rates = [math.log(point["bits_per_pixel"]) for point in curve]
    return math.exp(_interpolated(psnr, [point["psnr"] for point in curve], rates))


def _interpolated(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    order = np.argsort(xs)
    return float(np.interp(x, np.array(xs)[order], np.array(ys)[order], left=math.nan, right=math.nan))


def with_reference(curve: Curve, reference: Curve) -> Curve:
    """The points, each with what the reference reaches at its rate, and the rate that it needs for its PSNR."""
    return [
        {
            **point,
            "reference_psnr": psnr_at(reference, point["bits_per_pixel"]),
            "reference_bits_per_pixel": rate_for(reference, point["psnr"]),
        }
        for point in curve
    ]


def rows(curves: dict[str, Curve]) -> list[list[str]]:
    """The table's lines under `COLUMNS`."""
    return [
        [
            f"{name}, {point['setting']}",
            f"{point['bits_per_pixel']:.4f}",
            f"{point['psnr']:.2f}",
            f"{point['ssim']:.4f}",
            _known(point.get("reference_psnr", math.nan), "{:.2f}"),
            _known(point.get("reference_bits_per_pixel", math.nan), "{:.4f}"),
        ]
        for name, curve in curves.items()
        for point in curve
    ]


def _known(value: float, template: str) -> str:
    return "" if math.isnan(value) else template.format(value)


def plot(curves: dict[str, Curve], path: Path) -> None:
    """PSNR and SSIM against bits per pixel, one line for each name, as a picture."""
    matplotlib.use("Agg")  # no window
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for axis, key, label in zip(axes, ("psnr", "ssim"), ("PSNR of a clip, dB", "SSIM"), strict=True):
        for name, curve in curves.items():
            rates = [point["bits_per_pixel"] for point in curve]
            axis.plot(rates, [point[key] for point in curve], marker="o", markersize=4, label=name)
        axis.set(xscale="log", xlabel="bits per pixel", ylabel=label)
        axis.grid(alpha=0.3)
    axes[0].legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)
    pyplot.close(figure)


def measure(
    model: PyraTokModel, files: Sequence[Path], crfs: Sequence[int], jpeg_qualities: Sequence[int]
) -> tuple[dict[str, Curve], list[Path]]:
    """The curves by name, and the files that could be read, which they are of.

    The tokenizer's points say what H.264 makes of their rates, if it is in PyAV's build.
    """
    tokenizer, readable = tokenizer_curve(model, files)
    codecs = {name: (codec, {f"crf {crf}": crf for crf in crfs}) for name, codec in video_codecs().items()}
    codecs["JPEG"] = (jpeg, {f"quality {quality}": quality for quality in jpeg_qualities})
    rivals = codec_curves(codecs, readable)
    if REFERENCE in rivals:
        tokenizer = with_reference(tokenizer, rivals[REFERENCE])
    return {TOKENIZER: tokenizer, **rivals}, readable


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder of videos")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--plot", type=Path, help="where to draw the curves, a PNG or PDF file")
    parser.add_argument("--max-clips", type=int, help="so many clips, spread evenly over all")
    parser.add_argument("--model", default=BUNDLED_ID)
    parser.add_argument("--crf", type=int, nargs="+", default=[18, 23, 28, 33, 38, 43, 48], help="of H.264 and H.265")
    parser.add_argument("--jpeg-quality", type=int, nargs="+", default=[5, 10, 20, 40, 60, 80, 95])
    given = parser.parse_args(arguments)
    model = load_model(given.model)
    files = evaluation_files(given.folder, given.max_clips)
    curves, readable = measure(model, files, given.crf, given.jpeg_quality)
    left_out = f", {len(files) - len(readable)} unreadable left out" if len(readable) < len(files) else ""
    title = f"{given.model} and codecs on {len(readable)} clips of {given.folder.name}{left_out}"
    print_table(title, COLUMNS, rows(curves))
    if given.json:
        names = [file.relative_to(given.folder).as_posix() for file in readable]
        with atomic_path(given.json) as path:
            measured = {"model": given.model, "weights_fingerprint": model.weights_fingerprint()}
            record = {**measured, "clips": names, "curves": json_values(curves)}
            path.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    if given.plot:
        plot(curves, given.plot)


if __name__ == "__main__":
    main()
