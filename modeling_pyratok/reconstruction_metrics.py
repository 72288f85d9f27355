"""How good a reconstruction is and what its tokens cost: PSNR, SSIM, a perceptual distance, bits per pixel, code use.

One protocol for every figure of the project: pixels in [0, 1], floats as the decoder gives them, never re-read from a
lossy file. Everything is accumulated frame by frame, so a long film needs no more memory than a short one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torchmetrics.functional.image import structural_similarity_index_measure

SMALLEST_SSIM_SIDE = 6
"""SSIM's window of 11 pixels looks 5 pixels beyond the border, where the frame is mirrored: that takes 6 to mirror."""

SMALLEST_ERROR = 1e-12
"""The mean squared error that an exact copy counts as, 120 dB: an infinite PSNR of one black frame would be the mean of all."""

PerceptualDistance = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(reconstruction, original), both (B, T, C, H, W) in [-1, 1], to a scalar: the mean over frames, 0 for an exact copy."""


@dataclass(frozen=True)
class ReconstructionReport:
    """The figures of one clip, or of a set of clips."""

    clips: int
    frames: int
    psnr_clip: float
    """dB, from the mean squared error of a whole clip; the mean over clips. 120 for an exact copy."""
    psnr_frames: float
    """dB, the mean over a clip's frames of the PSNR of each; the mean over clips. Not below `psnr_clip`, except near 120."""
    ssim: float
    """Mean over a clip's frames, then over clips; NaN for frames with a side under 6 pixels."""
    bits_per_pixel: float
    """Bits of all tokens that are stored, over all pixels (rows x columns x frames, before padding)."""
    tokens_per_level: tuple[int, ...]
    """Tokens stored at each level; 0 for a level that is left out."""
    code_use: tuple[float, ...]
    """Per level, distinct codes used out of min(2^bits, tokens); NaN for a level that is left out."""
    perplexity: tuple[float, ...]
    """Per level, exp of the entropy of the codes' empirical distribution, 1 to min(2^bits, tokens); NaN as above."""
    perceptual_distance: float
    """Mean over a clip's frames, then over clips; NaN if none was asked for."""


class CodeUse:
    """Counts how often each code of each level occurs; memory is bounded by the distinct codes, not by the film.

    Args:
        num_levels: number of levels L.
        codebook_bits: bits per token.
    """

    def __init__(self, num_levels: int, codebook_bits: int) -> None:
        self.codebook_bits = codebook_bits
        self._distinct = [torch.empty(0, dtype=torch.long) for _ in range(num_levels)]  # sorted
        self._counts = [torch.empty(0, dtype=torch.long) for _ in range(num_levels)]  # of each distinct code

    def update(self, video_codes: Sequence[torch.Tensor | None]) -> None:
        """Add codes: L integer tensors of any shape, None for a level that is left out."""
        self._check_levels(len(video_codes))
        for level, codes in enumerate(video_codes):
            if codes is not None:
                self._add(level, *torch.unique(codes.cpu(), return_counts=True))

    def merge(self, other: "CodeUse") -> None:
        """Add what another clip, or another process, has counted."""
        self._check_levels(len(other._distinct))
        if other.codebook_bits != self.codebook_bits:
            raise ValueError(
                f"cannot merge codes of {other.codebook_bits} bits into codes of {self.codebook_bits} bits"
            )
        for level, (distinct, counts) in enumerate(zip(other._distinct, other._counts, strict=True)):
            self._add(level, distinct, counts)

    @property
    def tokens_per_level(self) -> tuple[int, ...]:
        return tuple(int(counts.sum()) for counts in self._counts)

    @property
    def shares(self) -> tuple[float, ...]:
        """Per level, distinct codes out of min(2^bits, tokens), in [0, 1]; NaN without tokens."""
        return tuple(
            distinct.numel() / min(2**self.codebook_bits, tokens) if tokens else math.nan
            for tokens, distinct in zip(self.tokens_per_level, self._distinct, strict=True)
        )

    @property
    def perplexities(self) -> tuple[float, ...]:
        """Per level, exp of the entropy (in nats) of the codes' empirical distribution; NaN without tokens.

        As many codes, used evenly, would say as much: 1 if one code stands everywhere, at most min(2^bits, tokens).
        """
        return tuple(_perplexity(counts) if counts.numel() else math.nan for counts in self._counts)

    def _add(self, level: int, codes: torch.Tensor, counts: torch.Tensor) -> None:
        """Add distinct codes (n,) and how often each occurs (n,)."""
        merged, places = torch.unique(torch.cat((self._distinct[level], codes)), return_inverse=True)
        summed = torch.zeros_like(merged).index_add_(0, places, torch.cat((self._counts[level], counts)))
        self._distinct[level], self._counts[level] = merged, summed

    def _check_levels(self, num_levels: int) -> None:
        if num_levels != len(self._distinct):
            raise ValueError(f"expected codes of {len(self._distinct)} levels, got {num_levels}")


