"""What the pipelines that compare tokens with texts share: their components, and how they come from a repository."""

import math
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import DiffusionPipeline
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.text_alignment import PyraTokTextAlignment
from ..modeling_pyratok.text_encoding import MAX_TEXT_TOKENS, TextEncoder
from ..modeling_pyratok.video_processing_pyratok import PyraTokVideoProcessor
from ..modeling_pyratok.video_tokens import VideoTokens
from .bundled_model import BUNDLED_ID, resolve_model
from .root_repository import RootRepository, load_beside
from .text_alignment_loading import no_alignment
from .text_encoder_loading import ENCODER_FOLDER, TOKENIZER_FOLDER
from .text_to_video_loading import ALIGNMENT
from .video_tokens_of import tokens_from


class TextAlignedPipeline(RootRepository, DiffusionPipeline):
    """For the pipelines to inherit from.

    Args:
        vq_model ([`PyraTokModel`]): the tokenizer.
        alignment ([`PyraTokTextAlignment`]): puts its tokens and texts into one space.
        text_encoder ([`~transformers.PreTrainedModel`]), tokenizer ([`~transformers.PreTrainedTokenizerBase`]): what the
            alignment was trained with.
        video_processor ([`PyraTokVideoProcessor`], *optional*): reads videos.

    Raises ValueError if the alignment is one of other tokens or other texts.
    """

    model_cpu_offload_seq = "text_encoder->vq_model->alignment"
    _optional_components = ["video_processor"]

    def __init__(
        self,
        vq_model: PyraTokModel,
        alignment: PyraTokTextAlignment,
        text_encoder: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        video_processor: PyraTokVideoProcessor | None = None,
    ) -> None:
        super().__init__()
        _check_fit(vq_model, alignment, text_encoder)
        self.register_modules(
            vq_model=vq_model,
            alignment=alignment,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            video_processor=PyraTokVideoProcessor() if video_processor is None else video_processor,
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Self:
        """Load a pipeline: from the bundled model (`pyratok`), a folder or a Hub id; see `RootRepository.from_pretrained`.

        The repository may be that of a text-to-video pipeline, whose index does not name the alignment: it is taken from the
        folder `alignment/` beside. Raises PyraTokError with one sentence if there is none.
        """
        name = os.fspath(pretrained_model_name_or_path)
        source = resolve_model(BUNDLED_ID, kwargs.get("variant")) if name == BUNDLED_ID else name
        if not os.path.isdir(source):
            source = cls.download(source, **kwargs)
        if ALIGNMENT not in kwargs:
            folder = Path(source) / ALIGNMENT
            if not (folder / "config.json").is_file():
                raise no_alignment(name)
            kwargs[ALIGNMENT] = load_beside(PyraTokTextAlignment, folder, ALIGNMENT, kwargs)
        for part in (ENCODER_FOLDER, TOKENIZER_FOLDER):
            if part not in kwargs and not (Path(source) / part).is_dir():
                raise PyraTokError(
                    f"the model {name!r} has no folder {part!r}: "
                    "give text_encoder= and tokenizer=, those of `load_text_encoder`"
                )
        pipeline = super().from_pretrained(source, **kwargs)
        pipeline.register_to_config(_name_or_path=name)
        return pipeline

    def video_tokens(
        self, video: Any, chunk_frames: int | None = 16, fps: Fraction | float | None = None
    ) -> VideoTokens:
        """The tokens of what a call takes as `video`; see `tokens_from`. A file may be longer than memory."""
        return tokens_from(self.vq_model, self.video_processor, video, chunk_frames=chunk_frames, fps=fps)

    def pooled_text(self, texts: Sequence[str], max_text_tokens: int = MAX_TEXT_TOKENS) -> torch.Tensor:
        """(K, text_hidden_size), the mean of each text's embeddings, where the alignment is."""
        encoded = TextEncoder(self.text_encoder, self.tokenizer, max_text_tokens)(texts)
        return encoded.pooled().to(self.alignment.device)


def check_threshold(threshold: float | None) -> None:
    """Raises ValueError for what is neither None nor a finite number."""
    if threshold is not None and not math.isfinite(threshold):
        raise ValueError(f"threshold is a finite number, got {threshold}")


def checked_texts(texts: str | Sequence[str], what: str) -> list[str]:
    """One text or several as a list. Raises TypeError and ValueError, which name `what` they are."""
    found = [texts] if isinstance(texts, str) else texts
    if not isinstance(found, list | tuple) or not all(isinstance(text, str) for text in found):
        raise TypeError(f"{what} is a string or a list of strings, got {texts!r:.100}")
    if not found or not all(text.strip() for text in found):
        raise ValueError(f"{what} holds at least one text, and none that is empty, got {texts!r:.100}")
    return list(found)


def _check_fit(
    vq_model: PyraTokModel | None, alignment: PyraTokTextAlignment | None, text_encoder: PreTrainedModel | None
) -> None:
    """Raises ValueError for an alignment of other tokens or texts. A component may be None while diffusers loads."""
    if vq_model is not None and alignment is not None:
        for name in ("level_strides", "codebook_bits"):
            one, other = getattr(alignment.config, name), getattr(vq_model.config, name)
            if one != other:
                raise ValueError(
                    f"the alignment has {name}={one}, the tokenizer {other}: it is another tokenizer's alignment"
                )
    if alignment is not None and text_encoder is not None:
        width = text_encoder.config.get_text_config().hidden_size
        if width != alignment.config.text_hidden_size:
            raise ValueError(
                f"the text encoder gives embeddings of {width} numbers, the alignment takes {alignment.config.text_hidden_size}"
            )
