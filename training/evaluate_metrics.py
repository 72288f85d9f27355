"""The figures of `reconstruction_metrics` as metrics of the library `evaluate`; `metrics/` has the scripts that load them.

`evaluate` keeps what it is given in a file until `compute`. Frames would fill it quickly, so a clip is measured when it
is added, and only its figures are kept; several processes can share the work as with any metric of `evaluate`.
"""

from abc import abstractmethod
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import evaluate
import numpy as np
import torch
from datasets import Features, Value

from ..modeling_pyratok.reconstruction_metrics import CodeUse, frame_squared_errors, frame_ssim, psnr_of

CLIPS = """
Clips: `predictions` are the reconstructions, `references` the originals; a clip is an array or tensor (T, C, H, W) of
floats in [0, 1]. Clips may differ in length and size.
"""


class ClipMetric(evaluate.Metric):
    """A metric of clips: its figures are computed clip by clip, and averaged over clips.

    Raises ValueError for clips of two shapes, other than (T, C, H, W), without a frame, or not floats in [0, 1].
    """

    FIGURES: tuple[str, ...]
    DESCRIPTION: str

    @abstractmethod
    def measure(self, reconstruction: torch.Tensor, original: torch.Tensor) -> tuple[float, ...]:
        """The `FIGURES` of one clip, (T, C, H, W) in [0, 1]."""

    def add_batch(self, *, predictions: Sequence[Any], references: Sequence[Any]) -> None:
        """Measure clips and keep their figures."""
        rows = [
            self.measure(*_checked(reconstruction, original))
            for reconstruction, original in zip(predictions, references, strict=True)
        ]
        super().add_batch(**dict(zip(self.FIGURES, map(list, zip(*rows, strict=True)), strict=True)))

    def add(self, *, prediction: Any, reference: Any) -> None:
        """Measure one clip and keep its figures."""
        self.add_batch(predictions=[prediction], references=[reference])

    def compute(
        self, *, predictions: Sequence[Any] | None = None, references: Sequence[Any] | None = None
    ) -> dict[str, float] | None:
        """Means over the clips that were added, these included; None in all processes but the first."""
        if predictions is not None or references is not None:
            self.add_batch(predictions=predictions, references=references)
        return super().compute()

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.DESCRIPTION,
            citation="",
            inputs_description=CLIPS,
            features=Features({name: Value("float64") for name in self.FIGURES}),
            format="numpy",
        )

    def _compute(self, **figures: np.ndarray) -> dict[str, float]:
        return {name: fmean(values) for name, values in figures.items()}


class Psnr(ClipMetric):
    """PSNR in dB both ways, because published tables mix them."""

    FIGURES = ("psnr_clip", "psnr_frames")
    DESCRIPTION = "PSNR in dB: psnr_clip from the error of a whole clip, psnr_frames the mean over its frames."

    def measure(self, reconstruction: torch.Tensor, original: torch.Tensor) -> tuple[float, ...]:
        """From the clip's mean squared error, and the mean over frames of the PSNR of each; 120 for a copy."""
        errors = frame_squared_errors(original, reconstruction).tolist()
        return psnr_of(fmean(errors)), fmean(map(psnr_of, errors))


class Ssim(ClipMetric):
    """SSIM with a Gaussian window of 11 x 11."""

    FIGURES = ("ssim",)
    DESCRIPTION = "SSIM of frames, Gaussian window 11 x 11 of sigma 1.5; the mean over a clip's frames."

    def measure(self, reconstruction: torch.Tensor, original: torch.Tensor) -> tuple[float, ...]:
        """The mean over frames; NaN for a side under 6 pixels."""
        return (frame_ssim(original, reconstruction).mean().item(),)


class CodebookUse(evaluate.Metric):
    """How many of the codes are used, and how evenly, by the tokens of one level.

    `add_batch(predictions=codes)` takes one axis of ids: `video_codes[level].flatten()`.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="code_use: distinct codes out of min(2^bits, tokens); perplexity: exp of the codes' entropy.",
            citation="",
            inputs_description="`predictions`: the ids of tokens, one axis; `codebook_bits`, to `compute`: bits per token.",
            features=Features({"predictions": Value("int64")}),
            format="numpy",
        )

    def _compute(self, predictions: np.ndarray, codebook_bits: int) -> dict[str, float]:
        use = CodeUse(num_levels=1, codebook_bits=codebook_bits)
        use.update((torch.from_numpy(predictions),))
        return {"code_use": use.shares[0], "perplexity": use.perplexities[0], "tokens": use.tokens_per_level[0]}


def _checked(reconstruction: Any, original: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The two clips as float32 tensors (T, C, H, W)."""
    pair = torch.as_tensor(reconstruction), torch.as_tensor(original)
    if pair[0].shape != pair[1].shape or pair[0].ndim != 4 or 0 in pair[0].shape:
        raise ValueError(
            f"a clip and its reconstruction are (T, C, H, W) of one shape, got {tuple(pair[1].shape)} and "
            f"{tuple(pair[0].shape)}"
        )
    for clip in pair:
        # What is not a number is neither below 0 nor above 1.
        if not clip.is_floating_point() or clip.isnan().any() or clip.min() < 0 or clip.max() > 1:
            raise ValueError(f"clips are floats in [0, 1], got {clip.dtype} in [{clip.min():g}, {clip.max():g}]")
    return pair[0].float(), pair[1].float()
