"""Sharpening of segmentation masks with a fully connected conditional random field over (x, y, t) of a video.

Every pixel of every frame is joined to every other one: by appearance (near in space and time and of similar colour) and
by smoothness (near alone). Sources: Krahenbuhl and Koltun, "Efficient inference in fully connected CRFs with Gaussian edge
potentials", NeurIPS 2011, for the model and its mean field; Adams et al. 2010 for the filter (permutohedral_lattice.py).
The cost is linear in pixels.

What is exact and what is not: the smoothness kernel is a Gaussian cut off at 4 standard deviations, the appearance kernel the
lattice's approximation of one. Frames of up to `frame_pixels` pixels are worked on as they are. Of larger ones, frames and
probabilities are averaged down, and the message of the neighbours is brought back bilinearly and added to the logits at
full size: what those know is kept, and the edges that colours give are as fine as the smaller frames. A video of more than
`window_frames` frames is solved in windows, whose messages are cross-faded where they overlap; pixels of two windows hear of
each other only there.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import interpolate

from .permutohedral_lattice import PermutohedralLattice

CERTAINTY = 1e-4
"""A probability within this of 0 or 1 is read as this far from it, so that neighbours can still overrule it."""

GAUSSIAN_REACH = 4
"""Standard deviations after which the smoothness kernel, then under 0.04% of its peak, is cut off."""

FRAMES_AT_ONCE = 16
"""Frames that are brought back to the full size together: bounds the memory of what is interpolated."""


@dataclass(frozen=True)
class DenseCrfSettings:
    """Settings of the field. Standard deviations are in pixels, frames and levels of 255 of the video as it is given.

    Args:
        appearance_space, appearance_time, appearance_colour: standard deviations of the kernel that joins like colours.
        appearance_weight: its weight; 0 leaves it out.
        smoothness_space, smoothness_time: standard deviations of the kernel that joins whatever is near.
        smoothness_weight: its weight; 0 leaves it out.
        iterations: mean-field updates.
        frame_pixels: frames of more pixels than this are averaged down to it before the field is solved.
        window_frames: longer videos are solved in windows of so many frames.

    Raises:
        ValueError: for a standard deviation that is not positive and finite, a weight that is negative or not finite, or
            a count below 1.
        TypeError: for a count that is not an int, and for what is no number.
    """

    appearance_space: float = 30.0
    appearance_time: float = 16.0
    appearance_colour: float = 5.0
    appearance_weight: float = 8.0
    smoothness_space: float = 3.0
    smoothness_time: float = 1.5
    smoothness_weight: float = 1.0
    iterations: int = 5
    frame_pixels: int = 2**15
    window_frames: int = 64

    def __post_init__(self) -> None:
        for name in ("iterations", "frame_pixels", "window_frames"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an int, got {value!r}")
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{name} must be a number, got {value!r}")
            if not math.isfinite(value) or value < 0:
                raise ValueError(f"{name} must be finite and not negative, got {value!r}")
            if value == 0 and not name.endswith("_weight"):
                raise ValueError(f"{name} is a standard deviation and must be positive, got {value!r}")

    @property
    def overlap_frames(self) -> int:
        """Frames that two windows share: the standard deviation in time of the wider kernel, at most half a window."""
        return min(math.ceil(max(self.appearance_time, self.smoothness_time)), self.window_frames // 2)


@torch.no_grad()
def refine_masks(
    foreground_probability: torch.Tensor,
    frames: torch.Tensor,
    settings: DenseCrfSettings | None = None,
    progress: Callable[[Sequence[range]], Iterable[range]] = iter,
) -> torch.Tensor:
    """Mean-field probabilities of K binary masks: each pixel hears what all pixels that are near and alike say.

    The K masks are K fields of two labels (Potts) on the same pixels: one lattice serves all. A field's logits are those
    of `foreground_probability` plus the message of its neighbours,

        logit_i = logit(p_i) + sum over kernels of weight * sum over j of k_ij (2 q_j - 1),

    where q is the current probability and k is normalised symmetrically, k_ij / sqrt(n_i n_j) with n_i the sum over j of
    k_ij. As in the released code of the paper's authors, j = i is among the sum; a pixel like no other is left alone.

    The decision is at one half, so `foreground_probability` has to be balanced around it; the default weights suit logits of
    about -2 to 2. Where larger frames and longer videos are approximated, see the top of this file.

    Args:
        foreground_probability: (K, T, H, W), floating point in [0, 1].
        frames: (T, H, W, 3) uint8, RGB.
        settings: None for the defaults.
        progress: goes through the windows and shows how far it is: `tqdm`, or rich's `track`.

    Returns:
        (K, T, H, W) float32 in [0, 1], on the device of `foreground_probability`. No gradient flows through it.

    Raises:
        TypeError: for arguments that are no tensors or of another dtype.
        ValueError: for shapes that do not fit, an empty dimension, or probabilities that are NaN or outside [0, 1].
    """
    settings = settings or DenseCrfSettings()
    _check_arguments(foreground_probability, frames)
    message = _message(foreground_probability, frames, settings, progress)  # (K, T, h, w)
    refined = message.new_empty(foreground_probability.shape)
    for start in range(0, len(frames), FRAMES_AT_ONCE):
        piece = slice(start, start + FRAMES_AT_ONCE)
        enlarged = interpolate(message[:, piece], frames.shape[1:3], mode="bilinear")
        refined[:, piece] = torch.sigmoid(_logit(foreground_probability[:, piece].float()) + enlarged)
    return refined


def _message(
    foreground_probability: torch.Tensor,
    frames: torch.Tensor,
    settings: DenseCrfSettings,
    progress: Callable[[Sequence[range]], Iterable[range]],
) -> torch.Tensor:
    """What neighbours add to the logits, (K, T, h, w) at the size that the field is solved at."""
    count, length, height, width = foreground_probability.shape
    size = working_size(height, width, settings.frame_pixels)
    message = foreground_probability.new_zeros((count, length, *size), dtype=torch.float32)
    share = message.new_zeros(length)
    for window in progress(frame_windows(length, settings.window_frames, settings.overlap_frames)):
        piece = slice(window.start, window.stop)
        probability = _averaged(foreground_probability[:, piece].float(), size)  # (K, t, h, w)
        colours = frames[piece].to(probability.device).float().permute(3, 0, 1, 2)  # (3, t, H, W)
        kernels = _kernels(_averaged(colours, size), settings, (height, width))
        ramp = _cross_fade(len(window), settings.overlap_frames, message.device)  # (t,)
        message[:, piece] += mean_field(_logit(probability), kernels, settings.iterations) * ramp[:, None, None]
        share[piece] += ramp
    return message.div_(share[:, None, None])


def working_size(height: int, width: int, frame_pixels: int) -> tuple[int, int]:
    """The (height, width) of at most `frame_pixels` pixels that the field is solved at; the shape is kept as far as it can."""
    ratio = min(1.0, math.sqrt(frame_pixels / (height * width)))
    small_height = min(max(1, math.floor(height * ratio)), frame_pixels)
    return small_height, min(max(1, math.floor(width * ratio)), frame_pixels // small_height)


def frame_windows(length: int, window: int, overlap: int) -> list[range]:
    """Windows of `window` frames (or one, of all frames) that overlap by `overlap` or more, evenly spread over `length`."""
    if length <= window:
        return [range(length)]
    steps = math.ceil((length - window) / max(window - overlap, 1))
    starts = [(length - window) * step // steps for step in range(steps + 1)]
    return [range(start, start + window) for start in starts]


def mean_field(
    logits: torch.Tensor, kernels: Sequence[tuple[float, Callable[[torch.Tensor], torch.Tensor]]], iterations: int
) -> torch.Tensor:
    """What neighbours add to the logits (K, T, H, W) of K binary fields, after so many parallel updates.

    Args:
        logits: of the foreground, without neighbours.
        kernels: (weight, filter of (K, T, H, W)) each.
        iterations: updates; the first takes the probabilities from `logits`.
    """
    message = torch.zeros_like(logits)
    for _ in range(iterations):
        belief = torch.tanh((logits + message) / 2)  # 2 q - 1, from -1 for background to 1
        message = torch.zeros_like(logits)
        for weight, kernel in kernels:
            message.add_(kernel(belief), alpha=weight)
    return message


class AppearanceKernel:
    """Symmetrically normalised Gaussian over space, time and colour, filtered on the permutohedral lattice.

    Args:
        colours: (3, T, H, W), any units.
        deviations: (t, y, x, colour), in frames, pixels, pixels, and the units of `colours`.
    """

    def __init__(self, colours: torch.Tensor, deviations: tuple[float, float, float, float]):
        _, *sizes = colours.shape
        axes = [
            torch.arange(size, device=colours.device) / deviation
            for size, deviation in zip(sizes, deviations[:3], strict=True)
        ]
        places = torch.meshgrid(*axes, indexing="ij")  # t, y, x, (T, H, W) each
        features = torch.stack([*places, *(colours / deviations[3])], dim=-1)
        self._lattice = PermutohedralLattice(features.flatten(0, 2))
        self._scale = self._lattice.filter(features.new_ones(self._lattice.num_points, 1)).rsqrt_()  # (T H W, 1)

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """(K, T, H, W) -> (K, T, H, W)."""
        points = values.flatten(1).T * self._scale  # (T H W, K)
        return (self._lattice.filter(points) * self._scale).T.reshape(values.shape)


class SmoothnessKernel:
    """Symmetrically normalised Gaussian over space and time; separable, so that it is normalised per axis.

    Args:
        sizes: (T, H, W).
        deviations: (t, y, x), in frames and pixels.
    """

    def __init__(self, sizes: Sequence[int], deviations: tuple[float, float, float], device: torch.device):
        self._taps, self._scales = [], []
        for axis, (size, deviation) in enumerate(zip(sizes, deviations, strict=True), start=1):
            reach = min(math.ceil(GAUSSIAN_REACH * deviation), size - 1)
            self._taps.append([math.exp(-0.5 * (distance / deviation) ** 2) for distance in range(reach + 1)])
            ones = torch.ones([1, *(size if at == axis else 1 for at in (1, 2, 3))], device=device)
            self._scales.append(_convolved(ones, self._taps[-1], axis).rsqrt_())

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """(K, T, H, W) -> (K, T, H, W)."""
        for axis, (taps, scale) in enumerate(zip(self._taps, self._scales, strict=True), start=1):
            values = _convolved(values * scale, taps, axis) * scale
        return values


def _convolved(values: torch.Tensor, taps: list[float], axis: int) -> torch.Tensor:
    """Sum over neighbours along `axis`, `taps[n]` for those n away on both sides; outside is zero."""
    size = values.shape[axis]
    total = values * taps[0]
    for distance, tap in enumerate(taps[1:], start=1):
        inner = size - distance
        total.narrow(axis, 0, inner).add_(values.narrow(axis, distance, inner), alpha=tap)
        total.narrow(axis, distance, inner).add_(values.narrow(axis, 0, inner), alpha=tap)
    return total


def _kernels(
    colours: torch.Tensor, settings: DenseCrfSettings, full_size: tuple[int, int]
) -> list[tuple[float, Callable[[torch.Tensor], torch.Tensor]]]:
    """The kernels that have a weight, for `colours` (3, t, h, w) that were averaged down from frames of `full_size`."""
    _, *sizes = colours.shape
    down, across = sizes[1] / full_size[0], sizes[2] / full_size[1]
    kernels = []
    if settings.appearance_weight:
        space, time, colour = settings.appearance_space, settings.appearance_time, settings.appearance_colour
        kernel = AppearanceKernel(colours, (time, space * down, space * across, colour))
        kernels.append((settings.appearance_weight, kernel))
    if settings.smoothness_weight:
        space, time = settings.smoothness_space, settings.smoothness_time
        kernel = SmoothnessKernel(sizes, (time, space * down, space * across), colours.device)
        kernels.append((settings.smoothness_weight, kernel))
    return kernels


def _averaged(values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(C, t, H, W) averaged down to (C, t, h, w); unchanged if that is its size."""
    return values if values.shape[2:] == size else interpolate(values, size, mode="area")


