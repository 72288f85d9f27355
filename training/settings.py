"""The settings of a training run: one flat dataclass."""

import dataclasses
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..modeling_pyratok.errors import PyraTokError


class SettingsError(PyraTokError):
    """A setting that is unknown, of the wrong type, out of range, or in conflict with another one."""


RANGES: tuple[tuple[str, Callable[[float], bool], str], ...] = (
    ("batch_pixels max_steps gradient_accumulation mask_patch perceptual_frames", lambda v: v >= 1, "at least 1"),
    ("log_every validate_every kept_checkpoints validation_clips sheet_clips", lambda v: v >= 1, "at least 1"),
    ("validation_frames validation_side text_tokens prior_side", lambda v: v >= 1, "at least 1"),
    ("seed warmup_steps weight_decay workers", lambda v: v >= 0, "at least 0"),
    ("perceptual_loss_weight drift_loss_weight latent_loss_weight", lambda v: v >= 0, "at least 0"),
    ("prior_loss_weight contrastive_loss_weight", lambda v: v >= 0, "at least 0"),
    ("text_conditioned_loss_weight text_codebook_loss_weight", lambda v: v >= 0, "at least 0"),
    ("learning_rate max_gradient_norm checkpoint_minutes", lambda v: v > 0, "above 0"),
    ("image_share resized_share flip_share final_learning_rate_share", lambda v: 0 <= v <= 1, "between 0 and 1"),
    ("mask_share caption_dropout unreadable_share", lambda v: 0 <= v <= 1, "between 0 and 1"),
    ("tokenizer_learning_rate_share", lambda v: 0 <= v <= 1, "between 0 and 1"),
    ("minimum_scale", lambda v: 0 < v <= 1, "above 0 and at most 1"),
    ("beta_one beta_two average_decay", lambda v: 0 <= v < 1, "at least 0 and below 1"),
)
"""Names of settings, what their value must satisfy unless it is None, and how to say so."""

OPTIMIZERS = ("adamw", "muon")

PRECISIONS = ("no", "bf16", "fp16")
"""What Accelerate calls them; "no" is float32."""

