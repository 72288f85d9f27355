"""Words to masks over a clip: an overlay video, a legend, and how much of the clip each mask covers."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from clip_limits import MAX_TEXT, MAX_WORDS
from shown_videos import write_shown

from pyratok import PyraTokError, PyraTokSegmentationPipeline, VideoTokens
from pyratok.modeling_pyratok.content_words import content_words
from pyratok.pipelines.mask_pictures import mask_colour, overlaid
from pyratok.pipelines.segmentation_pipeline import SegmentationMaps

CHUNK_FRAMES = 16


@dataclass(frozen=True)
class ClipMasks:
    """What the second tab shows."""

    video: Path
    words: tuple[str, ...]
    shares: tuple[float, ...]
    """Of the clip's pixels, 0 to 1."""

    @property
    def legend(self) -> str:
        """HTML: the words, escaped, each in a chip of its mask's colour."""
        chips = [
            f'<span class="mask-word" style="border-color: rgb{mask_colour(index)}">{html.escape(word)} {share:.1%}</span>'
            for index, (word, share) in enumerate(zip(self.words, self.shares, strict=True))
        ]
        return f'<div class="mask-words">{"".join(chips)}</div>'


def asked_words(text: str) -> tuple[str, ...]:
    """The content words of a visitor's text. Raises PyraTokError if there is none, or if there are too many."""
    if len(text) > MAX_TEXT:
        raise PyraTokError(f"The text has {len(text):,} letters, and the limit is {MAX_TEXT}.")
    try:
        words = content_words(text)
    except ValueError as problem:
        raise PyraTokError(
            "The text has no word that names something to look for: write what is to be seen, for example “city lights”."
        ) from problem
    if len(words) > MAX_WORDS:
        raise PyraTokError(f"The text names {len(words)} things, and the limit is {MAX_WORDS}.")
    return words


@torch.no_grad()
def draw_masks(
    pipeline: PyraTokSegmentationPipeline,
    frames: torch.Tensor,
    tokens: VideoTokens,
    words: Sequence[str],
    coverage: float,
    folder: Path,
) -> ClipMasks:
    """Write the overlay video into `folder`.

    Args:
        frames: uint8 (T, H, W, 3), what the masks are drawn over.
        tokens: of the same clip, made by the pipeline's tokenizer.
        words: what to look for, a mask each.
        coverage: the share of the clip's pixels, above 0 and below 1, that each mask is to take; 0 for what stands out.
    """
    maps = pipeline.maps_of_tokens(tokens, words)
    limits = _thresholds(maps, coverage) if coverage else maps.thresholds
    pictures, counts = [], torch.zeros(len(words))
    for start in range(0, len(frames), CHUNK_FRAMES):
        scores = maps.scores(start, min(start + CHUNK_FRAMES, len(frames)))  # (K, n, H, W)
        masks = scores >= limits[:, None, None, None]
        counts += masks.sum(dim=(1, 2, 3))
        pictures += [overlaid(frames[start + index], mask) for index, mask in enumerate(masks.unbind(1))]
    name = write_shown(folder, "masks", torch.stack(pictures), tokens.fps)
    shares = counts / frames[..., 0].numel()
    return ClipMasks(folder / name, tuple(words), tuple(shares.tolist()))


def _thresholds(maps: SegmentationMaps, coverage: float) -> torch.Tensor:
    """(K,): for each word the score that this share of the pixels reaches, by every `step`-th pixel of large frames."""
    frames, height, width = maps.tokens.video_size
    step = max(1, min(height, width) // 64)
    samples = torch.cat(
        [
            maps.scores(start, min(start + CHUNK_FRAMES, frames))[..., ::step, ::step].flatten(1)
            for start in range(0, frames, CHUNK_FRAMES)
        ],
        dim=1,
    )
    return samples.kthvalue(1 + round((1 - coverage) * (samples.shape[1] - 1)), dim=1).values
