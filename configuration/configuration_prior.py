"""Configuration of the autoregressive prior over the token hierarchy."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import CONFIG_MAPPING, PreTrainedConfig

from .remote_code import SharesCode
from .size_bounds import LARGEST_STRIDE, MOST_BITS, MOST_LEVELS, WIDEST, check_at_most, check_settings
from .unknown_options import reject_unknown

SMALL_BODY: dict[str, Any] = {
    "model_type": "qwen2",
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 32768,
}
"""The body of the bundled prior."""


@strict
class PyraTokPriorConfig(SharesCode, PreTrainedConfig):
    r"""Everything that defines a [`PyraTokPrior`]; the defaults are the small prior that ships with the small tokenizer.

    Args:
        body_config (`dict`, *optional*): configuration of the causal language model that is the body, as its own
            `config.json` has it, with `model_type`; of a multimodal one its text model is taken.
        level_strides (`tuple[tuple[int, int]]`, *optional*, defaults to `((2, 8), (4, 8), (4, 16), (4, 16))`):
            Frames and pixels per token of each level, those of the tokenizer.
        spatial_multiple (`int`, *optional*): what the tokenizer pads height and width to a multiple of; by default the least
            common multiple of the spatial strides.
        codebook_bits (`int`, *optional*, defaults to 16): bits of a token.
        codebook_size (`int`, *optional*, defaults to 96): width of the codebook projection, `hidden_size` of the tokenizer.
        text_hidden_size (`int`, *optional*, defaults to 384): width of the text embeddings.
        text_encoder (`str`, *optional*): Hub id or folder of the text encoder that the prior was trained with; `pyratok` is the
            bundled one.
        level_order (`tuple[int]`, *optional*): the levels in the order in which they are predicted, numbered from 1, the
            shallowest; by default coarse to fine, from the last to the first.
        group_bits (`int`, *optional*, defaults to 4): bits that the head predicts at once.
        head_size (`int`, *optional*, defaults to 128): width of the head, per group of bits.

    Raises:
        `huggingface_hub.errors.StrictDataclassClassValidationError`: for a combination that cannot work; `TypeError` for an
            unknown keyword.
    """

    model_type = "pyratok_prior"

    body_config: dict[str, Any] | None = None
    level_strides: list[list[int]] | tuple[tuple[int, int], ...] | list[tuple[int, int]] = (
        (2, 8),
        (4, 8),
        (4, 16),
        (4, 16),
    )
    spatial_multiple: int | None = None
    codebook_bits: int = 16
    codebook_size: int = 96
    text_hidden_size: int = 384
    text_encoder: str | None = None
    level_order: list[int] | tuple[int, ...] | None = None
    group_bits: int = 4
    head_size: int = 128

    def __post_init__(self, **kwargs: Any) -> None:
        self.body_config = dict(SMALL_BODY if self.body_config is None else self.body_config)
        self.level_strides = tuple((int(t), int(s)) for t, s in self.level_strides)
        last = len(self.level_strides)
        self.level_order = tuple(range(last, 0, -1) if self.level_order is None else self.level_order)
        reject_unknown(kwargs, "PyraTokPriorConfig")
        super().__post_init__(**kwargs)

    @classmethod
    def tiny(cls, **overrides: Any) -> "PyraTokPriorConfig":
        """The smallest prior, for the tokenizer of `PyraTokConfig.tiny()`."""
        settings: dict[str, Any] = {
            "body_config": {
                "model_type": "qwen2",
                "hidden_size": 16,
                "intermediate_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 1,
                "max_position_embeddings": 4096,
            },
            "level_strides": ((2, 8), (4, 8), (4, 16), (4, 32)),
            "codebook_size": 16,
            "text_hidden_size": 12,
            "head_size": 8,
        }
        return cls(**{**settings, **overrides})

    @property
    def num_levels(self) -> int:
        return len(self.level_strides)

    def make_body_config(self) -> PreTrainedConfig:
        """The body's own configuration; its table of word embeddings has one row, for nothing looks words up."""
        options = dict(self.body_config)
        config = CONFIG_MAPPING[options.pop("model_type")](**options).get_text_config()
        config.vocab_size, config.pad_token_id = 1, None
        return config

    def validate_bounds(self) -> None:
        """Sizes beyond all that is of use are refused before any memory is taken."""
        widths = ("codebook_size", "text_hidden_size", "head_size")
        check_at_most(self, **dict.fromkeys(widths, WIDEST), num_levels=MOST_LEVELS, codebook_bits=MOST_BITS)
        check_at_most(self, level_strides=LARGEST_STRIDE)
        check_settings("body_config", self.body_config)

    def validate_prior(self) -> None:
        """What the parts need from each other."""
        if self.body_config.get("model_type") not in CONFIG_MAPPING:
            raise ValueError(
                f"body_config needs the model_type of a causal language model, such as 'qwen2', got "
                f"{self.body_config.get('model_type')!r}"
            )
        if sorted(set(self.level_order)) != sorted(self.level_order) or not self.level_order:
            raise ValueError(f"level_order names each level once, got {self.level_order}")
        if not set(self.level_order) <= set(range(1, self.num_levels + 1)):
            raise ValueError(f"level_order has numbers from 1 to {self.num_levels}, got {self.level_order}")
        for name in ("codebook_bits", "codebook_size", "text_hidden_size", "group_bits", "head_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.group_bits > 12:
            raise ValueError(f"group_bits is at most 12 (a group has 2**group_bits values), got {self.group_bits}")
