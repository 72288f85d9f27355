"""Loading what generates videos: a repository that has a prior, or the folder of a stage of training."""

import os
from pathlib import Path

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.prior import PyraTokPrior
from .bundled_model import BUNDLED_FOLDER, BUNDLED_ID, resolve_model
from .model_loading import CANNOT_LOAD, load_component, load_model, reason_of
from .text_encoder_loading import load_text_encoder
from .text_to_video_pipeline import PyraTokTextToVideoPipeline

MODEL, PRIOR, ALIGNMENT = "model", "prior", "alignment"
"""Folders of the tokenizer and of what belongs to it within that of a stage of training."""


def tokenizer_folder(id_or_folder: str | os.PathLike[str]) -> Path:
    """Where the tokenizer lies: in the folder of a stage of training in `model/`, else in the folder itself."""
    name = os.fspath(id_or_folder)
    folder = BUNDLED_FOLDER if name == BUNDLED_ID else Path(name).expanduser()
    return folder / MODEL if (folder / MODEL / "config.json").is_file() else folder


def component_folder(model: Path, name: str) -> Path | None:
    """Where the model `name` lies that belongs to the tokenizer in `model`: in its repository, or beside `model/`."""
    model = model.resolve()  # "." has a name as well
    folders = [model / name, *([model.parent / name] if model.name == MODEL else [])]
    return next((folder for folder in folders if (folder / "config.json").is_file()), None)


def load_text_to_video(id_or_folder: str | os.PathLike[str] = BUNDLED_ID) -> PyraTokTextToVideoPipeline:
    """The pipeline, from a folder that `save_pretrained` wrote, a Hub id, or the folder of a stage of training (`stage_2`).

    Raises PyraTokError with one sentence if there is no prior, or if a part cannot be loaded.
    """
    name = os.fspath(id_or_folder)
    tokenizer = tokenizer_folder(name)
    prior = component_folder(tokenizer, PRIOR)
    if tokenizer.is_dir() and prior is None:
        raise PyraTokError(
            f"the model {name!r} has no prior, which draws the tokens of new videos: train one with `pyratok train RECIPE "
            "stage=2 prior_loss_weight=1.5 text_encoder=pyratok` and give the folder of that stage"
        )
    if prior is not None and prior.parent != tokenizer.resolve():  # what a stage of training left
        return assembled_text_to_video(tokenizer, prior)
    source = (
        name if name == BUNDLED_ID else resolve_model(name)
    )  # what is no folder and no Hub id is not asked for there
    try:
        return PyraTokTextToVideoPipeline.from_pretrained(source)
    except PyraTokError:
        raise
    except CANNOT_LOAD as problem:
        raise PyraTokError(f"the model {name!r} cannot be loaded: {reason_of(problem)}") from problem


def assembled_text_to_video(model: Path, prior: Path) -> PyraTokTextToVideoPipeline:
    """The pipeline from the folders of its parts, as a stage of training leaves them. Raises PyraTokError."""
    loaded = load_component(PyraTokPrior, prior)
    if loaded.config.text_encoder is None:
        raise PyraTokError(
            f"the prior in {prior} was trained without a text encoder: give text_encoder when you train one"
        )
    encoder = load_text_encoder(loaded.config.text_encoder)
    return PyraTokTextToVideoPipeline(load_model(model), loaded, encoder.model, encoder.tokenizer)
