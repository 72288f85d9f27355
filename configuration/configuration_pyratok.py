"""The configuration of a PyraTok tokenizer."""

import itertools
import math
import re
from typing import Any

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassClassValidationError
from transformers import PreTrainedConfig

from .backbone_rules import DOWNSAMPLING, MULTIPLIERS, TEMPORAL_STRIDE, check_backbone
from .backbone_shapes import TINY_VAE, WAN_2_1_VAE, WAN_2_2_VAE
from .remote_code import SharesCode
from .size_bounds import LARGEST_STRIDE, MOST_LEVELS, WIDEST, check_at_most
from .unknown_options import reject_unknown

LOSS_WEIGHTS = tuple(
    f"{name}_loss_weight"
    for name in ("l1", "ssim", "l2", "log_l2", "commitment", "entropy", "hierarchical", "reconstruction", "codebook")
)
"""The fields that weigh the terms of the loss and its two parts."""

MAX_LEVELS = MOST_LEVELS
"""More would not fit a token file."""


def _as_saved(backbone: dict[str, Any]) -> dict[str, Any]:
    """As after a JSON round trip, so that a saved configuration equals the original."""
    return {name: list(value) if isinstance(value, list | tuple) else value for name, value in backbone.items()}


@strict
class PyraTokConfig(SharesCode, PreTrainedConfig):
    r"""Everything that defines a [`PyraTokModel`]; the defaults are the full-size model of the paper (arXiv 2601.16210).

    Args:
        backbone_config (`dict`, *optional*, defaults to the Wan 2.2 VAE):
            Keyword arguments of diffusers' `AutoencoderKLWan`. It has to downsample time by 4.
        level_stages (`tuple[int]`, *optional*, defaults to `(1, 2, 3, 4)`):
            The encoder stage that each level taps, not decreasing. Stage k ends with the k-th downsampling; the last stage ends
            with the mid block.
        level_strides (`tuple[tuple[int, int]]`, *optional*, defaults to `((4, 8), (4, 8), (4, 16), (4, 16))`):
            Frames and pixels (in each direction of space) per token, for each level.
        codebook_bits (`int`, *optional*, defaults to 16):
            Bits of a token: the codebook is {-1, +1}^bits, shared by the levels.
        hidden_size (`int`, *optional*, defaults to 512):
            Width of the LaPQ blocks and of the shared codebook projection.
        num_attention_heads (`int`, *optional*, defaults to 8):
            Heads of the attention to the text.
        text_hidden_size (`int`, *optional*, defaults to 2048):
            Width of the text embeddings; 2048 is that of Qwen2.5-VL-3B.
        text_encoder (`str`, *optional*, defaults to `"Qwen/Qwen2.5-VL-3B-Instruct"`):
            Hub id or folder of the text encoder, or None.
        quantizer (`str`, *optional*, defaults to `"lapq"`):
            `"lapq"` for the pyramid of the paper, or `"residual"` for that of the authors' released checkpoint: every level
            takes the signs of what the levels before left of the VAE's own latent, times 2^-i; see
            [`PyraTokConfig.residual`].
        residual_text_scale (`float`, *optional*, defaults to 0.0):
            With the residual quantizer: how much of the attention to the text is added to what is quantized. The authors' code
            has 0, so text has no effect; a model loaded with another scale is another tokenizer.
        residual_text_sizes (`tuple[int, int]`, *optional*, defaults to `(1024, 256)`):
            With the residual quantizer: hidden and output width of the map that text embeddings pass before the attention.
        lora_rank (`int`, *optional*, defaults to 16):
            Rank of the LoRA update on every convolution of the encoder; 0 for none.
        lora_alpha (`float`, *optional*, defaults to 32.0):
            The LoRA update is scaled by `lora_alpha / lora_rank`.
        freeze_backbone (`bool`, *optional*, defaults to `True`):
            Whether the VAE's own weights stay as they are. With False the whole backbone is trained.
        level_dropout (`float`, *optional*, defaults to 0.1):
            Probability, per training sample, that a proper subset of the levels is decoded instead of all: in three of four
            cases the coarsest ones, otherwise any.
        temperature (`float`, *optional*, defaults to 1.0):
            tau in p(bit is +1) = sigmoid(2 u / tau).
        l1_loss_weight, ssim_loss_weight (`float`, *optional*, default to 1.0):
            Weights inside the reconstruction loss, L1 + (1 - SSIM).
        l2_loss_weight (`float`, *optional*, defaults to 0.0):
            Weight of the mean squared error inside the reconstruction loss, beyond the paper: large errors count more.
        log_l2_loss_weight (`float`, *optional*, defaults to 0.0):
            Weight of minus the PSNR in dB, the mean over clips, inside the reconstruction loss, beyond the paper: with it clips
            count alike, however hard they are and however many levels they are decoded from.
        commitment_loss_weight, entropy_loss_weight, hierarchical_loss_weight (`float`, *optional*):
            Weights inside the codebook loss (Eq. 2). Measured on the bundled model's recipe: with a commitment of 0.25 and an
            entropy of 0.01 the codes collapse in the first hundred steps (3.4 bits of entropy at level 1), with 0.02 and 0.02
            they do not. The hierarchical term pulls the levels towards saying the same and is off by default.
        entropy_diversity (`float`, *optional*, defaults to 1.0):
            gamma: weight of the entropy of the mean code against the mean entropy of the codes.
        reconstruction_loss_weight, codebook_loss_weight (`float`, *optional*, default to 2.5):
            Weights of the two parts in the total, from the paper.
        rounded_weights (`dict[str, str]`, *optional*):
            Written by `save_pretrained` where weights were rounded to half precision before: their fingerprint, and that of
            what they were rounded from. Tokens of either fit them.

    Raises:
        `huggingface_hub.errors.StrictDataclassClassValidationError`: for a combination that cannot work; the message says
            what would be right. `TypeError` for an unknown keyword.
    """

    model_type = "pyratok"

    backbone_config: dict[str, Any] | None = None
    level_stages: list[int] | tuple[int, ...] = (1, 2, 3, 4)
    level_strides: list[list[int]] | tuple[tuple[int, int], ...] | list[tuple[int, int]] = (
        (4, 8),
        (4, 8),
        (4, 16),
        (4, 16),
    )
    codebook_bits: int = 16
    hidden_size: int = 512
    num_attention_heads: int = 8
    text_hidden_size: int = 2048
    text_encoder: str | None = "Qwen/Qwen2.5-VL-3B-Instruct"
    quantizer: str = "lapq"
    residual_text_scale: int | float = 0.0
    residual_text_sizes: list[int] | tuple[int, ...] = (1024, 256)
    lora_rank: int = 16
    lora_alpha: int | float = 32.0
    freeze_backbone: bool = True
    level_dropout: int | float = 0.1
    temperature: int | float = 1.0
    l1_loss_weight: int | float = 1.0
    ssim_loss_weight: int | float = 1.0
    l2_loss_weight: int | float = 0.0
    log_l2_loss_weight: int | float = 0.0
    commitment_loss_weight: int | float = 0.02
    entropy_loss_weight: int | float = 0.02
    entropy_diversity: int | float = 1.0
    hierarchical_loss_weight: int | float = 0.0
    reconstruction_loss_weight: int | float = 2.5
    codebook_loss_weight: int | float = 2.5
    rounded_weights: dict[str, str] | None = None

    def __post_init__(self, **kwargs):
        backbone = WAN_2_2_VAE if self.backbone_config is None else self.backbone_config
        self.backbone_config = _as_saved(backbone)
        self.level_stages = tuple(self.level_stages)
        self.level_strides = tuple(tuple(stride) for stride in self.level_strides)
        self.residual_text_sizes = tuple(self.residual_text_sizes)
        reject_unknown(kwargs, "PyraTokConfig")
        super().__post_init__(**kwargs)

    @classmethod
    def tiny(cls, **overrides) -> "PyraTokConfig":
        """The smallest configuration that exercises every part: four levels, LoRA, text attention, decoder laterals."""
        settings: dict[str, Any] = {
            "backbone_config": dict(TINY_VAE),
            "level_stages": (1, 1, 2, 3),
            "level_strides": ((2, 8), (4, 8), (4, 16), (4, 32)),
            "hidden_size": 16,
            "num_attention_heads": 2,
            "text_hidden_size": 12,
            "text_encoder": None,
            "lora_rank": 2,
            "lora_alpha": 4.0,
        }
        return cls(**{**settings, **overrides})

    @classmethod
    def residual(
        cls, backbone_config: dict[str, Any] | None = None, num_levels: int = 4, **overrides
    ) -> "PyraTokConfig":
        """The layout of the authors' released checkpoint: levels of signs, each on the grid of the VAE's own latent.

        Args:
            backbone_config: as for `PyraTokConfig`, by default the Wan 2.1 VAE.
            num_levels: how many residual levels.
            overrides: other settings. `codebook_bits` and `hidden_size` are the channels of the latent.

        Raises what `PyraTokConfig` raises.
        """
        backbone = _as_saved(WAN_2_1_VAE if backbone_config is None else backbone_config)
        try:
            check_backbone(backbone)  # sizes of the levels are made of it
        except ValueError as problem:
            raise StrictDataclassClassValidationError("validate_backbone", problem) from problem
        width, stages = backbone.get("z_dim", 16), len(backbone.get("dim_mult", MULTIPLIERS))
        stride = (TEMPORAL_STRIDE, (backbone.get("patch_size") or 1) * 2 ** (stages - 1))
        settings: dict[str, Any] = {
            "quantizer": "residual",
            "backbone_config": backbone,
            "codebook_bits": width,
            "hidden_size": width,
            "num_attention_heads": 2,
            "text_hidden_size": 2560,
            "text_encoder": None,
            "lora_rank": 0,
            "level_stages": (stages,) * num_levels,
            "level_strides": (stride,) * num_levels,
        }
        return cls(**{**settings, **overrides})

    # --- derived sizes -------------------------------------------------------------------------------------------------

    @property
    def num_levels(self) -> int:
        return len(self.level_strides)

    @property
    def patch_size(self) -> int:
        return self.backbone_config.get("patch_size") or 1

    @property
    def backbone_stride(self) -> int:
        """Pixels per latent, in each direction of space."""
        return self.patch_size * 2 ** (len(self._channel_multipliers) - 1)

    @property
    def spatial_multiple(self) -> int:
        """The number that a padded height and width are multiples of."""
        return math.lcm(self.backbone_stride, *(spatial for _, spatial in self.level_strides))

    @property
    def stage_strides(self) -> tuple[tuple[int, int], ...]:
        """(frames, pixels) per position after each encoder stage; the last entry is the latent's."""
        temporal, spatial, strides = 1, self.patch_size, []
        for halves_time in self._temporal_downsampling:
            temporal, spatial = temporal * (2 if halves_time else 1), spatial * 2
            strides.append((temporal, spatial))
        return (*strides, strides[-1])

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Channels after each encoder stage."""
        base = self.backbone_config.get("base_dim", 96)
        return tuple(base * multiplier for multiplier in self._channel_multipliers)

    @property
    def decoder_stage_strides(self) -> tuple[tuple[int, int], ...]:
        """(frames, pixels) per position after each decoder stage: stage 0 is the mid block, stage k the k-th up block."""
        encoder_strides = self.stage_strides[:-1]
        reversed_strides = list(encoder_strides[::-1])
        halves_time = self._temporal_downsampling[0]
        first_temporal, first_spatial = encoder_strides[0]
        finest = (first_temporal // 2 if halves_time else first_temporal, first_spatial // 2)
        return (*reversed_strides, finest, finest)

    @property
    def decoder_stage_channels(self) -> tuple[int, ...]:
        """Channels after each decoder stage, see `decoder_stage_strides`."""
        base = self.backbone_config.get("decoder_base_dim") or self.backbone_config.get("base_dim", 96)
        multipliers = list(self._channel_multipliers)[::-1]
        channels = [base * multiplier for multiplier in [multipliers[0], *multipliers]]
        if not self.backbone_config.get("is_residual", False):
            # Wan 2.1 halves the channels in its upsampling convolutions, which all blocks but the last end with.
            channels = [channels[0], *(width // 2 for width in channels[1:-1]), channels[-1]]
        return tuple(channels)

    @property
    def _channel_multipliers(self) -> list[int]:
        return self.backbone_config.get("dim_mult", MULTIPLIERS)

    @property
    def _temporal_downsampling(self) -> list[bool]:
        return self.backbone_config.get("temperal_downsample", DOWNSAMPLING)

    # --- rules ---------------------------------------------------------------------------------------------------------

    def validate_backbone(self) -> None:
        """The VAE has to be one that the levels can be placed on."""
        check_backbone(self.backbone_config)

    def validate_rounded_weights(self) -> None:
        """Fingerprints by fingerprints."""
        for name in itertools.chain.from_iterable((self.rounded_weights or {}).items()):
            if not re.fullmatch("[0-9a-f]{64}", name):
                raise ValueError(f"rounded_weights are SHA-256, 64 digits of 0-9 and a-f, by such; got {name!r:.80}")

    def validate_levels(self) -> None:
        """Every level taps a stage that is at least as fine as its grid, and grids fit into each other."""
        if not 1 <= len(self.level_strides) <= MAX_LEVELS:
            raise ValueError(
                f"level_strides needs at least one (frames, pixels) pair and at most {MAX_LEVELS}, "
                f"got {len(self.level_strides)}"
            )
        if len(self.level_stages) != len(self.level_strides):
            raise ValueError(
                f"level_stages and level_strides need one entry per level, got {len(self.level_stages)} and "
                f"{len(self.level_strides)}"
            )
        if list(self.level_stages) != sorted(self.level_stages):
            raise ValueError(f"level_stages must not decrease, level 1 is the shallowest; got {self.level_stages}")
        for level, (stage, stride) in enumerate(zip(self.level_stages, self.level_strides, strict=True), start=1):
            self._validate_level(level, stage, stride)
        for level, ((_, one), (_, other)) in enumerate(
            zip(self.level_strides, self.level_strides[1:], strict=False), start=1
        ):
            if one % other and other % one:
                raise ValueError(
                    f"of the spatial strides of neighbouring levels one must divide the other; levels {level} and {level + 1} "
                    f"have {one} and {other}"
                )

    def _validate_level(self, level: int, stage: int, stride: tuple[int, int]) -> None:
        if not 1 <= stage <= len(self.stage_strides):
            raise ValueError(
                f"level {level} taps stage {stage}, but this backbone has the stages 1..{len(self.stage_strides)}"
            )
        if len(stride) != 2 or min(stride) < 1:
            raise ValueError(
                f"the stride of level {level} must be a pair (frames, pixels) of positive numbers, got {stride}"
            )
        (temporal, spatial), (stage_temporal, stage_spatial) = stride, self.stage_strides[stage - 1]
        if temporal not in (1, 2, 4):
            raise ValueError(f"the temporal stride of level {level} must be 1, 2 or 4, got {temporal}")
        if spatial % self.backbone_stride and self.backbone_stride % spatial:
            raise ValueError(
                f"the spatial stride of level {level} must divide the backbone's stride {self.backbone_stride} or be a "
                f"multiple of it, got {spatial}"
            )
        if temporal % stage_temporal or spatial % stage_spatial:
            raise ValueError(
                f"level {level} has stride {stride}, finer than or not a multiple of the stride "
                f"{(stage_temporal, stage_spatial)} of stage {stage} that it taps; choose a coarser grid or a shallower stage"
            )

    def validate_bounds(self) -> None:
        """Sizes beyond all that is of use are refused before any memory is taken."""
        widths = ("hidden_size", "num_attention_heads", "text_hidden_size", "lora_rank", "residual_text_sizes")
        check_at_most(self, **dict.fromkeys(widths, WIDEST), level_strides=LARGEST_STRIDE)

    def validate_widths(self) -> None:
        """Widths, bits and LoRA."""
        if not 1 <= self.codebook_bits <= 24:
            raise ValueError(f"codebook_bits must lie in 1..24, got {self.codebook_bits}")
        for name in ("hidden_size", "num_attention_heads", "text_hidden_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size must be a multiple of num_attention_heads={self.num_attention_heads}, got {self.hidden_size}"
            )
        if self.lora_rank < 0:
            raise ValueError(f"lora_rank must be 0 (no LoRA) or positive, got {self.lora_rank}")
        if self.lora_rank and not self.freeze_backbone:
            raise ValueError(
                f"LoRA adapts a frozen backbone: with freeze_backbone=False set lora_rank=0, got lora_rank={self.lora_rank}"
            )
        if self.lora_rank and not 0 < self.lora_alpha < math.inf:
            raise ValueError(f"lora_alpha must be positive and finite, got {self.lora_alpha}")

    def validate_quantizer(self) -> None:
        """The residual quantizer works on the VAE's own latent, so its sizes are the latent's."""
        if self.quantizer not in ("lapq", "residual"):
            raise ValueError(f"quantizer must be 'lapq' or 'residual', got {self.quantizer!r}")
        if not math.isfinite(self.residual_text_scale):
            raise ValueError(f"residual_text_scale must be finite, got {self.residual_text_scale}")
        if len(self.residual_text_sizes) != 2 or min(self.residual_text_sizes) < 1:
            raise ValueError(
                f"residual_text_sizes must be two positive widths, hidden and output, got {self.residual_text_sizes}"
            )
        if self.quantizer == "lapq":
            if self.residual_text_scale:
                raise ValueError(f"residual_text_scale={self.residual_text_scale} needs quantizer='residual'")
            return
        channels = self.backbone_config.get("z_dim", 16)
        stages, stride = len(self.stage_strides), self.stage_strides[-1]
        for name in ("codebook_bits", "hidden_size"):
            if getattr(self, name) != channels:
                raise ValueError(
                    f"quantizer='residual' has one bit for each channel of the latent: {name} must be z_dim = {channels}, "
                    f"got {getattr(self, name)}"
                )
        if any(stage != stages for stage in self.level_stages) or any(own != stride for own in self.level_strides):
            raise ValueError(
                f"quantizer='residual' works on the latent alone: all level_stages must be {stages} and all level_strides "
                f"{stride}, got {self.level_stages} and {self.level_strides}"
            )
        if self.hierarchical_loss_weight:
            raise ValueError(
                "quantizer='residual' has levels that say different things: hierarchical_loss_weight must be 0, got "
                f"{self.hierarchical_loss_weight}"
            )

    def validate_training(self) -> None:
        """Loss weights and probabilities."""
        if not 0 <= self.level_dropout <= 1:
            raise ValueError(f"level_dropout is a probability between 0 and 1, got {self.level_dropout}")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be positive and finite, got {self.temperature}")
        if not 0 <= self.entropy_diversity < math.inf:
            raise ValueError(f"entropy_diversity must be a finite number of at least 0, got {self.entropy_diversity}")
        for name in LOSS_WEIGHTS:
            weight = getattr(self, name)
            if not (0 <= weight < math.inf):
                raise ValueError(f"{name} must be a finite number of at least 0, got {weight}")


TRAINING_FIELDS = frozenset(("level_dropout", "temperature", "entropy_diversity", "text_encoder", *LOSS_WEIGHTS))
"""What says how a model is trained and not what it is: it may change between two runs of training."""