def _logit(probability: torch.Tensor) -> torch.Tensor:
    return torch.logit(probability, eps=CERTAINTY)


def _cross_fade(length: int, overlap: int, device: torch.device) -> torch.Tensor:
    """(length,) weights of a window's frames: rising over the overlap at one end, falling at the other, never zero."""
    place = torch.arange(1, length + 1, device=device)
    return torch.minimum(place, place.flip(0)).clamp(max=overlap + 1).float()


def _check_arguments(probability: torch.Tensor, frames: torch.Tensor) -> None:
    for name, tensor in (("foreground_probability", probability), ("frames", frames)):
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")
    if not probability.is_floating_point():
        raise TypeError(f"foreground_probability must be floating point in [0, 1], got {probability.dtype}")
    if frames.dtype != torch.uint8:
        raise TypeError(f"frames must be uint8 RGB, got {frames.dtype}")
    if probability.dim() != 4 or not probability.numel():
        raise ValueError(
            f"foreground_probability must be (masks, frames, height, width), none of them 0, got {tuple(probability.shape)}"
        )
    if tuple(frames.shape) != (*probability.shape[1:], 3):
        raise ValueError(f"frames must be {(*probability.shape[1:], 3)} as the masks, got {tuple(frames.shape)}")
    low, high = probability.aminmax()
    if not (low >= 0 and high <= 1):  # NaN is neither
        raise ValueError(f"foreground_probability must lie in [0, 1], got values from {low.item()} to {high.item()}")
