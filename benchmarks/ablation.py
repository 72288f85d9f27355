"""Quantizers and parts of LaPQ at equal bits: same backbone, data, steps and seeds; PSNR on validation clips.

    pip install vector-quantize-pytorch
    python benchmarks/ablation.py path/to/video results.json [--steps 600] [--seeds 0 1] [--only "LFQ"]

Each finished run is added to the JSON, and what stands there is not run again: the same command goes on with a comparison
that was stopped, and rebuilds the table. The rivals have their library's default weights of losses, which were not searched;
LaPQ has those of `PyraTokConfig`, and one rival has the same quantizer and the same losses without the pyramid.
"""

import argparse
import json
import math
import statistics
from pathlib import Path

import torch
import torch.nn.functional as F
from ablation_models import CLIP, VARIANTS
from measuring import print_table
from torch import nn
from tqdm import tqdm

from pyratok.modeling_pyratok.atomic_writing import atomic_path
from pyratok.modeling_pyratok.pixel_values import frames_to_values
from pyratok.modeling_pyratok.reconstruction_metrics import psnr_of
from pyratok.training.clip_buckets import ClipBucket
from pyratok.training.clip_stream import ClipLoader, ClipStream
from pyratok.training.clip_windows import ClipVariation
from pyratok.training.data_sources import open_rows
from pyratok.training.fixed_clips import fixed_clips

BATCH, LEARNING_RATE, WARMUP = 8, 1e-3, 50
VALIDATION_CLIPS = 43
VARIATION = ClipVariation(resized_share=0.5, minimum_scale=0.5, flip_share=0.5)


def train(model: nn.Module, source: str, steps: int, seed: int, label: str) -> None:
    """The same clips, in the same order, for every model with this seed."""
    stream = ClipStream([(open_rows(source, "train"), 1.0)], [ClipBucket(*CLIP, BATCH)], VARIATION, seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / WARMUP, 1.0) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps))),
    )
    batches = iter(ClipLoader(stream, num_workers=1))
    for _ in tqdm(range(steps), desc=label, unit="step"):
        video = frames_to_values(next(batches).frames)
        with torch.autocast("cpu", torch.bfloat16):
            reconstruction, loss = model(video)
        total = F.l1_loss(reconstruction.float(), video) + loss
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()


@torch.no_grad()
def validation_psnr(model: nn.Module, clips: torch.Tensor) -> float:
    """Mean over clips, uint8 (N, T, H, W, 3), of the PSNR from the clip's mean squared error."""
    model.eval()
    figures = []
    for batch in clips.split(BATCH):
        video = frames_to_values(batch)
        reconstruction = model(video)[0].float().clamp(-1, 1)
        errors = ((reconstruction - video) / 2).square().mean(dim=(1, 2, 3, 4))
        figures += map(psnr_of, errors.tolist())
    return statistics.fmean(figures)


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


def read_results(path: Path, source: str) -> dict:
    """What the file holds, or an empty record; the clips of another source cannot be added to it."""
    if not path.is_file():
        return {"source": source, "runs": {}}
    results = json.loads(path.read_text("utf-8"))
    if results["source"] != source:
        raise SystemExit(f"{path} holds results on {results['source']}, not on {source}; give another file")
    return results


def main() -> None:
    """Train what is missing, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="a folder of videos with train/ and validation/, or shards")
    parser.add_argument("results", type=Path, help="a JSON file, which is read and added to")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    given = parser.parse_args()
    results = read_results(given.results, Path(given.source).name)
    clips = fixed_clips(open_rows(given.source, "validation"), VALIDATION_CLIPS, ClipBucket(*CLIP, 1))
    for seed in given.seeds:
        for name in given.only:
            key = f"{name} | {given.steps} steps | seed {seed}"
            torch.manual_seed(seed)
            model = VARIANTS[name].build().train()
            parameters = sum(weight.numel() for weight in model.parameters())
            if results["runs"].get(key, {}).get("parameters") == parameters:
                continue
            train(model, given.source, given.steps, seed, key)
            results["runs"][key] = {"psnr": validation_psnr(model, clips), "parameters": parameters}
            with atomic_path(given.results) as path:
                path.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    columns = ["", "bits per clip", "parameters", "PSNR, dB", "largest - smallest", "seeds"]
    title = f"{given.steps} steps of {BATCH} clips of {' x '.join(map(str, CLIP))}; {len(clips)} validation clips"
    print_table(title, columns, table(results["runs"], given.steps, list(VARIANTS)))


if __name__ == "__main__":
    main()
