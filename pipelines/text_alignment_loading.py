"""Loading what compares tokens with text: the text alignment of a tokenizer, and the text encoder that it learned with."""

import os
from pathlib import Path

from huggingface_hub import snapshot_download

from ..configuration.configuration_pyratok import PyraTokConfig
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.text_alignment import PyraTokTextAlignment
from ..modeling_pyratok.text_encoding import TextEncoder
from .bundled_model import BUNDLED_ID, resolve_model
from .model_loading import CANNOT_LOAD, load_component, reason_of
from .root_repository import REPOSITORY_FILES
from .text_encoder_loading import ENCODER_FOLDER, TOKENIZER_FOLDER, load_text_encoder
from .text_to_video_loading import ALIGNMENT, component_folder, tokenizer_folder

FOLDERS = (ALIGNMENT, ENCODER_FOLDER, TOKENIZER_FOLDER)
PARTS = ("config.json", *(f"{folder}/{pattern}" for folder in FOLDERS for pattern in REPOSITORY_FILES))
"""Files of a Hub repository that are needed: the weights of the tokenizer and of a prior are not."""


def load_text_alignment(
    id_or_folder: str | os.PathLike[str] = BUNDLED_ID,
) -> tuple[PyraTokTextAlignment, TextEncoder]:
    """The text alignment of a tokenizer and its text encoder, in float32 for inference. The tokenizer is not loaded.

    The text encoder is that of the repository, if it has `text_encoder/`, else the one that the tokenizer's configuration
    names.

    Args:
        id_or_folder: `pyratok` for the bundled model, a folder, a Hub id, or the folder of a stage of training (`stage_2`).

    Raises PyraTokError with one sentence if there is no such model, if it has no alignment or names no text encoder, if a
    part cannot be loaded, or if the widths of the two differ.
    """
    name = os.fspath(id_or_folder)
    folder = _local_folder(name)
    place = component_folder(folder, ALIGNMENT)
    if place is None:
        raise no_alignment(name)
    alignment = load_component(PyraTokTextAlignment, place)
    encoder = load_text_encoder(folder if (folder / ENCODER_FOLDER).is_dir() else _named_encoder(name, folder))
    if encoder.hidden_size != alignment.config.text_hidden_size:
        raise PyraTokError(
            f"the text encoder of the model {name!r} gives embeddings of {encoder.hidden_size} numbers and its alignment takes "
            f"{alignment.config.text_hidden_size}: they were not trained together"
        )
    return alignment, encoder


def no_alignment(name: str) -> PyraTokError:
    """What is said of a model of this name that has none."""
    return PyraTokError(
        f"the model {name!r} has no text alignment, which compares tokens with text (a folder {ALIGNMENT!r} in it or beside "
        "it): train one with `python -m pyratok.training.alignment_training VIDEOS OUTPUT --model MODEL`, and copy "
        "OUTPUT/alignment into the model's folder"
    )


def _local_folder(name: str) -> Path:
    """The folder of the tokenizer on this machine, once a Hub repository was downloaded. Raises PyraTokError."""
    if name == BUNDLED_ID:
        return Path(resolve_model(name))
    folder = tokenizer_folder(name)
    if folder.exists():
        return Path(resolve_model(folder))
    try:
        return Path(snapshot_download(resolve_model(name), allow_patterns=list(PARTS)))
    except PyraTokError:
        raise
    except CANNOT_LOAD as problem:
        raise PyraTokError(f"the model {name!r} cannot be loaded: {reason_of(problem)}") from problem


def _named_encoder(name: str, folder: Path) -> str:
    """The text encoder that the tokenizer's configuration names. Raises PyraTokError."""
    try:
        encoder = PyraTokConfig.from_pretrained(folder).text_encoder
    except CANNOT_LOAD as problem:
        raise PyraTokError(f"the model {name!r} cannot be loaded: {reason_of(problem)}") from problem
    if encoder is None:
        raise PyraTokError(
            f"the model {name!r} names no text encoder: put text_encoder/ and tokenizer/ into its folder, or the id of one "
            "into its config.json"
        )
    return encoder
