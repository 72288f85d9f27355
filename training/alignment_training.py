"""Trains what compares tokens with texts: `python -m pyratok.training.alignment_training VIDEOS OUTPUT [--more-data PICTURES]`.

The tokenizer stays as it is, and the tokens of all clips are made once. Two things are learned from: the captions of whole
clips (each is to be told from the others), and, place by place, what a classifier of images sees there, by the names of its
classes (`class_teacher`). OUTPUT/alignment is the result; metrics.jsonl and checkpoints lie beside it. A run that was stopped
goes on from its last checkpoint when the same command is given again.
"""

import argparse
import dataclasses
import hashlib
import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from ..configuration.configuration_text_alignment import PyraTokTextAlignmentConfig
from ..modeling_pyratok.binary_codebook import codes_to_bits
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.text_alignment import PyraTokTextAlignment
from ..modeling_pyratok.text_encoding import TextEncoder
from ..modeling_pyratok.token_grids import TEMPORAL_STRIDE
from ..pipelines.bundled_model import BUNDLED_ID
from ..pipelines.model_loading import load_model
from ..pipelines.text_encoder_loading import load_text_encoder
from ..pipelines.text_to_video_loading import ALIGNMENT
from .checkpoints import write_folder
from .class_teacher import PLACE, ClassTeacher, class_names
from .clip_buckets import ClipBucket
from .clip_stream import ClipLoader, ClipStream
from .clip_windows import ClipVariation
from .data_sources import RowSource, open_rows
from .held_out_files import VALIDATION, open_split_rows
from .learning_rate import learning_rate_share
from .run_records import MetricsFile
from .small_checkpoints import load_small_checkpoint, save_small_checkpoint
from .taught_clips import TaughtClips, kept_clips, taught

logger = logging.getLogger(__name__)

STEP_STREAM = 0
LOG_EVERY = 10
MADE_AT_ONCE = 8
TEXTS_AT_ONCE = 64


@dataclass(frozen=True)
class AlignmentSettings:
    """What a run is made of.

    data: a folder of captioned videos or another source of `open_rows`. more_data: such sources of which all is trained on, as
    many clips of each. model: the tokenizer. clips: how many are made for training; frames, height, width: their size, as
    the tokenizer takes them unpadded. class_weight, caption_weight: of the two losses, 0 for none.
    """

    data: str
    more_data: tuple[str, ...] = ()
    model: str = BUNDLED_ID
    text_encoder: str = BUNDLED_ID
    clips: int = 2400
    frames: int = 9
    height: int = 144
    width: int = 192
    smallest_scale: float = 0.4
    steps: int = 1000
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    class_weight: float = 1.0
    caption_weight: float = 0.3
    single_levels: float = 0.4
    context_size: int = 192
    context_layers: int = 4
    validate_every: int = 100
    checkpoint_minutes: float = 3.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("clips", "frames", "height", "width", "steps", "batch_size", "context_size", "validate_every"):
            if getattr(self, name) < 1:
                raise PyraTokError(f"{name} is a whole number from 1 up, got {getattr(self, name)}")
        for name in ("class_weight", "caption_weight", "weight_decay", "context_layers", "seed"):
            if getattr(self, name) < 0:
                raise PyraTokError(f"{name} is not below 0, got {getattr(self, name)}")
        for name in ("smallest_scale", "single_levels"):
            if not 0 <= getattr(self, name) <= 1:
                raise PyraTokError(f"{name} is a share from 0 to 1, got {getattr(self, name)}")
        if (self.frames - 1) % TEMPORAL_STRIDE:
            raise PyraTokError(f"frames are 1 + {TEMPORAL_STRIDE}k, so that none is padding, got {self.frames}")


@dataclass(frozen=True)
class Texts:
    """Embeddings of length 1. captions: of each different caption. others: (M, width), those of training, which a clip's own is
    told from."""

    captions: dict[str, torch.Tensor]
    others: torch.Tensor


