"""The state of a training run: everything a step changes and everything it needs, built from the settings."""

import itertools
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from torch import nn

from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.text_encoding import TextEncoder
from ..pipelines.text_encoder_loading import load_text_encoder
from .clip_buckets import ClipBucket, buckets_for
from .clip_stream import ClipBatch, ClipLoader, ClipStream, UnreadableFiles
from .clip_windows import ClipVariation
from .code_statistics import CodeStatistics
from .data_sources import RowSource, open_rows
from .fixed_clips import fixed_clips
from .held_out_files import open_split_rows
from .language_terms import language_terms
from .loss_terms import loss_terms
from .objective import Objective
from .optimizers import new_optimizer
from .run_records import MetricsFile, TensorBoard
from .settings import SettingsError, TrainingSettings
from .starting_model import starting_model
from .weight_average import WeightAverage

logger = logging.getLogger(__name__)

OTHER_CAPTIONS, ROWS_FOR_CAPTIONS = 256, 2048
"""Captions that the contrastive term tells a clip's own from, and the rows of the training data that are looked at for them."""


@dataclass
class Window:
    """What has been gathered since the last line of metrics."""

    statistics: CodeStatistics
    steps: int = 0
    clips: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    data_seconds: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def add(self, values: dict[str, float]) -> None:
        """Take in one step's values; their means over the window are what is reported."""
        self.steps += 1
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def state_dict(self) -> dict[str, Any]:
        """What has been gathered so far, as JSON can hold it."""
        return {
            "codes": self.statistics.state_dict(),
            "steps": self.steps,
            "clips": self.clips,
            "sums": self.sums,
            "data_seconds": self.data_seconds,
            "seconds": time.perf_counter() - self.started,
        }

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on from a `state_dict`; `device` is where codes are counted."""
        self.statistics.load_state_dict(state["codes"], device)
        self.steps, self.clips, self.sums = state["steps"], state["clips"], dict(state["sums"])
        self.data_seconds = state["data_seconds"]
        self.started = time.perf_counter() - state["seconds"]


@dataclass
class TrainState:
    """One run. `step` and the loader's position are its whole progress."""

    settings: TrainingSettings
    accelerator: Accelerator
    objective: Objective
    """The bare tokenizer and loss terms; `prepared` is what to call in training (wrapped in a distributed run)."""
    prepared: nn.Module
    optimizer: torch.optim.Optimizer
    average: WeightAverage
    loader: ClipLoader
    batches: Iterator[ClipBatch] | None
    """What the loader gives; None until the run has found its place in the data."""
    unreadable: UnreadableFiles
    validation: torch.Tensor | None
    """uint8 (N, T, H, W, 3); None without validation, and in all processes but the main one."""
    metrics: MetricsFile
    board: TensorBoard
    window: Window
    step: int = 0

    @property
    def model(self) -> PyraTokModel:
        return self.objective.model

    @property
    def output(self) -> Path:
        """The folder of the stage."""
        return self.settings.stage_folder