class ClipMetrics:
    """Figures of one clip, accumulated piece by piece in any order.

    Args:
        num_levels: number of levels L of the tokenizer.
        codebook_bits: bits per token.
        perceptual_distance: measured as well if it is given; it has to be where the frames are.
    """

    def __init__(
        self, num_levels: int, codebook_bits: int, perceptual_distance: PerceptualDistance | None = None
    ) -> None:
        self.code_use = CodeUse(num_levels, codebook_bits)
        self.frames = 0
        self.pixels = 0  # rows x columns x frames
        self._frame_size: torch.Size | None = None
        self._squared_error = 0.0  # sum over frames of a frame's mean squared error
        self._psnr = 0.0  # sum over frames
        self._ssim = 0.0  # sum over frames
        self._perceptual_distance = perceptual_distance
        self._perceptual = 0.0 if perceptual_distance is not None else math.nan  # sum over frames

    def update_frames(self, original: torch.Tensor, reconstruction: torch.Tensor) -> None:
        """Add frames: both (n, C, H, W), floats in [0, 1]. Raises ValueError if shapes differ or a size changes."""
        if original.ndim != 4 or original.shape != reconstruction.shape:
            raise ValueError(
                "original and reconstruction are frames (n, C, H, W) of one shape, got "
                f"{tuple(original.shape)} and {tuple(reconstruction.shape)}"
            )
        if self._frame_size not in (None, original.shape[1:]):
            raise ValueError(
                f"the frames of a clip have one size, {tuple(self._frame_size)}, got {tuple(original.shape)}"
            )
        self._frame_size = original.shape[1:]
        original, reconstruction = original.detach().float(), reconstruction.detach().float()
        errors = frame_squared_errors(original, reconstruction)  # (n,)
        self.frames += original.shape[0]
        self.pixels += original.shape[0] * math.prod(original.shape[2:])
        self._squared_error += errors.sum().item()
        self._psnr += sum(map(psnr_of, errors.tolist()))
        self._ssim += frame_ssim(original, reconstruction).sum().item()
        if self._perceptual_distance is not None:
            self._perceptual += _summed_distance(self._perceptual_distance, original, reconstruction)

    def update_codes(self, video_codes: Sequence[torch.Tensor | None]) -> None:
        """Add the tokens that these frames are stored as: L tensors, None for a level that is left out."""
        self.code_use.update(video_codes)

    def report(self) -> ReconstructionReport:
        """The figures so far. Raises ValueError if there was no frame."""
        if self.frames == 0:
            raise ValueError("there are no figures of a clip without frames")
        tokens = self.code_use.tokens_per_level
        return ReconstructionReport(
            clips=1,
            frames=self.frames,
            psnr_clip=psnr_of(self._squared_error / self.frames),
            psnr_frames=self._psnr / self.frames,
            ssim=self._ssim / self.frames,
            bits_per_pixel=self.code_use.codebook_bits * sum(tokens) / self.pixels,
            tokens_per_level=tokens,
            code_use=self.code_use.shares,
            perplexity=self.code_use.perplexities,
            perceptual_distance=self._perceptual / self.frames,
        )


