"""Quantizers and parts of LaPQ at equal bits: same backbone, data, steps and seeds; PSNR on validation clips.

    pip install ".[benchmark]"
    python benchmarks/ablation.py path/to/video results.json [--steps 600] [--seeds 0 1] [--only "LFQ"]

Each finished run is added to the JSON, and what stands there is not run again: the same command goes on with a comparison
that was stopped, and rebuilds the table. The rivals have their library's default weights of losses, which were not searched;
LaPQ has those of `PyraTokConfig`, and one rival has the same quantizer and the same losses without the pyramid.
"""

import argparse
import statistics
from pathlib import Path

import torch
from ablation_models import VARIANTS
from measuring import print_table
from short_training import (
    BATCH,
    CLIP,
    add_result,
    read_results,
    train,
    training_clips,
    validation_clips,
    validation_psnr,
)


def table(runs: dict[str, dict[str, float]], steps: int, names: list[str]) -> list[list[str]]:
    """Mean and spread over seeds, the best first."""
    rows = []
    for name in names:
        found = [run for key, run in runs.items() if key.startswith(f"{name} | {steps} steps | ")]
        if found:
            figures = [run["psnr"] for run in found]
            row = (statistics.fmean(figures), name, found[0]["parameters"], len(figures), max(figures) - min(figures))
            rows.append(row)
    return [
        [name, f"{VARIANTS[name].bits_per_clip:,}", f"{size / 1e6:.2f} M", f"{mean:.2f}", f"{spread:.2f}", str(count)]
        for mean, name, size, count, spread in sorted(rows, reverse=True)
    ]


def main() -> None:
    """Train what is missing, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="a folder of videos with train/ and validation/, or shards")
    parser.add_argument("results", type=Path, help="a JSON file, which is read and added to")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    given = parser.parse_args()
    clips = validation_clips(given.source)
    for seed in given.seeds:
        batches = None
        for name in given.only:
            key = f"{name} | {given.steps} steps | seed {seed}"
            if key in read_results(given.results, given.source)["runs"]:
                continue
            batches = batches or training_clips(given.source, given.steps, seed)
            torch.manual_seed(seed)
            model = VARIANTS[name].build()
            parameters = sum(weight.numel() for weight in model.parameters())
            train(model, batches, key)
            model.eval()
            psnr = validation_psnr(lambda video, model=model: model(video)[0], clips)
            add_result(given.results, given.source, key, {"psnr": psnr, "parameters": parameters})
    runs = read_results(given.results, given.source)["runs"]
    columns = ["", "bits per clip", "parameters", "PSNR, dB", "largest - smallest", "seeds"]
    title = f"{given.steps} steps of {BATCH} clips of {' x '.join(map(str, CLIP))}; {len(clips)} validation clips"
    print_table(title, columns, table(runs, given.steps, list(VARIANTS)))


if __name__ == "__main__":
    main()