def new_state(settings: TrainingSettings) -> TrainState:
    """The state before the first step. Raises SettingsError, DataError, or what the configuration refuses."""
    # Level dropout may leave parameters of a level without a gradient in a step.
    accelerator = Accelerator(
        mixed_precision=settings.mixed_precision,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    if settings.mixed_precision == "fp16" and accelerator.device.type == "cpu":
        raise SettingsError("mixed_precision=fp16 needs a GPU, and this run is on the CPU; set it to bf16, or to no")
    set_seed(settings.seed, device_specific=False)
    model = starting_model(settings)
    if settings.tokenizer_learning_rate_share == 0:
        model.requires_grad_(False)
    rows = open_split_rows(settings.data, settings.train_split, settings.validation_split)
    text_encoder = _text_encoder(settings, model, accelerator.device)
    captions = _captions(rows.train) if settings.contrastive_loss_weight else []
    terms = loss_terms(settings, model) | language_terms(settings, model, text_encoder, captions)
    objective = Objective(model, terms, settings.compile_model, text_encoder).to(accelerator.device)
    if settings.channels_last:
        _use_channels_last(model)
    if settings.gradient_checkpointing:
        for network in (model, *objective.components().values()):
            if network.supports_gradient_checkpointing:
                network.gradient_checkpointing_enable()
    prepared, optimizer = accelerator.prepare(objective, new_optimizer(objective, settings))
    buckets = buckets_for(
        settings.sides,
        settings.aspect_ratios,
        settings.frame_counts,
        settings.batch_pixels,
        model.config.spatial_multiple,
    )
    if rows.held_out and accelerator.is_main_process:
        logger.info(
            "%s has no split '%s': these files are held out for it, and not trained on: %s",
            settings.data,
            settings.validation_split,
            ", ".join(rows.held_out),
        )
    # The other processes do not validate.
    validated = rows.validation if accelerator.is_main_process else None
    return TrainState(
        settings,
        accelerator,
        objective,
        prepared.train(),
        optimizer,
        WeightAverage(objective, settings.average_decay),
        _loader(rows.train, settings, buckets, accelerator),
        None,
        UnreadableFiles(settings.unreadable_share),
        None if validated is None else _validation_clips(validated, settings, buckets),
        MetricsFile(settings.stage_folder / "metrics.jsonl"),
        TensorBoard(settings.stage_folder / "tensorboard"),
        Window(CodeStatistics(model.config.codebook_bits)),
    )


def _text_encoder(settings: TrainingSettings, model: PyraTokModel, device: torch.device) -> TextEncoder | None:
    if settings.text_encoder is None:
        return None
    encoder = load_text_encoder(settings.text_encoder, settings.text_tokens)
    encoder.pad_to_max = settings.compile_model
    if encoder.hidden_size != model.config.text_hidden_size:
        raise SettingsError(
            f"text_encoder={settings.text_encoder} gives embeddings of {encoder.hidden_size} numbers, the tokenizer takes "
            f"text_hidden_size={model.config.text_hidden_size}"
        )
    encoder.model.to(device)
    model.config.text_encoder = settings.text_encoder  # so that the saved tokenizer says what it was trained with
    return encoder


def _captions(rows: RowSource) -> list[str]:
    """Different ones of the first rows."""
    first = itertools.islice(rows.rows, ROWS_FOR_CAPTIONS)
    found = (row["caption"].strip() for row in first if isinstance(row["caption"], str) and row["caption"].strip())
    return list(itertools.islice(dict.fromkeys(found), OTHER_CAPTIONS))


def _loader(
    videos: RowSource, settings: TrainingSettings, buckets: Sequence[ClipBucket], accelerator: Accelerator
) -> ClipLoader:
    sources = [(videos, 1.0)]
    if settings.image_data is not None and settings.image_share > 0:
        sources = [(videos, 1 - settings.image_share), (open_rows(settings.image_data), settings.image_share)]
    stream = ClipStream(
        sources,
        buckets,
        ClipVariation(settings.resized_share, settings.minimum_scale, settings.flip_share),
        settings.seed,
        settings.caption_dropout,
        accelerator.process_index,
        accelerator.num_processes,
    )
    return ClipLoader(stream, settings.workers)


def _validation_clips(rows: RowSource, settings: TrainingSettings, buckets: Sequence[ClipBucket]) -> torch.Tensor:
    largest = max(buckets, key=lambda bucket: (bucket.num_frames, bucket.height * bucket.width))
    bucket = ClipBucket(
        settings.validation_frames or largest.num_frames,
        settings.validation_side or largest.height,
        settings.validation_side or largest.width,
        batch_size=1,
    )
    return fixed_clips(rows, settings.validation_clips, bucket)


def _use_channels_last(model: nn.Module) -> None:
    for weight in model.parameters():
        if weight.dim() == 5:  # Module.to(memory_format=...) refuses models that hold four-dimensional weights too
            weight.data = weight.data.contiguous(memory_format=torch.channels_last_3d)
