"""The models: loaded once for all visitors, used by one at a time."""

import functools
import os
import threading
from dataclasses import dataclass

import diffusers
import torch
import transformers

from pyratok import PyraTokModel, PyraTokSegmentationPipeline, PyraTokTextToVideoPipeline
from pyratok.pipelines.bundled_model import BUNDLED_ID

MODEL = os.environ.get("PYRATOK_MODEL") or BUNDLED_ID
"""A Hub id or a folder, with a prior and an alignment beside the tokenizer; by default what the package brings."""

IS_BUNDLED = MODEL == BUNDLED_ID
"""Whether it is what the package brings: what the page says of that model, and the examples, which it made, are its own."""

MODEL_WORK = "model"
"""Gradio's `concurrency_id` of all handlers that compute: they wait in one queue."""

model_lock = threading.Lock()
"""Held while a model computes: a generation that was cancelled finishes its token while the next visitor's turn begins."""


@dataclass(frozen=True)
class SharedModels:
    """Two pipelines around one tokenizer and one text encoder."""

    generation: PyraTokTextToVideoPipeline
    segmentation: PyraTokSegmentationPipeline

    @property
    def tokenizer(self) -> PyraTokModel:
        """Videos to tokens and back."""
        return self.generation.vq_model


@functools.cache
def shared_models() -> SharedModels:
    """Load them, on a GPU if there is one. Raises PyraTokError if a part is missing."""
    for library in (transformers, diffusers):
        library.logging.disable_progress_bar()
    generation = PyraTokTextToVideoPipeline.from_pretrained(MODEL)
    parts = {name: getattr(generation, name) for name in ("vq_model", "text_encoder", "tokenizer")}
    segmentation = PyraTokSegmentationPipeline.from_pretrained(MODEL, **parts)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return SharedModels(generation.to(device), segmentation.to(device))
