"""Refined masks against mean field with all pairs written out, on any size, and on a clip that has to get better."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pyratok.modeling_pyratok.dense_crf import (
    AppearanceKernel,
    DenseCrfSettings,
    SmoothnessKernel,
    frame_windows,
    mean_field,
    refine_masks,
    working_size,
)

SMALL = DenseCrfSettings(
    appearance_space=3, appearance_time=2, appearance_colour=40, appearance_weight=2, smoothness_weight=1, iterations=4
)


def random_clip(masks: int, frames: int, height: int, width: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random probabilities (K, T, H, W) and random frames (T, H, W, 3)."""
    generator = torch.Generator().manual_seed(seed)
    probability = torch.rand(masks, frames, height, width, generator=generator)
    return probability, torch.randint(0, 256, (frames, height, width, 3), dtype=torch.uint8, generator=generator)


def places(frames: int, height: int, width: int) -> torch.Tensor:
    """(N, 3): t, y, x of every pixel, float64."""
    return torch.cartesian_prod(*(torch.arange(size, dtype=torch.float64) for size in (frames, height, width)))


def gaussian(features: torch.Tensor) -> torch.Tensor:
    """(N, N) of all pairs, normalised symmetrically."""
    kernel = torch.exp(-(features[:, None] - features[None]).square().sum(-1) / 2)
    sums = kernel.sum(1)
    return kernel / (sums[:, None] * sums[None]).sqrt()


def mean_field_of_labels(probability: torch.Tensor, kernel: torch.Tensor, iterations: int) -> torch.Tensor:
    """(N,) -> (N,): mean field as in the paper, with two labels, energies and the Potts model; all pairs in one matrix."""
    unary = -torch.stack([1 - probability, probability], dim=1).double().clamp(1e-4, 1 - 1e-4).log()  # (N, 2)
    belief = torch.softmax(-unary, dim=1)
    potts = 1 - torch.eye(2, dtype=torch.float64)
    for _ in range(iterations):
        belief = torch.softmax(-unary - kernel @ belief @ potts, dim=1)
    return belief[:, 1]


def both_kernels(frames: torch.Tensor, settings: DenseCrfSettings) -> torch.Tensor:
    at = places(*frames.shape[:3])
    near = at / torch.tensor([settings.smoothness_time, settings.smoothness_space, settings.smoothness_space])
    like = at / torch.tensor([settings.appearance_time, settings.appearance_space, settings.appearance_space])
    like = torch.cat([like, frames.reshape(-1, 3).double() / settings.appearance_colour], dim=1)
    return settings.appearance_weight * gaussian(like) + settings.smoothness_weight * gaussian(near)


def test_smoothness_is_exact():
    probability, frames = random_clip(1, 3, 5, 6)
    settings = replace(SMALL, appearance_weight=0, smoothness_weight=3, smoothness_space=1.6, smoothness_time=0.9)
    wanted = mean_field_of_labels(probability.flatten(), both_kernels(frames, settings), settings.iterations)
    found = refine_masks(probability, frames, settings)
    torch.testing.assert_close(found.flatten().double(), wanted, rtol=0, atol=2e-5)


def test_smoothness_that_is_cut_off_is_nearly_exact():
    probability, frames = random_clip(1, 1, 20, 20)
    settings = replace(SMALL, appearance_weight=0, smoothness_weight=3, smoothness_space=1.1)
    wanted = mean_field_of_labels(probability.flatten(), both_kernels(frames, settings), settings.iterations)
    found = refine_masks(probability, frames, settings)
    torch.testing.assert_close(found.flatten().double(), wanted, rtol=0, atol=2e-3)


