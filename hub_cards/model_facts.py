"""What the files of a model say about it: its shape, the parts that lie beside it, parameters and bytes."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers.utils import CONFIG_NAME

from ..configuration.configuration_pyratok import PyraTokConfig
from ..modeling_pyratok.errors import PyraTokError

PARTS = {
    "prior": "draws the tokens of new videos from text",
    "alignment": "compares tokens with texts",
    "projector": "lets a language model read tokens",
    "text_encoder": "embeds captions and prompts",
}
"""Folders beside a tokenizer, and what is in them."""


@dataclass(frozen=True)
class PartFacts:
    """One component: its folder ("." for the tokenizer), purpose, configuration, parameters and bytes of weights."""

    folder: str
    purpose: str
    config: dict[str, Any]
    parameters: int
    bytes: int
    dtypes: tuple[str, ...]


@dataclass(frozen=True)
class ModelFacts:
    """A repository: the tokenizer's configuration and every part that is there."""

    config: PyraTokConfig
    tokenizer: PartFacts
    parts: tuple[PartFacts, ...]


def model_facts(folder: Path) -> ModelFacts:
    """Read them without loading a weight. Raises PyraTokError if the folder holds no PyraTok model."""
    if not (folder / CONFIG_NAME).is_file():
        raise PyraTokError(f"{str(folder)!r} holds no model: it has no {CONFIG_NAME}")
    try:
        config = PyraTokConfig.from_pretrained(folder)
    except (ValueError, TypeError, OSError) as problem:
        raise PyraTokError(f"the configuration of {str(folder)!r} cannot be read: {problem}") from problem
    parts = [
        _part(folder, name, purpose) for name, purpose in PARTS.items() if (folder / name / CONFIG_NAME).is_file()
    ]
    return ModelFacts(config, _part(folder, ".", "turns video into tokens and back"), tuple(parts))


def _part(root: Path, name: str, purpose: str) -> PartFacts:
    folder = root / name
    config = json.loads((folder / CONFIG_NAME).read_text("utf-8"))
    parameters, dtypes, files = 0, set(), sorted(folder.glob("*.safetensors"))
    for file in files:
        try:
            with safe_open(file, framework="np") as weights:
                for tensor in weights.keys():  # noqa: SIM118 (a file, not a dictionary)
                    view = weights.get_slice(tensor)
                    parameters += math.prod(view.get_shape())
                    dtypes.add(view.get_dtype())
        except (SafetensorError, OSError) as problem:
            raise PyraTokError(f"the weights {str(file)!r} cannot be read: {problem}") from problem
    return PartFacts(
        name, purpose, config, parameters, sum(file.stat().st_size for file in files), tuple(sorted(dtypes))
    )
