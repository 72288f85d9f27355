"""Weights come from safetensors files in the model's own folder, whatever else lies there."""

import json
import os
from pathlib import Path
from typing import Any, Self

from transformers.utils import SAFE_WEIGHTS_INDEX_NAME


class SafeWeights:
    """For models to inherit from, before `PreTrainedModel`, which falls back to pickles where there are no safetensors."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Self:
        """As in transformers, but nothing is ever unpickled.

        Raises ValueError for `use_safetensors=False`, and for an index whose shards do not lie beside it.
        """
        if kwargs.pop("use_safetensors", None) is False:
            raise ValueError("PyraTok's weights are safetensors: use_safetensors=False, which unpickles, is not taken")
        if isinstance(pretrained_model_name_or_path, str | os.PathLike):
            folder = Path(pretrained_model_name_or_path, kwargs.get("subfolder") or "")
            for index in folder.glob(SAFE_WEIGHTS_INDEX_NAME.replace(".index", ".index*")):
                _check_shards(index)
        return super().from_pretrained(pretrained_model_name_or_path, *args, use_safetensors=True, **kwargs)


def _check_shards(index: Path) -> None:
    try:
        shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        outside = next((name for name in shards if Path(name).name != name), None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise ValueError(f"{str(index)!r} is no index of shards: {problem}") from problem
    if outside is not None:
        raise ValueError(f"{str(index)!r} names {outside!r}, which does not lie beside it")