def test_close_to_mean_field_of_all_pairs():
    """With a true Gaussian in the lattice's place: pixels in two colours that vary, and a noisy mask of one of them."""
    generator = torch.Generator().manual_seed(1)
    truth = torch.zeros(4, 12, 14, dtype=torch.bool)
    truth[:, 3:9, 4:11] = True
    colours = torch.where(truth[..., None], 150.0, 90.0) + 12 * torch.randn(4, 12, 14, 3, generator=generator)
    frames = colours.clamp(0, 255).to(torch.uint8)
    probability = torch.sigmoid(truth.float() * 2 - 1 + 1.5 * torch.randn(4, 12, 14, generator=generator))
    wanted = mean_field_of_labels(probability.flatten(), both_kernels(frames, SMALL), SMALL.iterations)
    found = refine_masks(probability[None], frames, SMALL).flatten().double()
    assert torch.corrcoef(torch.stack([found, wanted]))[0, 1] > 0.99
    assert (found - wanted).abs().mean() < 0.03
    assert ((found > 0.5) == (wanted > 0.5)).float().mean() > 0.98


def test_mean_field_is_that_of_two_labels():
    """With the lattice's own kernel, read off by filtering every unit vector, the two forms of mean field are one."""
    probability, frames = random_clip(1, 2, 5, 6)
    size = (2, 5, 6)
    colours = frames.permute(3, 0, 1, 2).float()
    kernels = [AppearanceKernel(colours, (2, 3, 3, 40)), SmoothnessKernel(size, (1, 2, 2), colours.device)]
    units = torch.eye(60).view(60, *size)
    matrices = [kernel(units).flatten(1).double() for kernel in kernels]
    wanted = mean_field_of_labels(probability.flatten(), 2 * matrices[0] + 0.5 * matrices[1], 6)
    logits = torch.logit(probability, eps=1e-4)
    message = mean_field(logits, [(2, kernels[0]), (0.5, kernels[1])], 6)
    torch.testing.assert_close(torch.sigmoid(logits + message).flatten().double(), wanted, rtol=0, atol=2e-5)
    for matrix in matrices:
        torch.testing.assert_close(matrix, matrix.T, rtol=0, atol=1e-6)
        assert torch.linalg.eigvalsh(matrix).max().item() == pytest.approx(1, abs=1e-5)  # symmetric normalisation


