"""Loading a tokenizer whole: a model folder that lacks a part of its weights is refused, not filled with noise."""

import os
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoModel, PreTrainedModel

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.hub_reasons import reason_of_hub
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.safe_weights import check_shards
from .bundled_model import BUNDLED_ID, resolve_model

Model = TypeVar("Model", bound=PreTrainedModel)

WITHOUT_USE = "pooler."
"""Weights behind the last hidden state of a text encoder, which some repositories leave out."""

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


def load_variant(folder: str | os.PathLike[str], variant: str, dtype: torch.dtype | None) -> PyraTokModel:
    """The tokenizer from a variant of its weights, `model.VARIANT.safetensors`; without a `dtype` in that of the file.

    Raises PyraTokError as `load_model` does.
    """
    return _load_whole(folder, variant, dtype="auto" if dtype is None else dtype).eval()


def check_model(id_or_folder: str | os.PathLike[str]) -> None:
    """Check what `load_model` checks for a loader that does not: of the weights only names and shapes are read.

    Raises PyraTokError as `load_model` does.
    """
    _load_whole(id_or_folder, device_map="meta")


def check_component(folder: str | os.PathLike[str]) -> None:
    """The same for any transformers model in a folder of its own: that none of its weights is missing.

    What lies behind the last hidden state of a text encoder (`WITHOUT_USE`) may be. Raises PyraTokError.
    """
    complete_model(AutoModel, os.fspath(folder), os.fspath(folder), device_map="meta")


def load_component(kind: type[Model], folder: str | os.PathLike[str], variant: str | None = None) -> Model:
    """A model beside the tokenizer, a prior for example, in float32 from its own folder; of its weights the `variant`.

    Raises PyraTokError with one sentence if it cannot be loaded completely.
    """
    options = {"variant": variant, "dtype": torch.float32}
    return complete_model(kind, os.fspath(folder), os.fspath(folder), **options).eval()


def _load_whole(id_or_folder: str | os.PathLike[str], variant: str | None = None, **options: Any) -> PyraTokModel:
    source = resolve_model(id_or_folder, variant)
    return complete_model(PyraTokModel, os.fspath(id_or_folder), source, variant=variant, **options)


def complete_model(kind: Any, name: str, source: str, **options: Any) -> Any:
    """What `kind.from_pretrained` makes of `source`, which errors call `name`; nothing is unpickled."""
    if "gguf_file" not in options:
        options = {**options, "use_safetensors": True}
    try:
        check_shards(Path(source, options.get("subfolder") or ""))
        model, loading = kind.from_pretrained(source, output_loading_info=True, **options)
    except CANNOT_LOAD as problem:
        raise PyraTokError(f"the model {name!r} cannot be loaded: {reason_of(problem)}") from problem
    loading["missing_keys"] = {key for key in loading["missing_keys"] if not key.startswith(WITHOUT_USE)}
    for kind, found in loading.items():
        if found and not (kind == "unexpected_keys" and options.get("config") is not None):  # of a part of a model
            what = kind.replace("_", " ")
            raise PyraTokError(f"the model {name!r} is not complete, or not for this version: {what} {_some(found)}")
    return model


def reason_of(problem: Exception) -> str:
    """The first line of an error's message; of a wrong configuration that of the rule which it breaks; of the Hub its sense."""
    if (of_hub := reason_of_hub(problem)) is not None:
        return of_hub
    if isinstance(problem.__context__, PyraTokError):  # behind what transformers says of all shapes at once
        return str(problem.__context__)
    cause = problem.__cause__ if isinstance(problem, StrictDataclassError) else None
    lines = str(cause or problem).strip().splitlines()
    return lines[0] if lines else type(problem).__name__


def _some(found: object) -> str:
    """The first few of many names."""
    names = sorted(str(name) for name in found) if isinstance(found, set | list | tuple) else [str(found)]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
