"""What the files of a model say about it: its shape, the parts that lie beside it, parameters and bytes."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from transformers.utils import CONFIG_NAME, IMAGE_PROCESSOR_NAME, PROCESSOR_NAME, VIDEO_PROCESSOR_NAME

from ..configuration.configuration_pyratok import PyraTokConfig
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.safe_weights import shard_names
from .card_figures import MAX_JSON_BYTES, read_json

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PARTS = {
    "prior": "draws the tokens of new videos from text",
    "alignment": "compares tokens with texts",
    "projector": "lets a language model read tokens",
    "text_encoder": "embeds captions and prompts",
}
"""Folders beside a tokenizer, and what is in them."""


@dataclass(frozen=True)
class PartFacts:
    """One component: its folder ("." for the tokenizer), purpose, the values and bytes of its weights, and their types."""

    folder: str
    purpose: str
    parameters: int
    bytes: int
    dtypes: tuple[str, ...]


@dataclass(frozen=True)
class ModelFacts:
    """A repository: what its tokenizer is, and every part that is there."""

    shape: dict[str, Any]
    tokenizer: PartFacts
    parts: tuple[PartFacts, ...]
    has_processor: bool


def model_facts(folder: Path) -> ModelFacts:
    """Read them without loading a weight. Raises PyraTokError if the folder holds no PyraTok model."""
    if not (folder / CONFIG_NAME).is_file():
        raise PyraTokError(f"{str(folder)!r} holds no model: it has no {CONFIG_NAME}")
    kind = read_json(folder / CONFIG_NAME).get("model_type")
    if kind != PyraTokConfig.model_type:
        raise PyraTokError(f"{str(folder)!r} holds no PyraTok model: its {CONFIG_NAME} says model_type {kind!r}")
    try:
        config = PyraTokConfig.from_pretrained(folder)
    except (ValueError, TypeError, OSError, StrictDataclassError) as problem:
        raise PyraTokError(f"the configuration of {str(folder)!r} cannot be read: {problem}") from problem
    parts = [
        _part(folder, name, purpose) for name, purpose in PARTS.items() if (folder / name / CONFIG_NAME).is_file()
    ]
    tokenizer = _part(folder, ".", "turns video into tokens and back")
    processors = (VIDEO_PROCESSOR_NAME, IMAGE_PROCESSOR_NAME, PROCESSOR_NAME)
    return ModelFacts(_shape(config), tokenizer, tuple(parts), any((folder / name).is_file() for name in processors))


def _shape(config: PyraTokConfig) -> dict[str, Any]:
    """What a card says of a configuration, as plain values: templates are given nothing that they could act with."""
    names = (
        *(
            "num_levels",
            "patch_size",
            "stage_channels",
            "level_strides",
            "level_stages",
            "codebook_bits",
            "hidden_size",
        ),
        *("text_hidden_size", "freeze_backbone", "lora_rank", "quantizer", "residual_text_scale"),
    )
    shape = {name: getattr(config, name) for name in names}
    return {**shape, "is_wan_2_2": bool(config.backbone_config.get("is_residual"))}


def _part(root: Path, name: str, purpose: str) -> PartFacts:
    parameters, dtypes, files = 0, set(), _weight_files(root / name)
    for file in files:
        try:
            with safe_open(file, framework="np") as weights:
                for tensor in weights.keys():  # noqa: SIM118 (a file, not a dictionary)
                    view = weights.get_slice(tensor)
                    parameters += math.prod(view.get_shape())
                    dtypes.add(view.get_dtype())
        except (SafetensorError, OSError) as problem:
            raise PyraTokError(f"the weights {str(file)!r} cannot be read: {problem}") from problem
    return PartFacts(name, purpose, parameters, sum(file.stat().st_size for file in files), tuple(sorted(dtypes)))


def _weight_files(folder: Path) -> list[Path]:
    """The file that transformers would load, or the shards that its index names. Raises PyraTokError if there is none."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        raise PyraTokError(f"{str(folder)!r} holds no weights: it has no {WEIGHTS}")
    try:
        return [folder / name for name in shard_names(folder / INDEX, MAX_JSON_BYTES)]
    except ValueError as problem:
        raise PyraTokError(str(problem)) from problem
