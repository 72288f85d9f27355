"""Configuration of what compares tokens with captions."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .remote_code import SharesCode
from .size_bounds import (
    LARGEST_NUMBER,
    LARGEST_STRIDE,
    MOST_BITS,
    MOST_LAYERS,
    MOST_LEVELS,
    WIDEST,
    check_at_most,
)
from .unknown_options import reject_unknown

TEMPORAL_STRIDE = 4
"""Frames per latent frame of the video VAE, which a video's length is padded to."""


@strict
class PyraTokTextAlignmentConfig(SharesCode, PreTrainedConfig):
    r"""Everything that defines a [`PyraTokTextAlignment`]; the defaults fit the small tokenizer and its text encoder.

    Args:
        level_strides (`tuple[tuple[int, int]]`, *optional*, defaults to `((2, 8), (4, 8), (4, 16), (4, 16))`):
            Frames and pixels per token of each level, those of the tokenizer.
        codebook_bits (`int`, *optional*, defaults to 16): bits of a token.
        codebook_size (`int`, *optional*, defaults to 96): width of the codebook projection, `hidden_size` of the tokenizer.
        text_hidden_size (`int`, *optional*, defaults to 384): width of the text embeddings.
        feature_stride (`tuple[int, int]`, *optional*): frames, which are 4, and pixels per feature; by default the pixels of
        the
            coarsest level.
        context_size (`int`, *optional*, defaults to 192): width in which tokens look at their neighbours.
        context_layers (`int`, *optional*, defaults to 4): how often they do; with 0 every place is seen alone.
        vocabulary_size (`int`, *optional*, defaults to 0): names of things that places are compared through; 0 compares places
            with texts directly.

    Raises:
        `huggingface_hub.errors.StrictDataclassClassValidationError`: for a combination that cannot work; `TypeError` for an
            unknown keyword.
    """

    model_type = "pyratok_text_alignment"

    level_strides: list[list[int]] | tuple[tuple[int, int], ...] | list[tuple[int, int]] = (
        (2, 8),
        (4, 8),
        (4, 16),
        (4, 16),
    )
    codebook_bits: int = 16
    codebook_size: int = 96
    text_hidden_size: int = 384
    feature_stride: list[int] | tuple[int, int] | None = None
    context_size: int = 192
    context_layers: int = 4
    vocabulary_size: int = 0

    def __post_init__(self, **kwargs: Any) -> None:
        self.level_strides = tuple((int(t), int(s)) for t, s in self.level_strides)
        coarsest = (TEMPORAL_STRIDE, max(spatial for _, spatial in self.level_strides))
        self.feature_stride = tuple(coarsest if self.feature_stride is None else self.feature_stride)
        reject_unknown(kwargs, "PyraTokTextAlignmentConfig")
        super().__post_init__(**kwargs)

    @classmethod
    def tiny(cls, **overrides: Any) -> "PyraTokTextAlignmentConfig":
        """The smallest alignment, for the tokenizer of `PyraTokConfig.tiny()`."""
        settings: dict[str, Any] = {
            "level_strides": ((2, 8), (4, 8), (4, 16), (4, 32)),
            "codebook_size": 16,
            "text_hidden_size": 12,
            "feature_stride": (4, 16),
            "context_size": 8,
            "context_layers": 1,
        }
        return cls(**{**settings, **overrides})

    @property
    def num_levels(self) -> int:
        return len(self.level_strides)

    def validate_bounds(self) -> None:
        """Sizes beyond all that is of use are refused before any memory is taken."""
        widths = ("codebook_size", "text_hidden_size", "context_size")
        check_at_most(self, **dict.fromkeys(widths, WIDEST), num_levels=MOST_LEVELS, codebook_bits=MOST_BITS)
        check_at_most(self, context_layers=MOST_LAYERS, vocabulary_size=LARGEST_NUMBER, level_strides=LARGEST_STRIDE)

    def validate_sizes(self) -> None:
        """All of them count something, and every grid can be brought to that of the features."""
        for name in ("num_levels", "codebook_bits", "codebook_size", "text_hidden_size", "context_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("context_layers", "vocabulary_size"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        frames, pixels = self.feature_stride
        for stride in self.level_strides:
            if (
                min(*stride, frames, pixels) < 1
                or frames % stride[0]
                or max(stride[1], pixels) % min(stride[1], pixels)
            ):
                raise ValueError(
                    f"feature_stride {self.feature_stride} does not fit a level of {stride}: its frames are a multiple of the "
                    "level's, and pixels divide each other"
                )
        coarsest = tuple(max(axis) for axis in zip(*self.level_strides, strict=True))
        if frames != TEMPORAL_STRIDE or pixels > coarsest[1]:
            raise ValueError(
                f"feature_stride is ({TEMPORAL_STRIDE}, up to {coarsest[1]}) for these levels, got {self.feature_stride}"
            )
