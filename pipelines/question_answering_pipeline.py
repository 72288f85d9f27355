"""Questions about videos, as a diffusers pipeline: tokens are projected and prepended to a language model."""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.token_projector import PyraTokTokenProjector
from ..modeling_pyratok.video_processing_pyratok import PyraTokVideoProcessor
from .bundled_model import BUNDLED_ID, resolve_model
from .language_model_loading import load_language_model
from .prompted_language import PromptedLanguage
from .root_repository import RootRepository, dtype_of, load_beside
from .text_to_video_loading import component_folder
from .token_streams import chosen_levels, keep_levels
from .video_tokens_of import tokens_from

PROJECTOR, LANGUAGE_MODEL = "projector", "language_model"
"""Components, and the folders of a repository that they lie in."""


@dataclass
class PyraTokQuestionAnsweringOutput(BaseOutput):
    """What `PyraTokQuestionAnsweringPipeline` returns.

    Args:
        answer (`str`): the best choice, or what the language model says.
        scores (`torch.Tensor`, *optional*): float32 (K,), one for each choice, sum 1; None without choices.
        blind_scores (`torch.Tensor`, *optional*): float32 (K,), the mean log-probability per token (nats) of each choice
            without the video, which calibration takes off; None without it.
    """

    answer: str
    scores: torch.Tensor | None
    blind_scores: torch.Tensor | None = None


