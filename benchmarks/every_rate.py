"""One pyramid decoded from few levels or many, against models of one scale that are trained for one of those rates each.

    python benchmarks/every_rate.py path/to/video results.json [--steps 400] [--seeds 0 1] [--dropouts 0.2 0.5]

Same backbone, data, steps and schedule as in `ablation.py`. The rivals of the low rates have their bits on the latent's grid,
those of the high rates on the finest, which is the better one there. Each finished run is added to the JSON and not run again.
"""

import argparse
import statistics
from pathlib import Path

import torch
from ablation_models import FOUR, PyramidTokenizer
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

from pyratok.modeling_pyratok.token_grids import level_grids

SUBSETS: dict[str, tuple[int, ...]] = {"4": (4,), "3-4": (3, 4), "2-4": (2, 3, 4), "1-4": (1, 2, 3, 4)}
"""The previews that people decode: the coarsest levels, from the last one alone up."""

SINGLE_SCALE: dict[str, tuple[tuple, tuple, int]] = {
    "4": (((4, 16),), (3,), 16),
    "3-4": (((4, 16), (4, 16)), (3, 3), 16),
    "2-4": (((4, 8), (4, 8)), (1, 1), 12),
    "1-4": (((4, 8), (4, 8)), (1, 1), 20),
}
"""Strides, stages and bits per code of the model of one scale with as many bits.

Two codes of 12 bits, not one of 24, stand for levels 2 to 4: the entropy term goes over values of half a code, and 2**12 of
them make a step ten times as long.
"""


def bits_of(strides: tuple, bits: int) -> int:
    """Bits of a clip."""
    return bits * sum(frames * height * width for frames, height, width in level_grids(CLIP, strides, 16))


def reconstruct(model: PyramidTokenizer, video: torch.Tensor, levels: tuple[int, ...]) -> torch.Tensor:
    """Decoded from these levels alone. video: (B, T, C, H, W)."""
    present = torch.zeros(len(video), model.model.config.num_levels, dtype=torch.bool)
    present[:, [level - 1 for level in levels]] = True
    return model(video, present)[0]


def pyramid_run(dropout: float, batches: list[torch.Tensor], clips: torch.Tensor, label: str) -> dict[str, float]:
    """PSNR by subset of levels."""
    model = PyramidTokenizer(*FOUR, 16, level_dropout=dropout)
    train(model, batches, label)
    model.eval()
    return {
        name: validation_psnr(lambda video, levels=levels: reconstruct(model, video, levels), clips)
        for name, levels in SUBSETS.items()
    }


def single_scale_run(rate: str, batches: list[torch.Tensor], clips: torch.Tensor, label: str) -> dict[str, float]:
    """PSNR at the one rate that the model has."""
    model = PyramidTokenizer(*SINGLE_SCALE[rate])
    train(model, batches, label)
    model.eval()
    return {rate: validation_psnr(lambda video: model(video)[0], clips)}


def table(runs: dict[str, dict[str, float]], steps: int, dropouts: list[float]) -> list[list[str]]:
    """A row for each rate: one scale, and every pyramid with its distance to it."""
    rows = []
    for rate, levels in SUBSETS.items():
        bits = bits_of(tuple(FOUR[0][level - 1] for level in levels), 16)
        row = [f"{rate} ({bits:,} bits)"]
        single = [run[rate] for key, run in runs.items() if key.startswith(f"one scale, {rate} | {steps} steps | ")]
        row.append(f"{statistics.fmean(single):.2f}" if single else "-")
        for dropout in dropouts:
            found = [run[rate] for key, run in runs.items() if key.startswith(f"dropout {dropout} | {steps} steps | ")]
            difference = f" ({statistics.fmean(found) - statistics.fmean(single):+.2f})" if single and found else ""
            row.append(f"{statistics.fmean(found):.2f}{difference}" if found else "-")
        rows.append(row)
    return rows


def main() -> None:
    """Train what is missing, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="a folder of videos with train/ and validation/, or shards")
    parser.add_argument("results", type=Path, help="a JSON file, which is read and added to")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--dropouts", type=float, nargs="+", default=[0.2, 0.5], help="level dropout of the pyramids")
    given = parser.parse_args()
    clips = validation_clips(given.source)
    wanted = [(f"dropout {dropout}", pyramid_run, dropout) for dropout in given.dropouts]
    wanted += [(f"one scale, {rate}", single_scale_run, rate) for rate in SINGLE_SCALE]
    for seed in given.seeds:
        batches = None
        for name, run, setting in wanted:
            key = f"{name} | {given.steps} steps | seed {seed}"
            if key in read_results(given.results, given.source)["runs"]:
                continue
            batches = batches or training_clips(given.source, given.steps, seed)
            torch.manual_seed(seed)
            add_result(given.results, given.source, key, run(setting, batches, clips, key))
    runs = read_results(given.results, given.source)["runs"]
    columns = ["levels", "one scale, dB", *(f"pyramid, dropout {dropout}" for dropout in given.dropouts)]
    title = f"{given.steps} steps of {BATCH} clips of {' x '.join(map(str, CLIP))}; {len(clips)} validation clips"
    print_table(title, columns, table(runs, given.steps, given.dropouts))


if __name__ == "__main__":
    main()
