"""The state of a stage-1 run: everything a step changes and everything it needs, built from the settings."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from torch import nn

from ..configuration.configuration_pyratok import PyraTokConfig
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from .code_statistics import CodeStatistics
from .media_files import DecodedFiles, list_images, list_videos
from .run_records import MetricsFile
from .settings import StageOneSettings
from .validation import validation_clips
from .video_clips import ClipSampler, ClipShape
from .weight_average import WeightAverage


@dataclass
class Window:
    """What has been gathered since the last line of metrics."""

    statistics: CodeStatistics
    steps: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    data_seconds: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def add(self, values: dict[str, float]) -> None:
        """Take in one step's values; their means over the window are what is reported."""
        self.steps += 1
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value


@dataclass
class TrainState:
    """One run. `step` and `clips_consumed` (over all processes) are its whole position."""

    settings: StageOneSettings
    accelerator: Accelerator
    model: PyraTokModel
    """The bare model; `prepared` is the one to call in training (wrapped in a distributed run)."""
    prepared: nn.Module
    optimizer: torch.optim.Optimizer
    average: WeightAverage
    sampler: ClipSampler
    validation: torch.Tensor | None
    """uint8 (N, T, H, W, 3), or None without validation."""
    metrics: MetricsFile
    window: Window
    step: int = 0
    clips_consumed: int = 0

    @property
    def output(self) -> Path:
        """The run's folder."""
        return Path(self.settings.output_folder)


def new_state(settings: StageOneSettings) -> TrainState:
    """The state before the first step. Raises SettingsError, DataError, or what the configuration refuses."""
    # Level dropout may leave parameters of a level without a gradient in a step.
    accelerator = Accelerator(kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)])
    set_seed(settings.seed, device_specific=False)
    sampler = _sampler(settings)
    clips = _validation(settings) if settings.validation_split is not None else None
    model = _model(settings).to(accelerator.device)
    if settings.channels_last:
        _use_channels_last(model)
    optimizer = _optimizer(model, settings)
    prepared, optimizer = accelerator.prepare(model, optimizer)
    if settings.compile_model:
        # The bare model stays as it is: validation runs it at other sizes, which would be compiled anew.
        prepared = torch.compile(prepared, dynamic=False)
    # From here on every process draws its own level dropout.
    set_seed(settings.seed, device_specific=True)
    output = Path(settings.output_folder)
    return TrainState(
        settings,
        accelerator,
        model,
        prepared.train(),
        optimizer.optimizer,
        WeightAverage(model, settings.average_decay),
        sampler,
        clips,
        MetricsFile(output / "metrics.jsonl"),
        Window(CodeStatistics(model.config.codebook_bits)),
    )


def _model(settings: StageOneSettings) -> PyraTokModel:
    if settings.model_folder is not None:
        return PyraTokModel.from_pretrained(settings.model_folder, dtype=torch.float32)
    return PyraTokModel(PyraTokConfig(**settings.model_config))


def _use_channels_last(model: nn.Module) -> None:
    for weight in model.parameters():
        if weight.dim() == 5:  # Module.to(memory_format=...) refuses models that hold four-dimensional weights too
            weight.data = weight.data.contiguous(memory_format=torch.channels_last_3d)


def _optimizer(model: nn.Module, settings: StageOneSettings) -> torch.optim.Optimizer:
    """AdamW over the trainable weights; scales, biases and single vectors are not decayed."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in weights if w.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [w for w in weights if w.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    betas = (settings.beta_one, settings.beta_two)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=betas, fused=True)


def _sampler(settings: StageOneSettings) -> ClipSampler:
    shape = ClipShape(
        settings.num_frames,
        settings.height,
        settings.width,
        settings.resized_share,
        settings.minimum_scale,
        settings.flip_share,
    )
    cache_bytes = settings.cache_gigabytes * 1e9
    images = None
    if settings.image_folder is not None and settings.image_share > 0:
        # Images are few bytes beside videos, so a quarter of the room is theirs.
        images = DecodedFiles(list_images(settings.image_folder, "train"), cache_bytes / 4)
        cache_bytes *= 3 / 4
    return ClipSampler(
        DecodedFiles(list_videos(settings.video_folder, settings.video_split), cache_bytes),
        shape,
        settings.seed,
        images,
        settings.image_share,
        settings.clips_per_decode,
        settings.decode_pool,
    )


def _validation(settings: StageOneSettings) -> torch.Tensor:
    shape = ClipShape(
        settings.validation_num_frames or settings.num_frames,
        settings.validation_height or settings.height,
        settings.validation_width or settings.width,
    )
    files = DecodedFiles(list_videos(settings.video_folder, settings.validation_split), settings.cache_gigabytes * 1e9)
    return validation_clips(files, settings.validation_clips, shape)