@dataclass
class AlignmentRun:
    """A run under way: its parts, its clips, and how many steps it has made."""

    settings: AlignmentSettings
    alignment: PyraTokTextAlignment
    optimizer: torch.optim.Optimizer
    teacher: ClassTeacher | None
    texts: Texts
    train: TaughtClips
    validation: TaughtClips | None
    metrics: MetricsFile
    step: int = 0


def train_alignment(settings: AlignmentSettings, output: Path) -> AlignmentRun:
    """Run the training to its end, going on from the newest checkpoint in `output` if there is one.

    Raises PyraTokError for data, models or checkpoints that cannot be used, and for a loss that is not finite.
    """
    run = _new_run(settings, output)
    kept = _recorded(settings)
    run.step = load_small_checkpoint(output / "checkpoints", run.alignment, run.optimizer, kept)
    run.metrics.rewind(run.step if run.step else -1)
    saved, losses = time.monotonic(), []
    with tqdm(total=settings.steps, initial=run.step, unit="step", desc="training") as bar:
        while run.step < settings.steps:
            losses.append(training_step(run))
            bar.update()
            last = run.step == settings.steps
            if run.step % LOG_EVERY == 0 or last:
                run.metrics.append({"step": run.step, "kind": "train", **_means(losses)})
                losses = []
            if run.validation is not None and (run.step % settings.validate_every == 0 or last):
                run.metrics.append({"step": run.step, "kind": "validation", **validation(run)})
            if last or (not losses and time.monotonic() - saved >= 60 * settings.checkpoint_minutes):
                save_small_checkpoint(output / "checkpoints", run.step, run.alignment, run.optimizer, kept)
                write_folder(output / ALIGNMENT, run.alignment.save_pretrained)
                saved = time.monotonic()
    return run


