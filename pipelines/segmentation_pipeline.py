"""Words to masks, as a diffusers pipeline: which pixels of a video a text speaks of, from its tokens, without training on
masks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.utils import BaseOutput

from ..modeling_pyratok.content_words import content_words
from ..modeling_pyratok.dense_crf import DenseCrfSettings, refine_masks
from ..modeling_pyratok.pixel_values import values_to_frames
from ..modeling_pyratok.text_similarity import pixel_maps, similarity_maps
from ..modeling_pyratok.video_tokens import VideoTokens
from .text_aligned_pipeline import TextAlignedPipeline, check_threshold, checked_texts
from .token_streams import decoded_frames
from .video_tokens_of import is_token_path

DEVIATIONS = 1.0
"""Standard deviations above a word's mean score over the clip from which on a place is foreground: a sixth of the places, were
scores normal, and fewer where some stand out."""

SHARPNESS = 4.0
"""How fast the probability of the foreground rises with a score: by this many logits for each standard deviation of the scores
over the clip."""


@dataclass
class PyraTokSegmentationOutput(BaseOutput):
    """What `PyraTokSegmentationPipeline` returns.

    Args:
        masks (`torch.Tensor`): bool (K, T, H, W), a mask for each word; masks may overlap.
        scores (`torch.Tensor`): float32 (K, T, H, W): how well the place that a pixel lies in fits the word, in [-1, 1]
            (`PyraTokTextAlignment.place_similarity`); with the CRF the probability of the foreground.
        words (`tuple[str]`): K words, the text of each mask.
        thresholds (`torch.Tensor`): float32 (K,): the score from which on a pixel is foreground before the CRF.
        tokens (`VideoTokens`): what all was computed from.
    """

    masks: torch.Tensor
    scores: torch.Tensor
    words: tuple[str, ...]
    thresholds: torch.Tensor
    tokens: VideoTokens


@dataclass(frozen=True)
class SegmentationMaps:
    """Scores on the grid of features: all of a clip at a fraction of its pixels' size."""

    words: tuple[str, ...]
    fit: torch.Tensor
    """(K, T', H', W'), how well each place fits each word."""
    stride: tuple[int, int]
    """Frames and pixels from one place of the grid to the next."""
    thresholds: torch.Tensor
    """(K,)"""
    tokens: VideoTokens

    def scores(self, start: int = 0, end: int | None = None) -> torch.Tensor:
        """(K, end - start, H, W): the scores at the frames start..end."""
        return pixel_maps(self.fit, self.stride, self.tokens.video_size, start, end)

    def masks(self, scores: torch.Tensor) -> torch.Tensor:
        """Bool, of scores (K, T, H, W): where they reach their word's threshold."""
        return scores >= _each(self.thresholds)

    def probabilities(self, scores: torch.Tensor) -> torch.Tensor:
        """Of the foreground, from scores (K, T, H, W): half at the threshold."""
        scale = SHARPNESS / self.fit.flatten(1).std(dim=1, correction=0).clamp_min(1e-6)
        return torch.sigmoid(((scores - _each(self.thresholds)) * _each(scale)).nan_to_num(neginf=-1e4))


