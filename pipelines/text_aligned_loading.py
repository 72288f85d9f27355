"""Loading a pipeline that compares tokens with texts: from a repository, or from the folder of a stage of training."""

import os
from typing import TypeVar

from .bundled_model import BUNDLED_ID
from .model_loading import load_model
from .text_aligned_pipeline import TextAlignedPipeline
from .text_alignment_loading import load_text_alignment
from .text_to_video_loading import tokenizer_folder

Pipeline = TypeVar("Pipeline", bound=TextAlignedPipeline)


def load_text_aligned(kind: type[Pipeline], id_or_folder: str | os.PathLike[str] = BUNDLED_ID) -> Pipeline:
    """A pipeline of the class `kind`, from the bundled model (`pyratok`), a folder, a Hub id, or `stage_2` of a training run.

    Raises PyraTokError with one sentence if there is no such model, if it has no alignment, or if a part cannot be loaded.
    """
    name = os.fspath(id_or_folder)
    alignment, encoder = load_text_alignment(name)
    folder = tokenizer_folder(name)
    model = load_model(folder if name != BUNDLED_ID and folder.is_dir() else name)
    return kind(model, alignment, encoder.model, encoder.tokenizer)
