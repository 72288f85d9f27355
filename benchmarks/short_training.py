"""Short runs that can be compared: the same clips in the same order, the same schedule, PSNR on validation clips."""

import itertools
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from huggingface_hub.utils import WeakFileLock
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
from pyratok.training.learning_rate import learning_rate_share

CLIP = (9, 64, 64)
"""(T, H, W) of a clip."""

BATCH, LEARNING_RATE, WARMUP, FINAL_SHARE = 8, 1e-3, 50, 0.05
VALIDATION_CLIPS = 43
VARIATION = ClipVariation(resized_share=0.5, minimum_scale=0.5, flip_share=0.5)


def training_clips(source: str, steps: int, seed: int) -> list[torch.Tensor]:
    """The batches of a run, uint8 (B, T, H, W, 3): every model of a seed has the same, so they are decoded once."""
    stream = ClipStream([(open_rows(source, "train"), 1.0)], [ClipBucket(*CLIP, BATCH)], VARIATION, seed)
    loader = ClipLoader(stream, num_workers=1)
    batches = tqdm(itertools.islice(loader, steps), total=steps, desc=f"clips of seed {seed}", unit="batch")
    return [batch.frames for batch in batches]


def validation_clips(source: str) -> torch.Tensor:
    """The centre clips of the validation files, uint8 (N, T, H, W, 3)."""
    return fixed_clips(open_rows(source, "validation"), VALIDATION_CLIPS, ClipBucket(*CLIP, 1))


def train(model: nn.Module, batches: list[torch.Tensor], label: str) -> None:
    """One step on each batch. `model` gives the reconstruction and the loss beside L1."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_share(step, len(batches), WARMUP, FINAL_SHARE)
    )
    model.train()
    for frames in tqdm(batches, desc=label, unit="step"):
        video = frames_to_values(frames)
        with torch.autocast("cpu", torch.bfloat16):
            reconstruction, loss = model(video)
        total = F.l1_loss(reconstruction.float(), video) + loss
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()


@torch.no_grad()
def validation_psnr(reconstruct: Callable[[torch.Tensor], torch.Tensor], clips: torch.Tensor) -> float:
    """Mean over clips, uint8 (N, T, H, W, 3), of the PSNR from the clip's mean squared error."""
    figures = []
    for batch in clips.split(BATCH):
        video = frames_to_values(batch)
        errors = ((reconstruct(video).float().clamp(-1, 1) - video) / 2).square().mean(dim=(1, 2, 3, 4))
        figures += map(psnr_of, errors.tolist())
    return statistics.fmean(figures)


def read_results(path: Path, source: str) -> dict[str, Any]:
    """What the file holds, or an empty record; the clips of another source cannot be added to it."""
    name = Path(source).name
    if not path.is_file():
        return {"source": name, "runs": {}}
    results = json.loads(path.read_text("utf-8"))
    if results["source"] != name:
        raise SystemExit(f"{path} holds results on {results['source']}, not on {name}; give another file")
    return results


def add_result(path: Path, source: str, key: str, result: dict[str, Any]) -> None:
    """Add a run to the file, which another process may have added to as well."""
    with WeakFileLock(path.with_name(f".{path.name}.lock")):
        results = read_results(path, source)
        results["runs"][key] = result
        with atomic_path(path) as unfinished:
            unfinished.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