class PyraTokSegmentationPipeline(TextAlignedPipeline):
    r"""Finds the pixels that words speak of; see `TextAlignedPipeline` for the components.

    The paper's recipe: how well the tokens of level 4 fit each content word, enlarged to pixels, as the unary term of a fully
    connected CRF over (x, y, t). The paper does not say how a score becomes foreground: here what scores more than a standard
    deviation above the mean of the clip is, unless a threshold is given.

    Example:

    ```python
    pipeline = PyraTokSegmentationPipeline.from_pretrained("pyratok")
    output = pipeline("clip.mp4", "a dog and a ball")
    output.masks[output.words.index("dog")]  # (T, H, W)
    ```
    """

    @torch.no_grad()
    def __call__(
        self,
        video: Any,
        text: str | Sequence[str],
        levels: Sequence[int] = (4,),
        threshold: float | None = None,
        crf: bool | DenseCrfSettings = False,
        chunk_frames: int | None = 16,
        return_dict: bool = True,
    ) -> PyraTokSegmentationOutput | tuple[torch.Tensor, torch.Tensor]:
        r"""Segment one video.

        Args:
            video: a path, a float tensor (T, C, H, W) in [0, 1], an array (T, H, W, C), a list of PIL images; or a
                `VideoTokens` or the path of a token file: tokens are enough.
            text: a phrase, for a mask for each of its content words; or a list, for a mask for each entry as it stands.
            levels: whose tokens are looked at, 1..L. The paper takes the last level; several together know more.
            threshold: the score from which on a pixel belongs to a mask; by default each word's own.
            crf: whether to refine the masks with the CRF, or how. It looks at the pixels: tokens are decoded for it.
            chunk_frames: as in `PyraTokModel.encode`.
            return_dict: whether to return an output object or a tuple (masks, scores).

        Raises ValueError for a text without content words, for levels that are not there, and as `tokens_from` does; TypeError
        for what is no text or no video.
        """
        maps = self.maps(video, text, levels, threshold, chunk_frames)
        if crf:
            scores = self.refine(maps, video, crf if isinstance(crf, DenseCrfSettings) else None, chunk_frames)
            masks = scores >= 0.5
        else:
            scores = maps.scores()
            masks = maps.masks(scores)
        self.maybe_free_model_hooks()
        if not return_dict:
            return masks, scores
        return PyraTokSegmentationOutput(
            masks=masks, scores=scores, words=maps.words, thresholds=maps.thresholds, tokens=maps.tokens
        )

    @torch.no_grad()
    def maps(
        self,
        video: Any,
        text: str | Sequence[str],
        levels: Sequence[int] = (4,),
        threshold: float | None = None,
        chunk_frames: int | None = 16,
    ) -> SegmentationMaps:
        """The scores on the grid of features, for a film whose masks would not fit into memory; arguments as in a call."""
        words = content_words(text) if isinstance(text, str) else checked_texts(text, "text")
        return self.maps_of_tokens(self.video_tokens(video, chunk_frames), words, levels, threshold)

    @torch.no_grad()
    def maps_of_tokens(
        self, tokens: VideoTokens, words: Sequence[str], levels: Sequence[int] = (4,), threshold: float | None = None
    ) -> SegmentationMaps:
        """The same of tokens that this tokenizer made, which is not looked at, and of words as they stand."""
        fit = similarity_maps(self.alignment, tokens.video_codes, self.pooled_text(words), levels).cpu()
        check_threshold(threshold)
        thresholds = _typical_and_more(fit) if threshold is None else torch.full((len(words),), float(threshold))
        return SegmentationMaps(tuple(words), fit, self.alignment.config.feature_stride, thresholds, tokens)

    @torch.no_grad()
    def stream(self, maps: SegmentationMaps, frames: int = 16) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(masks, scores), each (K, n, H, W), of the next `frames` frames: what a call without the CRF gives, piece by
        piece."""
        for start in range(0, maps.tokens.video_size[0], frames):
            scores = maps.scores(start, min(start + frames, maps.tokens.video_size[0]))
            yield maps.masks(scores), scores

    @torch.no_grad()
    def refine(
        self,
        maps: SegmentationMaps,
        video: Any,
        settings: DenseCrfSettings | None = None,
        chunk_frames: int | None = 16,
    ) -> torch.Tensor:
        """Probabilities of the foreground, (K, T, H, W), after the CRF, which runs where the tokenizer does.

        `video` is what the maps are of; of tokens the pixels are decoded, in these chunks.
        """
        tokens, device = maps.tokens, self._execution_device
        if isinstance(video, VideoTokens) or is_token_path(video):
            frames = torch.stack(list(decoded_frames(self.vq_model, tokens, None, chunk_frames)))  # (T, H, W, 3)
        else:
            frames = values_to_frames(self.video_processor(video, return_tensors="pt")["pixel_values_videos"][0])
        likely = maps.probabilities(maps.scores())
        return refine_masks(likely.to(device), frames.to(device), settings or DenseCrfSettings()).cpu()


def _typical_and_more(fit: torch.Tensor) -> torch.Tensor:
    """(K, T', H', W') -> (K,), the mean and DEVIATIONS standard deviations above. Of equal scores none stands out."""
    flat = fit.flatten(1).double()
    threshold = flat.mean(dim=1) + DEVIATIONS * flat.std(dim=1, correction=0)
    return torch.where(flat.amax(dim=1) > flat.amin(dim=1), threshold, torch.inf).float()


def _each(values: torch.Tensor) -> torch.Tensor:
    """(K,) -> (K, 1, 1, 1)."""
    return values[:, None, None, None]
