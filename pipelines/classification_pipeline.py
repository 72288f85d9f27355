"""Videos to class names, as a diffusers pipeline: from tokens, zero-shot; and features of tokens for a probe."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.utils import BaseOutput

from ..modeling_pyratok.video_tokens import VideoTokens
from .text_aligned_pipeline import TextAlignedPipeline, checked_texts

PLACE = "{}"


@dataclass
class PyraTokClassificationOutput(BaseOutput):
    """What `PyraTokClassificationPipeline` returns.

    Args:
        scores (`torch.Tensor`): float32 (N,), probabilities of the labels, sum 1.
        label (`str`): the likeliest.
        labels (`tuple[str]`): N labels.
        tokens (`VideoTokens`): what all was computed from.
    """

    scores: torch.Tensor
    label: str
    labels: tuple[str, ...]
    tokens: VideoTokens


class PyraTokClassificationPipeline(TextAlignedPipeline):
    r"""Says which of some labels fits a video best; see `TextAlignedPipeline` for the components.

    Zero-shot: the softmax of the video's cosines with the labels, with the scale that the alignment has learned. For classes
    that labels alone do not tell, `features` gives what a linear probe takes (`pyratok.evaluation.linear_probe`).

    Example:

    ```python
    pipeline = PyraTokClassificationPipeline.from_pretrained("pyratok")
    pipeline("clip.mp4", ["a city at night", "an animated film"]).label
    ```
    """

    @torch.no_grad()
    def __call__(
        self,
        video: Any,
        labels: Sequence[str],
        levels: Sequence[int] | None = None,
        template: str = PLACE,
        chunk_frames: int | None = 16,
        return_dict: bool = True,
    ) -> PyraTokClassificationOutput | tuple[torch.Tensor, str]:
        r"""Classify one video.

        Args:
            video: a path, a float tensor (T, C, H, W) in [0, 1], an array (T, H, W, C), a list of PIL images; or a
                `VideoTokens` or the path of a token file: tokens are enough.
            labels: names of classes.
            levels: whose tokens count, 1..L; by default all that are there.
            template: a text with {} in it, which each label is put into, "a video of {}" for example.
            chunk_frames: as in `PyraTokModel.encode`.
            return_dict: whether to return an output object or a tuple (scores, label).

        Raises ValueError for empty labels, a template without {}, levels that are not there, and as `tokens_from` does;
        TypeError for what is no list of texts or no video.
        """
        if isinstance(labels, str):
            raise TypeError(f"labels are a list of strings, got one string, {labels!r:.100}")
        labels = checked_texts(labels, "labels")
        if PLACE not in template:
            raise ValueError(f"a template has {PLACE} where the label goes, got {template!r:.100}")
        tokens = self.video_tokens(video, chunk_frames)
        seen = self.alignment.embed_video(tokens.video_codes, levels)  # (1, width)
        text = F.normalize(self.pooled_text([template.replace(PLACE, label) for label in labels]), dim=-1)
        scale = self.alignment.log_scale.float().exp().clamp_max(100)
        scores = (scale * (seen @ text.T))[0].softmax(dim=0).cpu()
        self.maybe_free_model_hooks()
        label = labels[int(scores.argmax())]
        if not return_dict:
            return scores, label
        return PyraTokClassificationOutput(scores=scores, label=label, labels=tuple(labels), tokens=tokens)

    @torch.no_grad()
    def features(self, video: Any, levels: Sequence[int] | None = None, chunk_frames: int | None = 16) -> torch.Tensor:
        """What a linear probe takes, float32 (3 * text_hidden_size,).

        The mean of the features of all places, their standard deviation over the clip, and the mean change of a place from one
        moment to the next, which is what tells movements apart. `video` and `levels` as in a call.
        """
        tokens = self.video_tokens(video, chunk_frames)
        pieces = self.alignment.feature_stream(tokens.video_codes, levels)
        return torch.cat(_statistics(frame for piece in pieces for frame in piece[0])).float().cpu()


def _statistics(frames: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Mean, standard deviation and mean absolute change over time of features (H, W, D) of frames, each (D,), double.

    Two frames are held at a time.
    """
    total = squares = changes = 0.0
    count, places, before = 0, 1, None
    for frame in frames:
        frame = frame.double()
        places = frame[..., 0].numel()
        total, squares = total + frame.sum(dim=(0, 1)), squares + frame.square().sum(dim=(0, 1))
        if before is not None:
            changes = changes + (frame - before).abs().sum(dim=(0, 1))
        count, before = count + 1, frame
    mean = total / (count * places)
    deviation = (squares / (count * places) - mean.square()).clamp_min(0).sqrt()
    change = changes / ((count - 1) * places) if count > 1 else torch.zeros_like(mean)
    return [mean, deviation, change]
