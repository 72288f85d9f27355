"""Videos to tokens and back, as a diffusers pipeline."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput

from ..modeling_pyratok.media_opening import VideoSource
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.video_processing_pyratok import PyraTokVideoProcessor, file_of
from ..modeling_pyratok.video_reading import read_video
from ..modeling_pyratok.video_tokens import VideoTokens
from .bundled_model import BUNDLED_ID
from .model_loading import load_model
from .root_repository import RootRepository
from .token_streams import (
    DEFAULT_FPS,
    ReconstructedPiece,
    chosen_levels,
    keep_levels,
    reconstruct_stream,
    recorded_id,
    tokens_of,
)


@dataclass
class PyraTokReconstructionOutput(BaseOutput):
    """What `PyraTokReconstructionPipeline` returns.

    Args:
        frames (`torch.Tensor`, `np.ndarray` or `list[list[PIL.Image.Image]]`):
            The reconstructed video, as a batch of one: (1, T, C, H, W) for "pt", (1, T, H, W, C) for "np", in [0, 1].
        tokens (`VideoTokens`): what it was decoded from.
    """

    frames: Any
    tokens: VideoTokens


class PyraTokReconstructionPipeline(RootRepository, DiffusionPipeline):
    r"""Encodes a video to tokens and decodes them again.

    Args:
        vq_model ([`PyraTokModel`], *optional*): the tokenizer; without one, the model that ships in the package.
        video_processor ([`PyraTokVideoProcessor`], *optional*): reads videos and turns pixels into pictures.

    Example:

    ```python
    pipeline = PyraTokReconstructionPipeline.from_pretrained("pyratok")
    output = pipeline("holiday.mp4", output_type="pil")
    output.tokens.save("holiday.safetensors")
    ```
    """

    model_cpu_offload_seq = "vq_model"
    _optional_components = ["vq_model", "video_processor"]

    def __init__(
        self, vq_model: PyraTokModel | None = None, video_processor: PyraTokVideoProcessor | None = None
    ) -> None:
        super().__init__()
        self.register_modules(
            vq_model=load_model(BUNDLED_ID) if vq_model is None else vq_model,
            video_processor=PyraTokVideoProcessor() if video_processor is None else video_processor,
        )

    @torch.no_grad()
    def __call__(
        self,
        video: Any,
        text_embeds: torch.Tensor | None = None,
        text_mask: torch.Tensor | None = None,
        caption: str | None = None,
        levels: Iterable[int] | None = None,
        chunk_frames: int | None = 16,
        tile_size: int | None = None,
        tile_overlap: int | None = None,
        fps: Fraction | float | None = None,
        generator: torch.Generator | None = None,
        output_type: str = "np",
        return_dict: bool = True,
    ) -> PyraTokReconstructionOutput | tuple[Any, VideoTokens]:
        r"""Encode one video and decode it.

        Args:
            video: a path, a float tensor (T, C, H, W) in [0, 1], an array (T, H, W, C) of uint8 or floats in [0, 1],
                a list of PIL images.
            text_embeds, text_mask: the embedded caption, (1, S, text_hidden_size) and (1, S), if there is one.
            caption: the text itself, to be kept in the tokens.
            levels: the levels to keep and to decode, 1..L in any order; all by default.
            chunk_frames: frames per step, a multiple of 4, or None for the whole video at once.
            tile_size, tile_overlap: in pixels, for frames too large for memory; see `PyraTokModel.encode`.
            fps: frames per second, for the tokens; by default the file's (the average of a variable rate), and 24 for
                anything but a file.
            generator: not used, for nothing is random here; pipelines take one.
            output_type: "np", "pt" or "pil".
            return_dict: whether to return an output object or a tuple (frames, tokens).

        Raises ValueError for a wrong shape or range, for more than one video, and for levels, chunk or tile sizes that
        the model does not take; VideoReadError for a file that cannot be read; TypeError for what is no video.
        """
        levels = chosen_levels(self.vq_model, levels)
        file = file_of(video)
        frames, file_fps = (video, DEFAULT_FPS) if file is None else _read(file)
        values = self.video_processor(frames, return_tensors="pt")["pixel_values_videos"]  # (1, T, C, H, W)
        if values.shape[0] != 1:
            raise ValueError(f"the pipeline takes one video at a time, got {values.shape[0]}; call it for each")
        device = self._execution_device
        tiles = {"tile_size": tile_size, "tile_overlap": tile_overlap}
        text = {"text_embeds": _on(device, text_embeds), "text_mask": _on(device, text_mask)}
        encoded = self.vq_model.encode(values.to(device), **text, chunk_frames=chunk_frames, **tiles)
        codes = keep_levels(self.vq_model, encoded.video_codes, levels)
        decoded = self.vq_model.decode(codes, video_size=encoded.video_size, chunk_frames=chunk_frames, **tiles)
        frames = self.video_processor.postprocess_video(decoded.video_values.float(), output_type=output_type)
        rate = file_fps if fps is None else fps
        tokens = tokens_of(self.vq_model, codes, encoded.video_size, rate, self.model_id, caption)
        self.maybe_free_model_hooks()
        return PyraTokReconstructionOutput(frames=frames, tokens=tokens) if return_dict else (frames, tokens)

    def stream(
        self,
        video: Any,
        text_embeds: torch.Tensor | None = None,
        text_mask: torch.Tensor | None = None,
        levels: Iterable[int] | None = None,
        chunk_frames: int | None = 16,
        tile_size: int | None = None,
        tile_overlap: int | None = None,
    ) -> Iterator[ReconstructedPiece]:
        """The same for a film of any length, a chunk at a time; memory does not grow with it.

        `video` is what `__call__` takes; a file is read as it goes. With one chunk length the values and codes are
        exactly those of `__call__`. `TokenCollector` joins the codes of the pieces into a `VideoTokens`.
        """
        device = self._execution_device
        frames = (frame.to(device) for frame in self.video_processor.stream(video))
        text = {"text_embeds": _on(device, text_embeds), "text_mask": _on(device, text_mask)}
        tiles = {"tile_size": tile_size, "tile_overlap": tile_overlap}
        yield from reconstruct_stream(self.vq_model, frames, levels, **text, chunk_frames=chunk_frames, **tiles)

    @property
    def model_id(self) -> str | None:
        """What the tokens say of where the tokenizer comes from: `pyratok`, a Hub id, a folder, or None."""
        return recorded_id(self.name_or_path or self.vq_model.name_or_path)


def _on(device: torch.device, tensor: torch.Tensor | None) -> torch.Tensor | None:
    return None if tensor is None else tensor.to(device)


def _read(file: VideoSource) -> tuple[np.ndarray, Fraction]:
    """The frames of a file as the processor takes them, uint8 (T, H, W, 3), and their rate."""
    frames, info = read_video(file)
    return frames.numpy(), info.fps
