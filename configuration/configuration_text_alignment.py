"""Configuration of what compares tokens with captions."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .unknown_options import reject_unknown


@strict
class PyraTokTextAlignmentConfig(PreTrainedConfig):
    r"""Everything that defines a [`PyraTokTextAlignment`]; the defaults fit the small tokenizer and its text encoder.

    Args:
        num_levels (`int`, *optional*, defaults to 4): levels of the tokenizer.
        codebook_bits (`int`, *optional*, defaults to 16): bits of a token.
        codebook_size (`int`, *optional*, defaults to 96): width of the codebook projection, `hidden_size` of the tokenizer.
        text_hidden_size (`int`, *optional*, defaults to 384): width of the text embeddings.
    """

    model_type = "pyratok_text_alignment"

    num_levels: int = 4
    codebook_bits: int = 16
    codebook_size: int = 96
    text_hidden_size: int = 384

    def __post_init__(self, **kwargs: Any) -> None:
        reject_unknown(kwargs, "PyraTokTextAlignmentConfig")
        super().__post_init__(**kwargs)

    def validate_sizes(self) -> None:
        """All of them count something."""
        for name in ("num_levels", "codebook_bits", "codebook_size", "text_hidden_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