def training_step(run: AlignmentRun) -> dict[str, float]:
    """Learn from one batch; what is random depends on the seed and the number of the step alone."""
    settings = run.settings
    generator = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(STEP_STREAM, run.step)))
    chosen = generator.choice(
        len(run.train.captions), min(settings.batch_size, len(run.train.captions)), replace=False
    )
    levels = None
    if generator.random() < settings.single_levels:
        levels = (1 + int(generator.integers(run.alignment.config.num_levels)),)
    share = learning_rate_share(run.step, settings.steps, min(50, settings.steps // 2), 0.02)
    for group in run.optimizer.param_groups:
        group["lr"] = settings.learning_rate * share
    with torch.autocast(run.alignment.device.type, dtype=torch.bfloat16):
        losses = losses_of(run, run.train, torch.from_numpy(chosen), levels)
    run.step += 1
    if not losses:  # no clip of this batch has a caption, and there is nothing else to learn
        return {}
    total = sum(losses.values())
    run.optimizer.zero_grad()
    total.backward()
    norm = torch.nn.utils.clip_grad_norm_(run.alignment.parameters(), 1.0)
    if not torch.isfinite(total) or not torch.isfinite(norm):
        raise PyraTokError(
            f"step {run.step} is not finite (loss {float(total):.4g}, gradient {float(norm):.4g}); lower --learning-rate"
        )
    run.optimizer.step()
    return {name: float(loss.detach()) for name, loss in losses.items()}


def losses_of(
    run: AlignmentRun, clips: TaughtClips, chosen: torch.Tensor, levels: Sequence[int] | None
) -> dict[str, torch.Tensor]:
    """Name -> weighted loss of the clips of these numbers, seen from some levels (None for all)."""
    alignment, settings = run.alignment, run.settings
    bits = [
        codes_to_bits(codes[chosen].to(alignment.device), alignment.config.codebook_bits)
        if levels is None or level in levels
        else None
        for level, codes in enumerate(clips.codes, start=1)
    ]
    features = alignment.features(bits).float()  # (B, T', H', W', width)
    losses = {}
    if alignment.config.vocabulary_size:
        seen = clips.seen[chosen].to(alignment.device)
        likely = run.teacher.probabilities(seen.flatten(0, 1)).unflatten(0, seen.shape[:2])  # (B, T', h, w, 1000)
        losses["class_loss"] = settings.class_weight * alignment.class_loss(features, likely)
    told = [index for index in chosen.tolist() if clips.captions[index]]
    if settings.caption_weight and told:
        own = torch.stack([run.texts.captions[clips.captions[index]] for index in told])
        rows = torch.tensor([bool(clips.captions[index]) for index in chosen.tolist()])
        seen = features[rows].mean(dim=(1, 2, 3))
        losses["caption_loss"] = settings.caption_weight * alignment.caption_loss(seen, own, run.texts.others).mean()
    return losses


@torch.no_grad()
def validation(run: AlignmentRun) -> dict[str, float]:
    """The losses on the clips that were held out, seen from all levels."""
    # One at a time, so that each clip counts alike, and each caption.
    found = [
        losses_of(run, run.validation, torch.tensor([clip]), None) for clip in range(len(run.validation.captions))
    ]
    return _means([{name: float(loss) for name, loss in losses.items()} for losses in found])


def _means(losses: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each loss over those batches that have it."""
    names = dict.fromkeys(name for row in losses for name in row)
    return {name: float(np.mean([row[name] for row in losses if name in row])) for name in names}


def _new_run(settings: AlignmentSettings, output: Path) -> AlignmentRun:
    model = load_model(settings.model).requires_grad_(False)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    encoder = load_text_encoder(settings.text_encoder)
    alignment = _new_alignment(settings, model, encoder).to(model.device)
    stride = alignment.config.feature_stride
    if settings.class_weight and stride[1] != PLACE:
        raise PyraTokError(
            f"the classifier looks at places of {PLACE} pixels, and the features of this tokenizer stand for {stride[1]}; give "
            "--class-weight 0 to learn from captions alone"
        )
    multiple = model.config.spatial_multiple
    if settings.height % multiple or settings.width % multiple:
        raise PyraTokError(
            f"height and width are multiples of {multiple} for this tokenizer, got {settings.height} x {settings.width}"
        )
    teacher = ClassTeacher().to(model.device) if settings.class_weight else None
    train, held_out = _clips(settings, model, teacher, output, stride[0])
    if not settings.class_weight and not (settings.caption_weight and any(train.captions)):
        raise PyraTokError(
            f"there is nothing to learn: the clips of {settings.data} have no captions, or both weights are 0"
        )
    texts = _texts(encoder, train, held_out, model.device)
    weights = {True: [], False: []}
    for weight in alignment.parameters():
        weights[weight.dim() > 1].append(weight)
    groups = [
        {"params": weights[True], "weight_decay": settings.weight_decay},
        {"params": weights[False], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98))
    return AlignmentRun(
        settings, alignment, optimizer, teacher, texts, train, held_out, MetricsFile(output / "metrics.jsonl")
    )


def _new_alignment(settings: AlignmentSettings, model: PyraTokModel, encoder: TextEncoder) -> PyraTokTextAlignment:
    """With weights drawn by the run's seed, a copy of the tokenizer's codebook projection, and the teacher's names if it has
    one."""
    names = class_names() if settings.class_weight else []
    config = PyraTokTextAlignmentConfig(
        level_strides=model.config.level_strides,
        codebook_bits=model.config.codebook_bits,
        codebook_size=model.config.hidden_size,
        text_hidden_size=encoder.hidden_size,
        context_size=settings.context_size,
        context_layers=settings.context_layers,
        vocabulary_size=len(names),
    )
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        alignment = PyraTokTextAlignment(config)
    alignment.codebook.load_state_dict(model.codebook.state_dict())
    if names:
        alignment.vocabulary.copy_(_embedded(encoder, names))
    return alignment


def _clips(
    settings: AlignmentSettings, model: PyraTokModel, teacher: ClassTeacher | None, output: Path, every: int
) -> tuple[TaughtClips, TaughtClips | None]:
    """Those to train on, and those to validate on if the data have such."""
    rows = open_split_rows(settings.data, "train", VALIDATION)
    more = [open_rows(source, None) for source in settings.more_data]
    variation = ClipVariation(resized_share=0.9, minimum_scale=settings.smallest_scale, flip_share=0.5)
    train = _made(settings, model, teacher, [rows.train, *more], settings.clips, variation, output / "clips", every)
    held_out = None
    if rows.validation is not None:
        count = max(1, min(settings.clips // 8, 200))
        held_out = _made(
            settings, model, teacher, [rows.validation], count, ClipVariation(), output / "validation_clips", every
        )
    return train, held_out


def _made(
    settings: AlignmentSettings,
    model: PyraTokModel,
    teacher: ClassTeacher | None,
    sources: list[RowSource],
    count: int,
    variation: ClipVariation,
    folder: Path,
    every: int,
) -> TaughtClips:
    bucket = ClipBucket(settings.frames, settings.height, settings.width, MADE_AT_ONCE)
    stream = ClipStream([(source, 1.0) for source in sources], [bucket], variation, settings.seed)
    depends_on = {
        "sources": [[source.name, _digest(source)] for source in sources],
        "size": [settings.frames, settings.height, settings.width],
        "smallest_scale": variation.minimum_scale,
        "seed": settings.seed,
        "weights": model.weights_fingerprint(),
        "teacher": teacher is not None,
    }
    return kept_clips(
        folder,
        iter(ClipLoader(stream, num_workers=0)),
        -(-count // MADE_AT_ONCE),
        lambda batch: taught(model, teacher, batch.frames, batch.captions, every),
        depends_on,
        lambda numbers: tqdm(numbers, desc=folder.name, unit="batch"),
    )


def _digest(source: RowSource) -> str | None:
    """Of the names and captions of listed files, so that clips of others are not taken for theirs; shards are named alone."""
    if not source.is_listing:
        return None
    rows = [[row["name"], row["caption"]] for row in source.rows]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _texts(encoder: TextEncoder, train: TaughtClips, held_out: TaughtClips | None, device: torch.device) -> Texts:
    named = sorted({caption for caption in train.captions if caption})
    every = sorted({*named, *(caption for caption in (held_out.captions if held_out else ()) if caption)})
    captions = dict(zip(every, _embedded(encoder, every).to(device), strict=True)) if every else {}
    others = torch.stack([captions[caption] for caption in named]) if named else torch.empty(0, 1)
    return Texts(captions, others)


def _embedded(encoder: TextEncoder, texts: list[str]) -> torch.Tensor:
    """(N, text_hidden_size) of length 1."""
    parts = [encoder(texts[start : start + TEXTS_AT_ONCE]).pooled() for start in range(0, len(texts), TEXTS_AT_ONCE)]
    return F.normalize(torch.cat(parts), dim=-1)


def _recorded(settings: AlignmentSettings) -> dict[str, Any]:
    """The settings that a run keeps, as JSON gives them back."""
    kept = dataclasses.asdict(settings)
    del kept["checkpoint_minutes"]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code, 2 for a clear error."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(
        prog="python -m pyratok.training.alignment_training", description=__doc__.splitlines()[0]
    )
    parser.add_argument("data", help="a folder of videos with captions, with train/ and validation/ inside or without")
    parser.add_argument(
        "output", type=Path, help="receives alignment/, metrics.jsonl, checkpoints/ and the clips' tokens"
    )
    parser.add_argument("--more-data", action="append", default=[], help="a further folder of videos or pictures")
    parser.add_argument("--model", help="the tokenizer: `pyratok`, a folder or a Hub id")
    parser.add_argument("--text-encoder", help="`pyratok`, a folder or a Hub id")
    for field in dataclasses.fields(AlignmentSettings):
        if field.type in (int, float):
            parser.add_argument(f"--{field.name.replace('_', '-')}", type=field.type, help=f"default: {field.default}")
    given = vars(parser.parse_args(arguments))
    output = given.pop("output")
    values = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items() if value is not None
    }
    try:
        train_alignment(AlignmentSettings(**values), output)
    except (PyraTokError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
