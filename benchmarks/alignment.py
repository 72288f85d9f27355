"""What local and global alignment do to the tokens: the default model trained on with neither, with one and with both.

    python benchmarks/alignment.py path/to/video start_model run_folder results.json [--images path/to/images] [--models both]

Stage 2 of the default recipe, from a tokenizer without a prior, with the same clips, steps and seed (one seed); "local" is the
contrastive term and the two of Eq. 2, "global" the prior's likelihood. With either of them the tokenizer is given captions in
training, the one without alignment never sees any; all are measured on tokens that were made without. Then all four are asked
the same way: on their frozen tokens a new text alignment is trained, with the same crops in the same order, and ranks the
captions of the validation clips. Finished runs are not made again, and a run that was stopped goes on.
"""

import argparse
import itertools
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from language import SIZE, Codes, described_clips, encoded, retrieval_by_levels
from measuring import print_table
from short_training import add_result, read_results
from tqdm import tqdm

from pyratok import PyraTokModel, PyraTokTextAlignment, PyraTokTextAlignmentConfig, load_text_encoder
from pyratok.modeling_pyratok.binary_codebook import codes_to_bits
from pyratok.pipelines.model_loading import load_model
from pyratok.pipelines.text_to_video_loading import ALIGNMENT, PRIOR, component_folder
from pyratok.training.clip_buckets import ClipBucket
from pyratok.training.clip_stream import ClipLoader, ClipStream
from pyratok.training.clip_windows import ClipVariation
from pyratok.training.data_sources import open_rows
from pyratok.training.learning_rate import learning_rate_share
from pyratok.training.recipe_reading import load_settings
from pyratok.training.trainer import train

LOCAL = ("contrastive_loss_weight", "text_conditioned_loss_weight", "text_codebook_loss_weight")
GLOBAL = ("prior_loss_weight",)
VARIANTS: dict[str, tuple[str, ...]] = {
    "no alignment": (*LOCAL, *GLOBAL),
    "local only": GLOBAL,
    "global only": LOCAL,
    "both": (),
}
"""What each model leaves out."""

CROPS, PROBE_STEPS, PROBE_BATCH, PROBE_RATE = 1200, 300, 32, 2e-3
SEEDS = (0, 1, 2)
"""Of the probe; the mean over them is what is reported."""


def stage_two(name: str, given: argparse.Namespace) -> Path:
    """Train one of the models, if that is not done yet: the folder of its stage."""
    output = given.folder / f"{name.replace(' ', '_')}_{given.steps}"
    changes = [f"{weight}=0" for weight in VARIANTS[name]]
    if name == "no alignment":
        changes.append("text_encoder=null")
    places = [f"data={given.source}", f"output_folder={output}", f"image_data={given.images or 'null'}"]
    start = ["stage=2", f"model_folder={given.model}", f"max_steps={given.steps}"]
    settings = load_settings("default", [*start, *places, *changes])
    if train(settings).step < given.steps:
        raise SystemExit("stopped; give the same command to go on")
    return settings.stage_folder


