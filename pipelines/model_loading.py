"""Loading a tokenizer whole: a model folder that lacks a part of its weights is refused, not filled with noise."""

import os
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from .bundled_model import BUNDLED_ID, resolve_model

CANNOT_LOAD = (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError, StrictDataclassError)
"""What transformers raises for files that are damaged, that do not fit each other, or that are not there."""


def load_model(id_or_folder: str | os.PathLike[str] = BUNDLED_ID) -> PyraTokModel:
    """The tokenizer in float32, for inference, from the bundled model (`pyratok`), a folder or a Hub id.

    `from_pretrained` only warns of tensors that are missing or have another shape, and starts with random ones.

    Raises PyraTokError with one sentence if there is no such model, or if it cannot be loaded completely.
    """
    model = _load_whole(id_or_folder, dtype=torch.float32)
    model.name_or_path = os.fspath(id_or_folder)  # `pyratok`, not the folder that it stands for here
    return model.eval()


def check_model(id_or_folder: str | os.PathLike[str]) -> None:
    """Check what `load_model` checks for a loader that does not: of the weights only names and shapes are read.

    Raises PyraTokError as `load_model` does.
    """
    _load_whole(id_or_folder, device_map="meta")


def _load_whole(id_or_folder: str | os.PathLike[str], **options: Any) -> PyraTokModel:
    name, source = os.fspath(id_or_folder), resolve_model(id_or_folder)
    try:
        model, loading = PyraTokModel.from_pretrained(source, output_loading_info=True, **options)
    except CANNOT_LOAD as problem:
        raise PyraTokError(f"the model {name!r} cannot be loaded: {_first_line(problem)}") from problem
    for kind, found in loading.items():
        if found:
            what = kind.replace("_", " ")
            raise PyraTokError(f"the model {name!r} is not complete, or not for this version: {what} {_some(found)}")
    return model


def _first_line(problem: Exception) -> str:
    """An error's message without what follows its first line."""
    return next(iter(str(problem).strip().splitlines()), type(problem).__name__)


def _some(found: object) -> str:
    """The first few of many names."""
    names = sorted(str(name) for name in found) if isinstance(found, set | list | tuple) else [str(found)]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