class PyraTokQuestionAnsweringPipeline(RootRepository, DiffusionPipeline):
    r"""Answers a question about a video, by choosing among answers or in its own words. Tokens are enough.

    Args:
        vq_model ([`PyraTokModel`]): the tokenizer.
        projector ([`PyraTokTokenProjector`]): makes its tokens readable for the language model.
        language_model ([`~transformers.PreTrainedModel`], *optional*), language_tokenizer
            ([`~transformers.PreTrainedTokenizerBase`], *optional*): what the projector was trained with; without them those
            that its configuration names are loaded. A repository does not store them.
        video_processor ([`PyraTokVideoProcessor`], *optional*): reads videos.

    Raises ValueError if the projector is one of another tokenizer or another language model.

    Example:

    ```python
    pipeline = PyraTokQuestionAnsweringPipeline.from_pretrained("pyratok")
    pipeline("clip.mp4", "What is in the video?", choices=["a rabbit", "a car"]).answer
    ```
    """

    model_cpu_offload_seq = "vq_model->projector->language_model"
    _optional_components = ["language_model", "language_tokenizer", "video_processor"]

    def __init__(
        self,
        vq_model: PyraTokModel,
        projector: PyraTokTokenProjector,
        language_model: PreTrainedModel | None = None,
        language_tokenizer: PreTrainedTokenizerBase | None = None,
        video_processor: PyraTokVideoProcessor | None = None,
    ) -> None:
        super().__init__()
        if (language_model is None) != (language_tokenizer is None):
            raise ValueError("give language_model and language_tokenizer, or neither")
        _check_tokenizer(vq_model, projector)
        if language_model is None:
            language_model, language_tokenizer = _own_language_model(projector)
        _check_language_model(projector, language_model)
        self.register_modules(
            vq_model=vq_model,
            projector=projector,
            language_model=language_model,
            language_tokenizer=language_tokenizer,
            video_processor=PyraTokVideoProcessor() if video_processor is None else video_processor,
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Self:
        """Load a pipeline: from the bundled model (`pyratok`), a folder or a Hub id; see `RootRepository.from_pretrained`.

        The projector is taken from the folder `projector/` of the repository, which may be that of another pipeline, unless it
        is given; the language model is the one that the projector's configuration names. A `dtype` holds for both as well.

        Raises PyraTokError with one sentence if there is no projector, or if a part cannot be loaded.
        """
        name = os.fspath(pretrained_model_name_or_path)
        source = resolve_model(BUNDLED_ID, kwargs.get("variant")) if name == BUNDLED_ID else name
        if not os.path.isdir(source):
            source = cls.download(source, **kwargs)
        if PROJECTOR not in kwargs:
            kwargs[PROJECTOR] = load_beside(PyraTokTokenProjector, projector_folder(source, name), PROJECTOR, kwargs)
        if kwargs.get(LANGUAGE_MODEL) is None:
            kwargs[LANGUAGE_MODEL], kwargs["language_tokenizer"] = _own_language_model(kwargs[PROJECTOR])
            if (dtype := dtype_of(LANGUAGE_MODEL, kwargs)) is not None:
                kwargs[LANGUAGE_MODEL] = kwargs[LANGUAGE_MODEL].to(dtype)
        pipeline = super().from_pretrained(source, **kwargs)
        pipeline.register_to_config(_name_or_path=name)
        return pipeline

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Save the pipeline as `RootRepository` does, without the language model, which the projector names."""
        with self._without_language_model():
            super().save_pretrained(save_directory, **kwargs)

    @torch.no_grad()
    def __call__(
        self,
        video: Any,
        question: str,
        choices: Sequence[str] | None = None,
        levels: Sequence[int] | None = None,
        calibrate: bool = True,
        max_new_tokens: int = 40,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
        start: float | None = None,
        end: float | None = None,
        chunk_frames: int | None = 16,
        return_dict: bool = True,
    ) -> PyraTokQuestionAnsweringOutput | tuple[str, torch.Tensor | None]:
        r"""Answer a question about one video.

        With choices, each is scored by its mean log-probability per token after the video and the question. Calibrated, what it
        has without the video is taken off, so that an answer is not chosen for being a likely sentence (Zhao et al. 2021,
        arXiv:2102.09690; Holtzman et al. 2021, arXiv:2104.08315). Without choices, the language model speaks.

        Args:
            video: a path, a float tensor (T, C, H, W) in [0, 1], an array (T, H, W, C), a list of PIL images; or a
                `VideoTokens` or the path of a token file: tokens are enough.
            question: the question, or what the language model is asked to do.
            choices: at least two answers to choose among; None for an answer in words.
            levels: whose tokens count, 1..L; by default all that are there.
            calibrate: see above.
            max_new_tokens: an answer in words is cut to so many tokens.
            temperature: of an answer in words: 0 always takes the likeliest token, 1 draws as the language model would.
            generator: seeds what is drawn.
            start, end: seconds of a video file; only the frames between them are looked at.
            chunk_frames: as in `PyraTokModel.encode`.
            return_dict: whether to return an output object or a tuple (answer, scores).

        Raises ValueError for an empty question, fewer than two choices, an empty one, a wrong number, levels that are not
        there, and as `tokens_from` does; TypeError for what is no text or no video; VideoReadError for an unreadable file.
        """
        check_question(question, choices)
        check_numbers(max_new_tokens, temperature)
        if levels is not None:
            chosen_levels(self.vq_model, levels)
        tokens = tokens_from(
            self.vq_model, self.video_processor, video, chunk_frames=chunk_frames, start=start, end=end
        )
        codes = keep_levels(self.vq_model, tokens.video_codes, levels)
        seen = self.projector([None if level is None else level.to(self._execution_device) for level in codes])[0]
        language = PromptedLanguage(self.language_model, self.language_tokenizer)
        prompt = language.prompt(question, seen).to(self._execution_device)
        scores = blind_scores = None
        if choices is None:
            answer = language.generate(prompt, max_new_tokens, temperature, generator)
        else:
            found = language.mean_log_probabilities(prompt, choices)
            if calibrate:
                blind_scores = self._blind_scores(question, choices)
                found = found - blind_scores
                blind_scores = blind_scores.cpu()
            scores = found.softmax(dim=0).cpu()
            answer = choices[int(scores.argmax())]
        self.maybe_free_model_hooks()
        if not return_dict:
            return answer, scores
        return PyraTokQuestionAnsweringOutput(answer=answer, scores=scores, blind_scores=blind_scores)

    @torch.no_grad()
    def blind_scores(self, question: str, choices: Sequence[str]) -> torch.Tensor:
        """Float32 (choices,): the mean log-probability per token that each choice has without any video, after the question.

        What the language model expects anyway: answers from a video have to be better than those that score highest here.
        Raises ValueError and TypeError as a call does.
        """
        check_question(question, choices)
        found = self._blind_scores(question, choices).cpu()
        self.maybe_free_model_hooks()
        return found

    def _blind_scores(self, question: str, choices: Sequence[str]) -> torch.Tensor:
        language = PromptedLanguage(self.language_model, self.language_tokenizer)
        return language.mean_log_probabilities(language.prompt(question, None).to(self._execution_device), choices)

    @contextmanager
    def _without_language_model(self) -> Iterator[None]:
        parts = {"language_model": self.language_model, "language_tokenizer": self.language_tokenizer}
        self.register_modules(**dict.fromkeys(parts))
        try:
            yield
        finally:
            self.register_modules(**parts)


def projector_folder(folder: str | os.PathLike[str], name: str) -> Path:
    """Where the projector of the tokenizer in `folder` lies; errors call the model `name`. Raises PyraTokError if nowhere."""
    found = component_folder(Path(folder), PROJECTOR)
    if found is None:
        raise PyraTokError(
            f"the model {name!r} has no projector, which hands its tokens to a language model: train one with "
            f"`python -m pyratok.training.question_training VIDEOS OUTPUT --model {name}` and give its folder, OUTPUT/projector"
        )
    return found


def _own_language_model(projector: PyraTokTokenProjector) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    if projector.config.language_model is None:
        raise PyraTokError("the projector does not say which language model it was trained with: give language_model")
    return load_language_model(projector.config.language_model)


def _check_tokenizer(vq_model: PyraTokModel, projector: PyraTokTokenProjector) -> None:
    for name in ("num_levels", "codebook_bits"):
        one, other = getattr(projector.config, name), getattr(vq_model.config, name)
        if one != other:
            raise ValueError(
                f"the projector has {name}={one}, the tokenizer {other}: it is another tokenizer's projector"
            )
    wanted = projector.config.weights_fingerprint
    # Half precision has nearly the same tokens, and what it was rounded from may not be known.
    if wanted is not None and vq_model.dtype == torch.float32 and wanted != (found := vq_model.weights_fingerprint()):
        raise ValueError(
            f"the projector was trained with the tokens of other weights (fingerprint {wanted}) than the tokenizer's ({found})"
        )


def _check_language_model(projector: PyraTokTokenProjector, language_model: PreTrainedModel) -> None:
    width = language_model.config.get_text_config().hidden_size
    if width != projector.config.language_hidden_size:
        raise ValueError(
            f"the language model takes embeddings of {width} numbers, the projector gives "
            f"{projector.config.language_hidden_size}: it was trained with {projector.config.language_model!r}"
        )


def check_question(question: Any, choices: Any) -> None:
    """Raises ValueError and TypeError for a question or choices that a call does not take."""
    if not isinstance(question, str):
        raise TypeError(f"a question is a string, got {type(question).__name__}")
    if not question.strip():
        raise ValueError("the question is empty")
    if choices is None:
        return
    if not isinstance(choices, list | tuple) or not all(isinstance(choice, str) for choice in choices):
        raise TypeError(f"choices are a list of strings, got {choices!r:.100}")
    if len(choices) < 2 or not all(choice.strip() for choice in choices):
        raise ValueError(f"choices are at least two answers, none of them empty, got {list(choices)!r:.200}")


def check_numbers(max_new_tokens: Any, temperature: Any) -> None:
    """Raises ValueError for numbers that a call does not take."""
    if isinstance(max_new_tokens, bool) or not isinstance(max_new_tokens, int) or max_new_tokens < 1:
        raise ValueError(f"max_new_tokens is a whole number from 1 up, got {max_new_tokens!r}")
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature is a number from 0 up, got {temperature!r}")
