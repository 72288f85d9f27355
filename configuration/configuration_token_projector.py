"""Configuration of what hands tokens to a language model."""

import math
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .remote_code import SharesCode
from .size_bounds import LARGEST_STRIDE, MOST_BITS, MOST_LEVELS, WIDEST, check_at_most
from .unknown_options import reject_unknown


@strict
class PyraTokTokenProjectorConfig(SharesCode, PreTrainedConfig):
    r"""Everything that defines a [`PyraTokTokenProjector`]; the defaults fit the small tokenizer and SmolLM2-135M.

    Args:
        num_levels (`int`, *optional*, defaults to 4): levels of the tokenizer.
        codebook_bits (`int`, *optional*, defaults to 16): bits of a token.
        codebook_size (`int`, *optional*, defaults to 96): width of the codebook projection, `hidden_size` of the tokenizer.
        hidden_size (`int`, *optional*, defaults to 192): width of a token's features, and of the cells they are averaged to.
        language_hidden_size (`int`, *optional*, defaults to 576): width of the language model's embeddings.
        embedding_rms (`float`, *optional*, defaults to 0.135): root mean square of the language model's embeddings of words,
            which what comes out here has at first.
        places (`int`, *optional*, defaults to 4): a level becomes at most so many cells high and wide.
        moments (`int`, *optional*, defaults to 8): a level becomes at most so many cells long.
        language_model (`str`, *optional*): id or folder of the language model that it was trained with, as
            `load_language_model` takes it.
        weights_fingerprint (`str`, *optional*): that of the tokenizer whose tokens it was trained with.
    """

    model_type = "pyratok_token_projector"

    num_levels: int = 4
    codebook_bits: int = 16
    codebook_size: int = 96
    hidden_size: int = 192
    language_hidden_size: int = 576
    embedding_rms: float = 0.135
    places: int = 4
    moments: int = 8
    language_model: str | None = None
    weights_fingerprint: str | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        reject_unknown(kwargs, "PyraTokTokenProjectorConfig")
        super().__post_init__(**kwargs)

    def validate_bounds(self) -> None:
        """Sizes beyond all that is of use are refused before any memory is taken."""
        widths = ("codebook_size", "hidden_size", "language_hidden_size")
        check_at_most(self, **dict.fromkeys(widths, WIDEST), num_levels=MOST_LEVELS, codebook_bits=MOST_BITS)
        check_at_most(self, places=LARGEST_STRIDE, moments=LARGEST_STRIDE)

    def validate_sizes(self) -> None:
        """All of them count something."""
        counts = (
            "num_levels",
            "codebook_bits",
            "codebook_size",
            "hidden_size",
            "language_hidden_size",
            "places",
            "moments",
        )
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.embedding_rms < math.inf:
            raise ValueError(f"embedding_rms must be a number above 0, got {self.embedding_rms}")