def probe_clips(source: str) -> tuple[torch.Tensor, list[str]]:
    """Crops of training clips, uint8 (N, T, H, W, 3), and their captions: the same for all models."""
    stream = ClipStream(
        [(open_rows(source, "train"), 1.0)], [ClipBucket(*SIZE, 8)], ClipVariation(0.9, 0.45, 0.5), seed=5
    )
    batches = itertools.islice(ClipLoader(stream, num_workers=1), CROPS // 8)
    frames, captions = zip(*((batch.frames, batch.captions) for batch in batches), strict=True)
    told = list(itertools.chain(*captions))
    described = [index for index, caption in enumerate(told) if caption]
    return torch.cat(frames)[described], [told[index] for index in described]


def probe(
    model: PyraTokModel, codes: Codes, captions: list[str], pooled: dict[str, torch.Tensor], seed: int
) -> PyraTokTextAlignment:
    """A new text alignment, trained on these tokens alone."""
    torch.manual_seed(seed)
    config = model.config
    alignment = PyraTokTextAlignment(
        PyraTokTextAlignmentConfig(
            level_strides=config.level_strides, codebook_bits=config.codebook_bits, codebook_size=config.hidden_size
        )
    )
    alignment.codebook.load_state_dict(model.codebook.state_dict())
    optimizer = torch.optim.AdamW(alignment.parameters(), lr=PROBE_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_share(step, PROBE_STEPS, 20, 0.05)
    )
    others = torch.stack(list(pooled.values()))
    for _ in tqdm(range(PROBE_STEPS), desc=f"probe, seed {seed}", unit="step"):
        chosen = torch.randint(len(captions), (PROBE_BATCH,))
        bits = [codes_to_bits(level[chosen], config.codebook_bits) for level in codes]
        own = torch.stack([pooled[captions[index]] for index in chosen.tolist()])
        loss = alignment.contrastive_loss(bits, own, others).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return alignment.eval()


def measured(stage: Path, source: str, clips: torch.Tensor, captions: list[str]) -> dict[str, Any]:
    """PSNR of the run's validation clips, and retrieval from each level and from all, the mean over the probe's seeds."""
    rows = map(json.loads, (stage / "metrics.jsonl").read_text("utf-8").splitlines())
    found: dict[str, Any] = {"psnr": [row["psnr"] for row in rows if row["kind"] == "validation"][-1]}
    encoder = load_text_encoder("pyratok")
    names = list(dict.fromkeys(captions))
    pooled = dict(zip(names, encoder(names).pooled(), strict=True))
    videos, told = described_clips(source, "validation", None)
    text = encoder(told).pooled()
    model = load_model(stage / "model")
    codes = tuple(map(torch.cat, zip(*encoded(model, clips, None), strict=True)))  # per level (N, T_l, H_l, W_l)
    tokens = encoded(model, videos, None)
    runs = [retrieval_by_levels(probe(model, codes, captions, pooled, seed), tokens, text, told) for seed in SEEDS]
    for levels, values in runs[0].items():
        found[levels] = {name: statistics.fmean(run[levels][name] for run in runs) for name in values}
    return found


def row_of(name: str, figures: dict[str, Any]) -> list[str]:
    """The line of a model: PSNR, then R@1 / R@5 / median rank of each level and of all."""
    cells = [f"{v['R@1']:.1%} / {v['R@5']:.1%} / {v['median rank']:.1f}" for k, v in figures.items() if k != "psnr"]
    return [name, f"{figures['psnr']:.2f}", *cells]


def main() -> None:
    """Train and measure what is missing, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="a folder of videos with captions, with train/ and validation/ inside")
    parser.add_argument(
        "model", type=Path, help="the folder of the tokenizer that all begin with, with no prior beside it"
    )
    parser.add_argument("folder", type=Path, help="receives the runs")
    parser.add_argument("results", type=Path, help="a JSON file, which is read and added to")
    parser.add_argument("--images", help="a folder of pictures with captions")
    parser.add_argument("--models", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--steps", type=int, default=300)
    given = parser.parse_args()
    if component_folder(given.model, PRIOR) or component_folder(given.model, ALIGNMENT):
        raise SystemExit(
            f"{given.model} has a prior or an alignment, which some of the runs would go on with; copy the tokenizer"
        )
    start = load_model(given.model).weights_fingerprint()[:8]
    keys = {name: f"{name} | {given.steps} steps from {start}" for name in VARIANTS}
    clips = None
    for name in given.models:
        if (key := keys[name]) not in read_results(given.results, given.source)["runs"]:
            stage = stage_two(name, given)
            clips = clips or probe_clips(given.source)
            add_result(given.results, given.source, key, measured(stage, given.source, *clips))
    runs = read_results(given.results, given.source)["runs"]
    rows = [row_of(name, runs[key]) for name, key in keys.items() if key in runs]
    columns = ["", "PSNR", *list(next(iter(runs.values())))[1:]]
    print_table("R@1 / R@5 / median rank of a clip's own caption", columns, rows)


if __name__ == "__main__":
    main()