STAGES = (1, 2, 3)
"""Self-supervised pretraining, alignment with text, fine-tuning at many resolutions (the paper's three stages)."""


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides a training run. Lengths are in frames and pixels, shares lie in [0, 1].

    Where it goes and what it starts from:
        output_folder: receives a folder for each stage, `stage_1` and so on, with `metrics.jsonl`, `curves.png`,
            `tensorboard/`, `samples/`, `checkpoints/` and `model/` (averaged weights).
        stage: 1, 2 or 3. Stages 2 and 3 start from the model of the stage before, if model_folder does not say otherwise.
        model_folder: a saved model to start from, a folder or an id, also `pyratok`; or
        backbone, backbone_subfolder: a pretrained AutoencoderKLWan (folder or Hub id, and the folder within), around which
            model_config makes a new model; or
        model_config: by itself, keyword arguments of `PyraTokConfig` for a new model. To a saved model only what concerns
            training (weights of losses, level dropout) is new; the rest, if given, has to be the model's own.

    Data:
        data: a folder (`videofolder`), a folder or pattern of WebDataset or Parquet files, or the Hub id of a dataset.
        train_split, validation_split: its splits; None for validation_split trains without validation. Of loose files that
            have no split "validation" a twentieth is held out for it: at least one file, at most 16.
        image_data: the same for photographs, which become panned and zoomed clips; None for none.
        image_share: how many of the clips come from image_data.
        frame_counts, sides, aspect_ratios: the sizes of clips; every combination is a bucket. Frames are 4k + 1; a side is
            the square root of a frame's pixels; a ratio is "16:9" and so on. A batch comes from one bucket, and clips are
            cut to it: for portrait videos list "9:16" as well, which landscape ones are then cut to in turn.
        batch_pixels: pixels times frames of a batch, per process, which decides the number of clips in it.
        resized_share: how many of the clips are shrunk, by a factor drawn log-uniformly from [minimum_scale, 1].
        minimum_scale: see above; a clip never needs more of the video than there is.
        flip_share: how many of the clips are mirrored left to right.
        caption_dropout: how many of the captions are left out.
        workers: processes that read and decode; 0 does it in the training process.
        unreadable_share: a run stops when more than this share of the files cannot be read.

    Masking:
        mask_share: share of the frames that are masked (0.3 in the paper); the loss sees the whole clip.
        mask_patch: side of what is masked at once.

    Losses beyond the tokenizer's own, whose weights are in model_config:
        perceptual, perceptual_loss_weight: "st-lpips", "efficientnet-lite0" or "lpips", and its weight.
        perceptual_frames: frames of a clip that it looks at.
        drift, drift_loss_weight: "encoder" (the frozen encoder under LoRA) or the name, folder or Hub id of an image encoder,
            and its weight.
        latent_loss_weight: of the distance to the VAE's own latent, for a frozen decoder.

    Language:
        text_encoder: `pyratok` for the bundled one, a folder or a Hub id; without one the tokenizer sees no captions.
        text_tokens: longer captions are cut.
        prior_loss_weight: of L_AR, the likelihood of the tokens under a prior that is trained along (1.5 in the paper).
        prior_body: a pretrained causal language model that the body of a new prior starts as, a folder or Hub id.
        prior_side: pixels of the square whose tokens the prior sees in a step, for frames of more tokens than it can take.
        prior_config: keyword arguments of `PyraTokPriorConfig` for a new prior; the one of the stage before goes on.
        text_conditioned_loss_weight, text_codebook_loss_weight: of the two terms of Eq. 2 that look at captions.
        contrastive_loss_weight: of telling a clip's caption from others, from the tokens of each level.

    Optimisation:
        max_steps: length of the run, and of the learning rate's cosine.
        gradient_accumulation: batches per step.
        learning_rate, warmup_steps, final_learning_rate_share: linear warm-up, then cosine down to that share.
        tokenizer_learning_rate_share: how much of that the tokenizer gets, beside a prior and an alignment that are new and
            learn faster than it may; 0 leaves the tokenizer as it is, and decodes nothing.
        optimizer: "adamw", or "muon", which takes the kernels of convolutions in orthogonal steps and the rest as AdamW does.
        weight_decay: on weights with more than one dimension.
        beta_one, beta_two: of AdamW.
        max_gradient_norm: clipping.
        average_decay: of the moving average of the weights, which is validated and saved; 0 saves the last ones.
        mixed_precision: "no", "bf16" or "fp16"; weights stay float32.
        gradient_checkpointing: compute activations anew in the backward pass: slower, in much less memory.
        channels_last: hold convolution weights and clips in torch's channels_last_3d layout.
        compile_model: run the tokenizer through torch.compile; pays after a few hundred steps, for few buckets.
        seed: of the new weights, the clips, masks and level dropout.

    Records:
        log_every, validate_every: in steps; the first validation is before the first step.
        checkpoint_minutes: time between checkpoints; one is also written at the end and on SIGTERM or SIGINT.
        kept_checkpoints: older ones are deleted.
        validation_clips: how many of the validation files are used, evenly spread; each gives its centre clip.
        validation_frames, validation_side: size of those, which are square; None takes the largest bucket's.
        sheet_clips: how many of them the contact sheet shows.
        resume: go on from the newest checkpoint of the stage, which is refused if the data, the start or the seed are not its
            own; without it a folder that holds one is refused.

    Raises SettingsError with what would be right.
    """

    output_folder: str
    data: str
    stage: int = 1
    model_folder: str | None = None
    backbone: str | None = None
    backbone_subfolder: str | None = None
    model_config: dict[str, Any] | None = None

    train_split: str = "train"
    validation_split: str | None = "validation"
    image_data: str | None = None
    image_share: float = 0.1
    frame_counts: list[int] = field(default_factory=lambda: [17])
    sides: list[int] = field(default_factory=lambda: [64])
    aspect_ratios: list[str] = field(default_factory=lambda: ["1:1"])
    batch_pixels: int = 4 * 17 * 64 * 64
    resized_share: float = 0.5
    minimum_scale: float = 0.5
    flip_share: float = 0.5
    caption_dropout: float = 0.1
    workers: int = 1
    unreadable_share: float = 0.1

    mask_share: float = 0.0
    mask_patch: int = 16

    perceptual: str | None = None
    perceptual_loss_weight: float = 1.0
    perceptual_frames: int = 4
    drift: str | None = None
    drift_loss_weight: float = 0.6
    latent_loss_weight: float = 0.0

    text_encoder: str | None = None
    text_tokens: int = 77
    prior_loss_weight: float = 0.0
    prior_body: str | None = None
    prior_side: int | None = None
    prior_config: dict[str, Any] | None = None
    text_conditioned_loss_weight: float = 0.0
    text_codebook_loss_weight: float = 0.0
    contrastive_loss_weight: float = 0.0

    max_steps: int = 1000
    gradient_accumulation: int = 1
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    final_learning_rate_share: float = 0.05
    tokenizer_learning_rate_share: float = 1.0
    optimizer: str = "adamw"
    weight_decay: float = 0.01
    beta_one: float = 0.9
    beta_two: float = 0.99
    max_gradient_norm: float = 1.0
    average_decay: float = 0.999
    mixed_precision: str = "no"
    gradient_checkpointing: bool = False
    channels_last: bool = False
    compile_model: bool = False
    seed: int = 0

    log_every: int = 20
    validate_every: int = 500
    checkpoint_minutes: float = 10.0
    kept_checkpoints: int = 2
    validation_clips: int = 16
    validation_frames: int | None = None
    validation_side: int | None = None
    sheet_clips: int = 6
    resume: bool = True

    def __post_init__(self) -> None:
        if self.mixed_precision is False:  # what YAML makes of no
            object.__setattr__(self, "mixed_precision", "no")
        hints = typing.get_type_hints(type(self))
        for item in dataclasses.fields(self):
            object.__setattr__(self, item.name, _typed(item.name, getattr(self, item.name), hints[item.name]))
        self._check_choices()
        self._check_frozen_tokenizer()
        for names, holds, wanted in RANGES:
            self._require(names.split(), holds, wanted)
        if self.warmup_steps > self.max_steps:
            raise SettingsError(f"warmup_steps is {self.warmup_steps}, but the run has max_steps={self.max_steps}")

    def _check_frozen_tokenizer(self) -> None:
        """What only a tokenizer learns from needs one that learns; a prior would learn tokens of masked frames."""
        names = ("perceptual", "drift", "latent_loss_weight", "text_conditioned_loss_weight", "mask_share")
        idle = [name for name in names if getattr(self, name)]
        if self.tokenizer_learning_rate_share == 0 and idle:
            raise SettingsError(
                f"tokenizer_learning_rate_share=0 leaves the tokenizer as it is, and {', '.join(idle)} could teach nothing "
                "else: leave one or the other out"
            )

    def _check_choices(self) -> None:
        if self.stage not in STAGES:
            raise SettingsError(f"stage must be one of {', '.join(map(str, STAGES))}, got {self.stage}")
        if self.stage == 1 and self.model_folder is None and self.backbone is None and self.model_config is None:
            raise SettingsError(
                "give model_folder (weights to start from), backbone (a pretrained VAE) or model_config (a new model)"
            )
        if self.model_folder is not None and self.backbone is not None:
            raise SettingsError("give one of model_folder and backbone, not both")
        if self.optimizer not in OPTIMIZERS:
            raise SettingsError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}")
        if self.mixed_precision not in PRECISIONS:
            raise SettingsError(
                f"mixed_precision must be one of {', '.join(PRECISIONS)}, got {self.mixed_precision!r}"
            )

    def _require(self, names: Sequence[str], holds: Callable[[float], bool], wanted: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None and not holds(value):
                raise SettingsError(f"{name} must be {wanted}, got {value}")

    @property
    def stage_folder(self) -> Path:
        """Where the stage is recorded."""
        return Path(self.output_folder) / f"stage_{self.stage}"

    @property
    def start_model(self) -> str | Path | None:
        """The model that the stage starts from, if it does not make a new one."""
        if self.model_folder is not None:
            return self.model_folder
        return None if self.stage == 1 else Path(self.output_folder) / f"stage_{self.stage - 1}" / "model"

    def as_dict(self) -> dict[str, Any]:
        """The settings as a plain mapping that JSON and YAML can hold."""
        return dataclasses.asdict(self)


def _typed(name: str, value: Any, hint: Any) -> Any:
    """`value` if it is of the annotated type, whole numbers being fine as floats; raises SettingsError otherwise."""
    if typing.get_origin(hint) is list and isinstance(value, list):
        (element,) = typing.get_args(hint)
        return [_typed(f"{name}[{index}]", item, element) for index, item in enumerate(value)]
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    plain = tuple(typing.get_origin(kind) or kind for kind in allowed)
    if isinstance(value, bool) and bool not in plain:
        pass
    elif isinstance(value, plain):
        return value
    elif isinstance(value, int) and float in plain:
        return float(value)
    names = " or ".join("nothing" if kind is type(None) else kind.__name__ for kind in plain)
    raise SettingsError(f"{name} must be of type {names}, got {value!r}")
