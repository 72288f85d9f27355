"""Weights come from safetensors files in the model's own folder, whatever else lies there."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from transformers.utils import SAFE_WEIGHTS_INDEX_NAME

from .errors import PyraTokError
from .json_objects import read_json_object

SHARD = re.compile(r"[^/\\]*\.safetensors")
"""A shard's name: a safetensors file, and of no other folder on any system."""

MOST_MISSING = 2**28
"""Numbers, a gigabyte of them, that a configuration may ask for beyond what the weights' files hold."""


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
            check_shards(Path(pretrained_model_name_or_path, kwargs.get("subfolder") or ""))
        return super().from_pretrained(pretrained_model_name_or_path, *args, use_safetensors=True, **kwargs)

    def _move_missing_keys_from_meta_to_device(self, missing_keys: Iterable[str], *args: Any, **kwargs: Any) -> None:
        """The step of transformers in which memory is taken for what the files do not hold, or hold in another shape.

        Raises PyraTokError before it is, if it is much: the configuration is then not that of the weights.
        """
        missing = sum(self.get_parameter_or_buffer(key).numel() for key in missing_keys)
        if missing > MOST_MISSING:
            raise PyraTokError(
                f"its configuration asks for {missing:,} numbers that its weights do not hold: the two do not belong together"
            )
        super()._move_missing_keys_from_meta_to_device(missing_keys, *args, **kwargs)


def check_shards(folder: Path) -> None:
    """Raises ValueError if an index of shards in a folder names anything but safetensors files beside it."""
    for index in folder.glob(SAFE_WEIGHTS_INDEX_NAME.replace(".index", ".index*")):
        shard_names(index)


def shard_names(index: Path, largest: int | None = None) -> list[str]:
    """The files that an index of shards names, each once, in order.

    Raises ValueError if it is none, has more than `largest` bytes, or names anything but safetensors files beside it.
    """
    try:
        shards = read_json_object(index, largest)["weight_map"].values()
        outside = next((name for name in shards if not SHARD.fullmatch(name)), None)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ValueError(f"{str(index)!r} is no index of shards: {problem}") from problem
    if outside is not None:
        raise ValueError(f"{str(index)!r} names {outside!r}, which does not lie beside it as a safetensors file")
    return sorted(set(shards))
