"""Text to video, as a diffusers pipeline: tokens are drawn level by level, coarse to fine, and decoded."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..modeling_pyratok.bit_group_head import CodeChoice
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.prior import PyraTokPrior
from ..modeling_pyratok.prior_generation import Codes, GenerationRequest, generate_codes
from ..modeling_pyratok.text_encoding import MAX_TEXT_TOKENS, EncodedText, TextEncoder
from ..modeling_pyratok.token_grids import TEMPORAL_STRIDE
from ..modeling_pyratok.video_processing_pyratok import PyraTokVideoProcessor, file_of
from ..modeling_pyratok.video_reading import read_video
from .root_repository import RootRepository
from .token_streams import DEFAULT_FPS, recorded_id, tokens_of

OUTPUT_TYPES = ("np", "pt", "pil", "codes")


@dataclass
class PyraTokTextToVideoOutput(BaseOutput):
    """What `PyraTokTextToVideoPipeline` returns.

    Args:
        frames (`torch.Tensor`, `np.ndarray` or `list[list[PIL.Image.Image]]`):
            The videos, (B, T, C, H, W) for "pt", (B, T, H, W, C) for "np", in [0, 1].
        tokens (`VideoTokens` or `list[VideoTokens]`): what they were decoded from; a list for a list of prompts.
    """

    frames: Any
    tokens: Any


class PyraTokTextToVideoPipeline(RootRepository, DiffusionPipeline):
    r"""Draws the tokens of a video that a text describes, and decodes them.

    Args:
        vq_model ([`PyraTokModel`]): the tokenizer.
        prior ([`PyraTokPrior`]): the probabilities of its tokens, given a text.
        text_encoder ([`~transformers.PreTrainedModel`]), tokenizer ([`~transformers.PreTrainedTokenizerBase`]): what the prior
            was trained with.
        video_processor ([`PyraTokVideoProcessor`], *optional*): reads videos and turns pixels into pictures.

    Example:

    ```python
    pipeline = PyraTokTextToVideoPipeline.from_pretrained("my-repository")
    output = pipeline("a rabbit on a meadow", num_frames=17, height=64, width=64, output_type="pil")
    ```
    """

    model_cpu_offload_seq = "text_encoder->prior->vq_model"
    _optional_components = ["video_processor"]
    _callback_tensor_inputs = ["video_codes"]

    def __init__(
        self,
        vq_model: PyraTokModel,
        prior: PyraTokPrior,
        text_encoder: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        video_processor: PyraTokVideoProcessor | None = None,
    ) -> None:
        super().__init__()
        _check_fit(vq_model, prior, text_encoder)
        self.register_modules(
            vq_model=vq_model,
            prior=prior,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            video_processor=PyraTokVideoProcessor() if video_processor is None else video_processor,
        )

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        num_frames: int = 17,
        height: int = 64,
        width: int = 64,
        guidance_scale: float = 2.0,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        video: Any = None,
        prompt_embeds: torch.Tensor | None = None,
        prompt_mask: torch.Tensor | None = None,
        num_videos_per_prompt: int = 1,
        fps: Fraction | float = DEFAULT_FPS,
        max_text_tokens: int = MAX_TEXT_TOKENS,
        output_type: str = "np",
        return_dict: bool = True,
        callback_on_step_end: Callable[[Any, int, int, dict], dict | None] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("video_codes",),
        **kwargs: Any,
    ) -> PyraTokTextToVideoOutput | tuple[Any, Any]:
        r"""Generate videos.

        Args:
            prompt: what the video shows, or several; an empty one lets the prior choose. Longer ones than `max_text_tokens` are
                cut, which is logged.
            num_frames, height, width: of the video, any from 1 up, the given beginning included.
            guidance_scale: how far to follow the prompt: 1 draws from the prior as it is, more goes away from what it would
                draw without a prompt, at twice the cost.
            temperature, top_k, top_p: how the tokens are drawn, see `CodeChoice`.
            generator: for all videos, or one for each.
            video: a clip or picture to go on from, as other pipelines take it; it is encoded with the prompt, and kept but for
                its last frames beyond 4k + 1. Height and width are then its own.
            prompt_embeds, prompt_mask: the embedded prompts (B, S, text_hidden_size) and their mask, instead of `prompt`.
            num_videos_per_prompt: how many videos to draw for each prompt.
            fps: frames per second, for the tokens.
            max_text_tokens: see `prompt`.
            output_type: "np", "pt" or "pil"; "codes" decodes nothing and gives the codes per level, (B, T_l, H_l, W_l).
            return_dict: whether to return an output object or a tuple (frames, tokens).
            callback_on_step_end: called after each level with the pipeline, the number of the step from 0 up, the level, and a
                dictionary with `video_codes`: the codes per level, None for levels that are still to come. `decode_preview`
                makes a picture of them. What it returns is not used: tokens that are drawn stand.
            callback_on_step_end_tensor_inputs: which of `_callback_tensor_inputs` the callback gets.

        Raises ValueError for sizes, numbers or a beginning that do not fit, TypeError for a prompt that is no text.
        """
        if kwargs:
            raise TypeError(f"the pipeline has no argument {', '.join(sorted(kwargs))}")
        self._check_prompt(prompt, prompt_embeds, prompt_mask)
        self._check_numbers(
            num_frames=num_frames, height=height, width=width, num_videos_per_prompt=num_videos_per_prompt
        )
        if unknown := sorted(set(callback_on_step_end_tensor_inputs) - set(self._callback_tensor_inputs)):
            raise ValueError(f"callbacks can have {self._callback_tensor_inputs}, not {unknown}")
        if output_type not in OUTPUT_TYPES:
            raise ValueError(f"output_type is one of {', '.join(OUTPUT_TYPES)}, got {output_type!r}")
        choice = CodeChoice(temperature, top_k, top_p, guidance_scale)
        text = self._encode_prompt(prompt, prompt_embeds, prompt_mask, num_videos_per_prompt, max_text_tokens)
        batch = len(text.embeds)
        known, (height, width) = self._beginning(video, num_frames, (height, width), text)
        request = GenerationRequest((num_frames, height, width), batch, text.embeds, text.mask, known)
        steps = iter(range(self.prior.config.num_levels))

        def on_level(level: int, codes: Codes) -> None:
            if callback_on_step_end is not None:
                given = dict.fromkeys(callback_on_step_end_tensor_inputs, codes)
                callback_on_step_end(self, next(steps), level, given)

        codes = generate_codes(self.prior, request, choice, generator, on_level, self._progress)
        frames: Any = codes
        if output_type != "codes":
            frames = self.decode_preview(codes, request.video_size, output_type)
        captions = [None] * batch if prompt is None else _repeated(prompt, num_videos_per_prompt)
        tokens: Any = [
            tokens_of(
                self.vq_model,
                [None if level is None else level[row : row + 1] for level in codes],
                request.video_size,
                fps,
                self.model_id,
                captions[row],
            )
            for row in range(batch)
        ]
        if isinstance(prompt, str) and batch == 1:
            tokens = tokens[0]
        self.maybe_free_model_hooks()
        return PyraTokTextToVideoOutput(frames=frames, tokens=tokens) if return_dict else (frames, tokens)

    @torch.no_grad()
    def decode_preview(self, video_codes: Codes, video_size: Sequence[int], output_type: str = "np") -> Any:
        """The pictures of codes (B, T_l, H_l, W_l) of some levels, None for those that are not there."""
        decoded = self.vq_model.decode(video_codes, video_size=tuple(video_size)).video_values
        return self.video_processor.postprocess_video(decoded.float(), output_type=output_type)

    @property
    def model_id(self) -> str | None:
        """What the tokens say of where the tokenizer comes from."""
        return recorded_id(self.name_or_path or self.vq_model.name_or_path)

    @staticmethod
    def _check_prompt(prompt: Any, embeds: torch.Tensor | None, mask: torch.Tensor | None) -> None:
        if (prompt is None) == (embeds is None):
            raise ValueError("give prompt or prompt_embeds, and not both")
        if embeds is None and mask is not None:
            raise ValueError("prompt_mask goes with prompt_embeds; a prompt has its own")
        if embeds is None and not isinstance(prompt, str) and not _are_texts(prompt):
            raise TypeError(f"a prompt is a string or a list of strings, got {prompt!r:.100}")

    @staticmethod
    def _check_numbers(**numbers: Any) -> None:
        for name, number in numbers.items():
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise ValueError(f"{name} is a whole number from 1 up, got {number!r}")

    def _encode_prompt(
        self,
        prompt: str | Sequence[str] | None,
        embeds: torch.Tensor | None,
        mask: torch.Tensor | None,
        per_prompt: int,
        max_tokens: int,
    ) -> EncodedText:
        """(B * per_prompt, S, ...), the videos of a prompt one after the other."""
        device = self._execution_device
        if embeds is None:
            encoder = TextEncoder(self.text_encoder, self.tokenizer, max_tokens)
            encoded = encoder([prompt] if isinstance(prompt, str) else list(prompt))
            embeds, mask = encoded.embeds, encoded.mask
        if mask is None:
            mask = torch.ones(embeds.shape[:2], dtype=torch.bool)
        return EncodedText(
            embeds.to(device).repeat_interleave(per_prompt, dim=0),
            mask.to(device).bool().repeat_interleave(per_prompt, dim=0),
        )

    def _beginning(
        self, video: Any, num_frames: int, size: tuple[int, int], text: EncodedText
    ) -> tuple[list[torch.Tensor] | None, tuple[int, int]]:
        """The codes per level, (B, t, H_l, W_l), of what is given, once for each text, and (height, width)."""
        if video is None:
            return None, size
        file = file_of(video)
        frames = video if file is None else read_video(file)[0].numpy()
        values = self.video_processor(frames, return_tensors="pt")["pixel_values_videos"]  # (1, T, C, H, W)
        if values.shape[0] != 1:
            raise ValueError(f"one video can be gone on from, got {values.shape[0]}")
        kept = 1 + (values.shape[1] - 1) // TEMPORAL_STRIDE * TEMPORAL_STRIDE
        if kept >= num_frames:
            raise ValueError(
                f"the given video has {values.shape[1]} frames already; num_frames={num_frames} has to be more"
            )
        values = (
            values[:, :kept].to(self._execution_device, self.vq_model.dtype).expand(len(text.embeds), -1, -1, -1, -1)
        )
        codes = self.vq_model.encode(values, text.embeds, text.mask).video_codes
        return list(codes), tuple(values.shape[-2:])

    def _progress(self, tokens: Iterable[int], count: int) -> Iterable[int]:
        with self.progress_bar(total=count) as bar:
            for token in tokens:
                yield token
                bar.update()


def _check_fit(vq_model: PyraTokModel, prior: PyraTokPrior, text_encoder: PreTrainedModel) -> None:
    """Raises ValueError if the prior is one of other tokens or other texts. A component may be None while diffusers loads."""
    if vq_model is not None and prior is not None:
        for name in ("level_strides", "codebook_bits", "spatial_multiple"):
            one, other = getattr(prior.config, name), getattr(vq_model.config, name)
            if one is not None and one != other:
                raise ValueError(f"the prior has {name}={one}, the tokenizer {other}: it is another tokenizer's prior")
    if prior is not None and text_encoder is not None:
        width = text_encoder.config.get_text_config().hidden_size
        if width != prior.config.text_hidden_size:
            raise ValueError(
                f"the text encoder gives embeddings of {width} numbers, the prior takes {prior.config.text_hidden_size}"
            )


def _are_texts(prompt: Any) -> bool:
    return isinstance(prompt, list | tuple) and len(prompt) > 0 and all(isinstance(text, str) for text in prompt)


def _repeated(prompt: str | Sequence[str], times: int) -> list[str]:
    return [text for text in ([prompt] if isinstance(prompt, str) else prompt) for _ in range(times)]
