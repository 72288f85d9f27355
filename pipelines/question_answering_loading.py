"""Loading what answers questions: a repository that has a projector, or a tokenizer and a projector trained for it."""

import os
from pathlib import Path

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.token_projector import PyraTokTokenProjector
from .bundled_model import BUNDLED_ID
from .model_loading import CANNOT_LOAD, load_component, load_model, reason_of
from .question_answering_pipeline import PROJECTOR, PyraTokQuestionAnsweringPipeline, projector_folder
from .text_to_video_loading import tokenizer_folder


def load_question_answering(
    id_or_folder: str | os.PathLike[str] = BUNDLED_ID, projector: str | os.PathLike[str] | None = None
) -> PyraTokQuestionAnsweringPipeline:
    """The pipeline, with the language model that the projector names.

    Args:
        id_or_folder: `pyratok` for the bundled model, a folder, a Hub id, or the folder of a stage of training (`stage_2`).
        projector: the folder of a projector, or that of the training that it came from; None for the model's own.

    Raises PyraTokError with one sentence if a part is missing, cannot be loaded, or belongs to others.
    """
    name = os.fspath(id_or_folder)
    folder = tokenizer_folder(name)
    try:
        if projector is None and not folder.is_dir():  # of the Hub
            return PyraTokQuestionAnsweringPipeline.from_pretrained(name)
        place = projector_folder(folder, name) if projector is None else _trained_projector(projector)
        loaded = load_component(PyraTokTokenProjector, place)
        model = load_model(folder if name != BUNDLED_ID and folder.is_dir() else name)
        return PyraTokQuestionAnsweringPipeline(model, loaded)
    except PyraTokError:
        raise
    except CANNOT_LOAD as problem:
        raise PyraTokError(f"the model {name!r} cannot answer questions: {reason_of(problem)}") from problem


def _trained_projector(folder: str | os.PathLike[str]) -> Path:
    """The folder itself, or `projector/` in it."""
    given = Path(folder).expanduser()
    place = given / PROJECTOR if (given / PROJECTOR / "config.json").is_file() else given
    if not (place / "config.json").is_file():
        raise PyraTokError(f"there is no projector in {os.fspath(folder)!r}: it has no config.json")
    return place
