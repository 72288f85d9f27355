"""The model as the commands use it: loaded quietly, checked against what was asked for, moved where it runs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
import transformers

from ..modeling_pyratok.chunks import check_chunk_frames
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.tiling import plan_tiles
from ..modeling_pyratok.token_grids import padded_size
from ..pipelines.model_loading import load_model
from ..pipelines.token_streams import chosen_levels
from .errors_for_people import argument_errors

DEVICE = re.compile(r"cpu|mps|cuda(:\d+)?", re.ASCII)


@dataclass(frozen=True)
class Work:
    """How the model is to be used: what the user asked for."""

    levels: tuple[int, ...] | None = None
    chunk_frames: int = 16
    tile_size: int | None = None
    tile_overlap: int | None = None

    def check(self, model: PyraTokModel, frame_size: Sequence[int]) -> None:
        """Raise PyraTokError for what this model, or frames of this (H, W), do not allow: before any work is done."""
        config = model.config
        with argument_errors():
            check_chunk_frames(self.chunk_frames)
            chosen_levels(model, self.levels)
            if self.tile_overlap is not None and self.tile_size is None:
                raise PyraTokError(f"--tile-overlap {self.tile_overlap} needs --tile-size")
            _, height, width = padded_size((1, *frame_size), config.spatial_multiple)
            plan_tiles(height, width, self.tile_size, self.tile_overlap, config.spatial_multiple)

    @property
    def tiles(self) -> dict[str, int | None]:
        return {"tile_size": self.tile_size, "tile_overlap": self.tile_overlap}


def load_quietly(id_or_folder: str) -> PyraTokModel:
    """The tokenizer in float32 on the CPU, without the libraries' progress bars and notices on stderr."""
    be_quiet()
    return load_model(id_or_folder)


def be_quiet() -> None:
    """Keep the libraries' progress bars and notices off stderr."""
    for library in (transformers, diffusers):
        library.logging.set_verbosity_error()
        library.logging.disable_progress_bar()


def place(model: Any, dtype: str | None, device: str | None) -> Any:
    """Move a model or a pipeline where it runs: `device`, by default a GPU if there is one; `dtype` None keeps its own.

    Raises PyraTokError if it cannot.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if not DEVICE.fullmatch(device):
        raise PyraTokError(f"--device takes cpu, cuda, cuda:1 (or another number) or mps, got {device!r}")
    try:
        return model.to(torch.device(device), *([] if dtype is None else [getattr(torch, dtype)]))
    except (RuntimeError, AssertionError) as problem:
        raise PyraTokError(f"the device {device!r} cannot be used: {str(problem).splitlines()[0]}") from problem
