"""When a text happens, as a diffusers pipeline: stretches of a video that fit it, from its tokens, without training on
times."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.utils import BaseOutput

from ..modeling_pyratok.text_similarity import otsu_threshold
from ..modeling_pyratok.video_tokens import VideoTokens
from .text_aligned_pipeline import TextAlignedPipeline, check_threshold, checked_texts

Segment = tuple[float, float, float]
"""Start and end in seconds, and the mean score between them."""


@dataclass
class PyraTokActionLocalizationOutput(BaseOutput):
    """What `PyraTokActionLocalizationPipeline` returns.

    Args:
        segments (`list[list[tuple[float, float, float]]]`): per text (start s, end s, score), the longest first.
        scores (`torch.Tensor`): float32 (K, N), the smoothed cosines over time.
        times (`torch.Tensor`): float64 (N + 1,), seconds: score n is that of the time between times n and n + 1.
        thresholds (`torch.Tensor`): float32 (K,): the score from which on a text is taken to happen; infinite if it was to be
            found in scores that are all equal.
        texts (`tuple[str]`): K texts.
        tokens (`VideoTokens`): what all was computed from.
    """

    segments: list[list[Segment]]
    scores: torch.Tensor
    times: torch.Tensor
    thresholds: torch.Tensor
    texts: tuple[str, ...]
    tokens: VideoTokens


class PyraTokActionLocalizationPipeline(TextAlignedPipeline):
    r"""Finds when texts happen; see `TextAlignedPipeline` for the components.

    The paper's recipe: the features of level 1, averaged over space, their cosine with the text, a window of 25, stride 1, a
    threshold, and the longest connected run. The paper does not say what the window counts: here features, of four frames
    each. Nor does it give the threshold: here it is the one that splits the text's scores over the clip best in two (Otsu
    1979), unless one is given. Of equal scores none stands out, and nothing is found: those of a clip of up to 13 features, for
    example, which a window of 25 covers wherever it stands (`window_covers`).

    Example:

    ```python
    pipeline = PyraTokActionLocalizationPipeline.from_pretrained("pyratok")
    for start, end, score in pipeline("clip.mp4", "a person falls", window=5).segments[0]:
        print(f"{start:.2f} to {end:.2f} s")
    ```
    """

    @torch.no_grad()
    def __call__(
        self,
        video: Any,
        text: str | Sequence[str],
        level: int = 1,
        window: int = 25,
        threshold: float | None = None,
        max_segments: int | None = 1,
        chunk_frames: int | None = 16,
        fps: Fraction | float | None = None,
        return_dict: bool = True,
    ) -> PyraTokActionLocalizationOutput | tuple[list[list[Segment]], torch.Tensor]:
        r"""Localize texts in one video.

        Args:
            video: a path, a float tensor (T, C, H, W) in [0, 1], an array (T, H, W, C), a list of PIL images; or a
                `VideoTokens` or the path of a token file: tokens are enough.
            text: what happens, or a list of such texts; each is looked for on its own.
            level: whose tokens are compared, 1..L.
            window: features (one covers the frames of the alignment's `feature_stride`) over which scores are averaged, around
                each; fewer at the ends of the clip.
            threshold: the score from which on a text happens; by default each text's own.
            max_segments: so many of the longest runs for each text; None for all.
            chunk_frames: as in `PyraTokModel.encode`.
            fps: frames per second; by default the file's or the tokens', and 24 for anything else.
            return_dict: whether to return an output object or a tuple (segments, scores).

        Raises ValueError for an empty text, a level that is not there, a window or a number of segments below 1, and as
        `tokens_from` does; TypeError for what is no text or no video.
        """
        texts = checked_texts(text, "text")
        check_numbers(window, threshold, max_segments)
        tokens = self.video_tokens(video, chunk_frames, fps)
        features = F.normalize(self._features_over_time(tokens, level), dim=-1)  # (N, width)
        text_features = F.normalize(self.pooled_text(texts), dim=-1)
        scores = _window_mean(text_features @ features.T, window).cpu()  # (K, N)
        times = feature_times(tokens, self.alignment.config.feature_stride[0], scores.shape[1])
        thresholds = otsu_threshold(scores) if threshold is None else torch.full((len(texts),), float(threshold))
        segments = [
            _longest_runs(row, limit, times, max_segments)
            for row, limit in zip(scores, thresholds.tolist(), strict=True)
        ]
        self.maybe_free_model_hooks()
        if not return_dict:
            return segments, scores
        return PyraTokActionLocalizationOutput(
            segments=segments, scores=scores, times=times, thresholds=thresholds, texts=tuple(texts), tokens=tokens
        )

    def _features_over_time(self, tokens: VideoTokens, level: int) -> torch.Tensor:
        """The mean over space of the features of a level's tokens, (N, width)."""
        pieces = self.alignment.feature_stream(tokens.video_codes, (level,))
        return torch.cat([features[0].mean(dim=(1, 2)) for features in pieces])


def check_numbers(window: int, threshold: float | None, max_segments: int | None) -> None:
    """Raises ValueError for numbers that no model allows in a call."""
    for name, number in (("window", window), ("max_segments", 1 if max_segments is None else max_segments)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} is a whole number from 1 up, got {number!r}")
    check_threshold(threshold)


def feature_times(tokens: VideoTokens, stride: int, count: int) -> torch.Tensor:
    """Where features begin, in seconds, and where the last one ends: float64 (count + 1,).

    The first covers one frame, each later one `stride` frames; the last ends with the video.
    """
    begins = torch.cat([torch.zeros(1), 1 + stride * torch.arange(count)]).double().clamp_max(tokens.video_size[0])
    return begins / float(tokens.fps)


def window_covers(window: int, count: int) -> bool:
    """Whether a window around any of `count` features holds them all, so that each has the same score."""
    return (window - 1) // 2 >= count - 1


def _window_mean(scores: torch.Tensor, window: int) -> torch.Tensor:
    """Each of (K, N) replaced by the mean of the `window` around it, of those that exist."""
    count = scores.shape[1]
    before, after = window // 2, (window - 1) // 2
    sums = F.pad(scores.double().cumsum(dim=1), (1, 0))  # sums[n] is that of the first n
    positions = torch.arange(count, device=scores.device)
    low, high = (positions - before).clamp_min(0), (positions + after + 1).clamp_max(count)
    return ((sums[:, high] - sums[:, low]) / (high - low)).float()


def _longest_runs(scores: torch.Tensor, threshold: float, times: torch.Tensor, limit: int | None) -> list[Segment]:
    """Runs of (N,) at or above the threshold, the longest first, and the earliest first of equally long ones."""
    above = F.pad((scores >= threshold).int(), (1, 1))
    edges = above.diff()
    runs = zip((edges == 1).nonzero()[:, 0].tolist(), (edges == -1).nonzero()[:, 0].tolist(), strict=True)
    found = [(float(times[a]), float(times[b]), float(scores[a:b].mean())) for a, b in runs]
    return sorted(found, key=lambda run: (run[0] - run[1], run[0]))[:limit]