class DatasetMetrics:
    """Figures of a set of clips: PSNR, SSIM and the perceptual distance are means over clips; tokens, pixels and codes
    are pooled.

    Args:
        num_levels: number of levels L of the tokenizer.
        codebook_bits: bits per token.
    """

    def __init__(self, num_levels: int, codebook_bits: int) -> None:
        self.code_use = CodeUse(num_levels, codebook_bits)
        self.clips = 0
        self.frames = 0
        self.pixels = 0
        self._sums = (0.0, 0.0, 0.0, 0.0)  # psnr_clip, psnr_frames, ssim, perceptual_distance over clips

    def add(self, clip: ClipMetrics) -> None:
        """Add a finished clip. Raises ValueError if it has no frame, or other levels or bits."""
        report = clip.report()
        self._add(clip, 1, (report.psnr_clip, report.psnr_frames, report.ssim, report.perceptual_distance))

    def merge(self, other: "DatasetMetrics") -> None:
        """Add the clips that another process has measured. Raises ValueError for other levels or bits."""
        self._add(other, other.clips, other._sums)

    def report(self) -> ReconstructionReport:
        """The figures so far. Raises ValueError if there was no clip."""
        if self.clips == 0:
            raise ValueError("there are no figures of a set without clips")
        psnr_clip, psnr_frames, ssim, perceptual = (value / self.clips for value in self._sums)
        tokens = self.code_use.tokens_per_level
        return ReconstructionReport(
            clips=self.clips,
            frames=self.frames,
            psnr_clip=psnr_clip,
            psnr_frames=psnr_frames,
            ssim=ssim,
            bits_per_pixel=self.code_use.codebook_bits * sum(tokens) / self.pixels,
            tokens_per_level=tokens,
            code_use=self.code_use.shares,
            perplexity=self.code_use.perplexities,
            perceptual_distance=perceptual,
        )

    def _add(self, part: "ClipMetrics | DatasetMetrics", clips: int, sums: tuple[float, ...]) -> None:
        self.code_use.merge(part.code_use)  # first: it refuses what does not fit
        self.clips += clips
        self.frames += part.frames
        self.pixels += part.pixels
        self._sums = tuple(a + b for a, b in zip(self._sums, sums, strict=True))


def psnr_of(mean_squared_error: float) -> float:
    """PSNR in dB, at most 120, of a mean squared error of pixels in [0, 1]; NaN for NaN."""
    return -10 * math.log10(max(mean_squared_error, SMALLEST_ERROR))  # in this order `max` keeps NaN


def frame_squared_errors(original: torch.Tensor, reconstruction: torch.Tensor) -> torch.Tensor:
    """Mean squared error (n,), in double precision, of frames (n, C, H, W) in [0, 1]."""
    return (original - reconstruction).double().square().mean(dim=(1, 2, 3))


def frame_ssim(original: torch.Tensor, reconstruction: torch.Tensor) -> torch.Tensor:
    """SSIM (n,) of frames (n, C, H, W) in [0, 1]: Gaussian window 11 x 11, sigma 1.5, data range 1 (torchmetrics').

    NaN for frames with a side under 6 pixels.
    """
    if min(original.shape[-2:]) < SMALLEST_SSIM_SIDE:
        return original.new_full((original.shape[0],), math.nan)
    # One frame at a time: torchmetrics needs some 20 times a frame's memory, and a chunk may have many large frames.
    return torch.stack(
        [
            structural_similarity_index_measure(a[None], b[None], data_range=1.0)
            for a, b in zip(original, reconstruction, strict=True)
        ]
    )


@torch.no_grad()
def _summed_distance(distance: PerceptualDistance, original: torch.Tensor, reconstruction: torch.Tensor) -> float:
    """The sum over frames (n, C, H, W) in [0, 1]. One at a time, as above: its networks need yet more memory."""
    pairs = zip(reconstruction * 2 - 1, original * 2 - 1, strict=True)
    return sum(distance(copy[None, None], frame[None, None]).item() for copy, frame in pairs)


def _perplexity(counts: torch.Tensor) -> float:
    """exp of the entropy of the distribution that the positive counts (n,) are of."""
    shares = counts.double() / counts.sum()
    return math.exp(-(shares * shares.log()).sum().item())