def moving_disc(frames: int = 9, height: int = 40, width: int = 56) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A noisy disc of one colour on a background of others: truth (T, H, W), frames, and a mask of coarse noisy cells."""
    generator = torch.Generator().manual_seed(5)
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    truth = torch.stack(
        [(rows - 18).square() + (columns - 16 - 2 * t).square() < 11**2 for t in range(frames)]
    )  # (T, H, W)
    red, green, blue = 60 + 60 * (columns > 30) + rows, 140 - rows, 90 + columns
    background = torch.stack(torch.broadcast_tensors(red, green, blue), dim=-1)  # (H, W, 3)
    colours = torch.where(truth[..., None], torch.tensor([200.0, 60.0, 40.0]), background.float())
    frames = (colours + 6 * torch.randn(colours.shape, generator=generator)).clamp(0, 255).to(torch.uint8)
    cells = torch.nn.functional.avg_pool2d(truth.float(), 8)
    logits = 4 * cells - 2 + 1.5 * torch.randn(cells.shape, generator=generator)
    enlarged = torch.nn.functional.interpolate(logits[:, None], (height, width), mode="bilinear")[:, 0]
    return truth, frames, torch.sigmoid(enlarged)


def jaccard(probability: torch.Tensor, truth: torch.Tensor) -> float:
    found = probability > 0.5
    return ((found & truth).sum() / (found | truth).sum()).item()


@pytest.mark.parametrize("settings", [None, DenseCrfSettings(frame_pixels=600), DenseCrfSettings(window_frames=4)])
def test_noisy_cells_become_the_disc(settings):
    truth, frames, probability = moving_disc()
    refined = refine_masks(probability[None], frames, settings)[0]
    assert jaccard(probability, truth) < 0.6
    assert jaccard(refined, truth) > (0.9 if settings is None or settings.window_frames == 4 else 0.8)


def test_it_is_colour_that_does_it():
    truth, frames, probability = moving_disc()
    smoothed = refine_masks(probability[None], frames, DenseCrfSettings(appearance_weight=0))[0]
    blind = refine_masks(probability[None], torch.full_like(frames, 128))[0]
    assert max(jaccard(smoothed, truth), jaccard(blind, truth)) < 0.8


def test_masks_are_refined_apart():
    probability, frames = random_clip(3, 3, 7, 6)
    together = refine_masks(probability, frames, SMALL)
    alone = torch.cat([refine_masks(one[None], frames, SMALL) for one in probability])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_background_is_refined_like_foreground():
    probability, frames = random_clip(1, 3, 7, 6)
    foreground, background = refine_masks(probability, frames, SMALL), refine_masks(1 - probability, frames, SMALL)
    torch.testing.assert_close(foreground + background, torch.ones_like(foreground), rtol=0, atol=1e-4)


def test_without_weights_nothing_changes():
    probability, frames = random_clip(2, 3, 9, 8)
    settings = replace(SMALL, appearance_weight=0, smoothness_weight=0, frame_pixels=20, window_frames=2)
    torch.testing.assert_close(refine_masks(probability, frames, settings), probability, rtol=0, atol=2e-4)


def test_a_pixel_like_no_other_is_left_alone():
    """Its kernel is itself alone: what it believes grows, and does not change sides."""
    frames = torch.zeros(1, 5, 5, 3, dtype=torch.uint8)
    frames[0, 2, 2] = 255
    probability = torch.full((1, 1, 5, 5), 0.1)
    probability[0, 0, 2, 2] = 0.6
    refined = refine_masks(probability, frames, replace(SMALL, smoothness_weight=0))[0, 0]
    assert refined[2, 2] > 0.6
    refined[2, 2] = 0
    assert (refined < 0.1).all()


def test_certain_pixels_can_be_overruled():
    frames = torch.full((3, 7, 7, 3), 90, dtype=torch.uint8)
    probability = torch.ones(1, 3, 7, 7)
    probability[0, 1, 3, 3] = 0
    assert (refine_masks(probability, frames, replace(SMALL, smoothness_weight=20)) > 0.5).all()


def test_the_same_bits_every_time():
    probability, frames = random_clip(2, 7, 13, 11)
    settings = replace(SMALL, frame_pixels=60, window_frames=4)
    assert torch.equal(refine_masks(probability, frames, settings), refine_masks(probability, frames, settings))


def test_arguments_stay_and_no_gradient_flows():
    probability, frames = random_clip(1, 2, 5, 5)
    before, frames_before = probability.clone(), frames.clone()
    refined = refine_masks(probability.requires_grad_(), frames, SMALL)
    assert not refined.requires_grad
    assert torch.equal(probability, before) and torch.equal(frames, frames_before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    probability, frames = random_clip(1, 2, 5, 5)
    refined = refine_masks(probability.to(dtype), frames, SMALL)
    assert refined.dtype == torch.float32
    torch.testing.assert_close(refined, refine_masks(probability.to(dtype).float(), frames, SMALL))


def test_large_frames_are_worked_on_small():
    """Every pixel four times over, at twice the deviations, is the small video where the message is not interpolated."""
    probability, frames = random_clip(1, 3, 8, 10)
    probability = torch.nn.functional.avg_pool2d(probability, 3, 1, 1)
    twice = [
        probability.repeat_interleave(2, 2).repeat_interleave(2, 3),
        frames.repeat_interleave(2, 1).repeat_interleave(2, 2),
    ]
    settings = replace(SMALL, frame_pixels=80)
    doubled = replace(settings, appearance_space=6, smoothness_space=2 * SMALL.smoothness_space)
    small, large = refine_masks(probability, frames, settings), refine_masks(*twice, doubled)
    message = torch.logit(small) - torch.logit(probability)
    enlarged = torch.nn.functional.interpolate(message, (16, 20), mode="bilinear")
    torch.testing.assert_close(torch.logit(large) - torch.logit(twice[0]), enlarged, rtol=0, atol=1e-3)


def test_windows_are_blended():
    """On a clip that stands still windows agree with the whole, and their seams do not show."""
    probability, frames = random_clip(1, 1, 8, 8)
    probability, frames = probability.expand(1, 24, 8, 8), frames.expand(24, 8, 8, 3)
    settings = replace(SMALL, window_frames=12)
    seen = []
    windowed = refine_masks(probability, frames, settings, progress=lambda windows: seen.extend(windows) or windows)
    whole = refine_masks(probability, frames, replace(settings, window_frames=24))
    assert seen == frame_windows(24, 12, settings.overlap_frames) and len(seen) == 3
    assert (windowed - whole).abs().max() < 0.1
    assert (windowed[:, 1:] - windowed[:, :-1]).abs().max() < 0.1


def test_windows_that_disagree_fade_into_each_other():
    """From foreground to background over a clip of one colour: no frame is far from the one before."""
    settings = replace(SMALL, appearance_time=6, window_frames=12)
    frames = torch.full((18, 6, 6, 3), 90, dtype=torch.uint8)
    probability = torch.linspace(0.6, 0.4, 18)[None, :, None, None].expand(1, 18, 6, 6)
    message = torch.logit(refine_masks(probability, frames, settings)) - torch.logit(probability)
    assert frame_windows(18, 12, settings.overlap_frames) == [range(12), range(6, 18)]
    assert message[0, 5].min() > 1 and message[0, 12].max() < -1
    assert (message[:, 1:] - message[:, :-1]).abs().max() < 0.7


def test_large_frames_are_averaged():
    """A chessboard of two grey levels and of two probabilities is, at half the size, their mean."""
    board = (torch.arange(8)[:, None] + torch.arange(12)) % 2  # (H, W)
    truth = torch.arange(12) // 6  # (W,)
    settings = replace(SMALL, frame_pixels=24, appearance_colour=10)
    frames = (80 + 40 * board + 60 * truth).to(torch.uint8)[None, ..., None].expand(3, -1, -1, 3)
    flat_frames = (100 + 60 * truth).to(torch.uint8).expand(8, 12)[None, ..., None].expand(3, -1, -1, 3)
    flat = (0.3 + 0.4 * truth).expand(1, 3, 8, 12)
    probability = flat + (0.2 * board - 0.1)
    message = torch.logit(refine_masks(probability, frames, settings)) - torch.logit(probability)
    wanted = torch.logit(refine_masks(flat, flat_frames, settings)) - torch.logit(flat)
    torch.testing.assert_close(message, wanted, rtol=0, atol=1e-4)


def test_windows_share_half_of_themselves_at_most():
    assert DenseCrfSettings(appearance_time=5.5, smoothness_time=2, window_frames=20).overlap_frames == 6
    assert DenseCrfSettings(appearance_time=2, smoothness_time=9, window_frames=20).overlap_frames == 9
    assert DenseCrfSettings(appearance_time=100, window_frames=20).overlap_frames == 10
    assert DenseCrfSettings(window_frames=1).overlap_frames == 0


@given(st.integers(1, 300), st.integers(1, 60), st.integers(0, 30))
def test_windows_cover_all_frames(length, window, overlap):
    overlap = min(overlap, window // 2)
    windows = frame_windows(length, window, overlap)
    assert windows[0].start == 0 and windows[-1].stop == length
    assert all(len(one) == min(window, length) for one in windows)
    assert all(b.start <= a.stop - overlap and b.start > a.start for a, b in zip(windows, windows[1:], strict=False))


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 10**6))
def test_working_size_is_small_enough(height, width, frame_pixels):
    small_height, small_width = working_size(height, width, frame_pixels)
    assert 1 <= small_height <= height and 1 <= small_width <= width
    assert small_height * small_width <= frame_pixels
    if height * width <= frame_pixels:
        assert (small_height, small_width) == (height, width)


@hypothesis_settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 12), st.integers(1, 12)),
    st.integers(1, 200),
    st.integers(1, 10),
    st.floats(0.05, 100),
    st.floats(0, 100),
)
def test_any_size(size, frame_pixels, window_frames, deviation, weight):
    probability, frames = random_clip(*size)
    settings = DenseCrfSettings(
        appearance_space=deviation,
        smoothness_space=deviation,
        smoothness_time=deviation,
        appearance_weight=weight,
        smoothness_weight=weight,
        frame_pixels=frame_pixels,
        window_frames=window_frames,
    )
    refined = refine_masks(probability, frames, settings)
    assert refined.shape == size and refined.dtype == torch.float32
    assert ((refined >= 0) & (refined <= 1)).all()


@pytest.mark.parametrize("extreme", [0.0, 1.0])
def test_extreme_masks_stay(extreme):
    _, frames = random_clip(1, 3, 6, 6)
    refined = refine_masks(torch.full((1, 3, 6, 6), extreme), frames)
    assert (refined - extreme).abs().max() < 1e-3


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"probability": [[0.5]]}, TypeError, "foreground_probability must be a tensor, got list"),
        ({"frames": "clip.mp4"}, TypeError, "frames must be a tensor, got str"),
        ({"probability": torch.ones(1, 2, 3, 4, dtype=torch.bool)}, TypeError, "torch.bool"),
        ({"frames": torch.zeros(2, 3, 4, 3)}, TypeError, "uint8 RGB, got torch.float32"),
        (
            {"probability": torch.zeros(2, 3, 4)},
            ValueError,
            r"none of them 0, got \(2, 3, 4\)",
        ),
        ({"probability": torch.zeros(0, 2, 3, 4)}, ValueError, r"got \(0, 2, 3, 4\)"),
        (
            {"frames": torch.zeros(2, 3, 5, 3, dtype=torch.uint8)},
            ValueError,
            r"must be \(2, 3, 4, 3\) as .* \(2, 3, 5, 3\)",
        ),
        ({"frames": torch.zeros(2, 3, 4, dtype=torch.uint8)}, ValueError, r"got \(2, 3, 4\)"),
        ({"probability": torch.full((1, 2, 3, 4), 1.5)}, ValueError, "from 1.5 to 1.5"),
        ({"probability": torch.full((1, 2, 3, 4), -0.5)}, ValueError, "from -0.5"),
        ({"probability": torch.full((1, 2, 3, 4), math.nan)}, ValueError, "nan"),
    ],
)
def test_wrong_arguments(change, error, message):
    given = {"probability": torch.zeros(1, 2, 3, 4), "frames": torch.zeros(2, 3, 4, 3, dtype=torch.uint8)} | change
    with pytest.raises(error, match=message):
        refine_masks(given["probability"], given["frames"])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"appearance_space": 0}, ValueError, "appearance_space is a standard deviation and must be positive, got 0"),
        ({"appearance_colour": -1.0}, ValueError, "appearance_colour must be finite and not negative, got -1.0"),
        ({"smoothness_time": math.inf}, ValueError, "smoothness_time must be finite"),
        ({"appearance_weight": -2}, ValueError, "appearance_weight"),
        ({"smoothness_weight": math.nan}, ValueError, "smoothness_weight"),
        ({"iterations": 0}, ValueError, "iterations must be 1 or more, got 0"),
        ({"iterations": 2.5}, TypeError, "iterations must be an int, got 2.5"),
        ({"window_frames": 0}, ValueError, "window_frames"),
        ({"frame_pixels": True}, TypeError, "frame_pixels must be an int, got True"),
        ({"appearance_space": "30"}, TypeError, "appearance_space must be a number, got '30'"),
    ],
)
def test_wrong_settings(change, error, message):
    with pytest.raises(error, match=message):
        DenseCrfSettings(**change)


def test_deviations_too_small_for_the_lattice():
    probability, frames = random_clip(1, 2, 30, 30)
    with pytest.raises(ValueError, match="use larger standard deviations"):
        refine_masks(probability, frames, replace(SMALL, appearance_space=1e-7))
