"""The figures of a reconstruction: against numpy, in pieces, merged over clips."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyratok.modeling_pyratok.reconstruction_metrics import ClipMetrics, CodeUse, DatasetMetrics, frame_ssim, psnr_of


def clips(frames: int = 5, size: tuple[int, int] = (20, 24), seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A clip (T, 3, H, W) in [0, 1] and a noisy copy, noisier from frame to frame."""
    generator = torch.Generator().manual_seed(seed)
    original = torch.rand(frames, 3, *size, generator=generator)
    noise = torch.randn(original.shape, generator=generator) * torch.linspace(0.02, 0.2, frames).view(-1, 1, 1, 1)
    return original, (original + noise).clamp(0, 1)


def mean_difference(reconstruction: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    """In the place of a perceptual distance: (B, T, C, H, W) in [-1, 1] to the mean over frames."""
    assert reconstruction.shape == original.shape and reconstruction.ndim == 5
    assert original.min() < -0.5 and original.max() <= 1
    return (reconstruction - original).abs().mean(dim=(2, 3, 4)).mean()


def test_psnr_both_ways_is_that_of_numpy():
    original, copy = clips()
    metrics = ClipMetrics(num_levels=1, codebook_bits=4)
    metrics.update_frames(original, copy)
    report = metrics.report()
    errors = ((original.double() - copy.double()).numpy() ** 2).mean(axis=(1, 2, 3))
    assert report.psnr_clip == pytest.approx(-10 * np.log10(errors.mean()), abs=1e-5)
    assert report.psnr_frames == pytest.approx((-10 * np.log10(errors)).mean(), abs=1e-5)
    assert report.psnr_frames > report.psnr_clip


def test_ssim_is_the_mean_over_frames_of_a_direct_computation():
    original, copy = clips()
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2

    def blur(image: np.ndarray) -> np.ndarray:
        padded = np.pad(image, ((0, 0), (5, 5), (5, 5)), mode="reflect")
        views = np.lib.stride_tricks.sliding_window_view(padded, (11, 11), axis=(1, 2))
        return (views * window).sum(axis=(-2, -1))

    def ssim(a: np.ndarray, b: np.ndarray) -> float:
        mean_a, mean_b = blur(a), blur(b)
        var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
        covariance = blur(a * b) - mean_a * mean_b
        top = (2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)
        return (top / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4))).mean()

    expected = [ssim(a, b) for a, b in zip(original.double().numpy(), copy.double().numpy(), strict=True)]
    assert frame_ssim(original, copy).tolist() == pytest.approx(expected, abs=1e-4)


def test_an_exact_copy_has_a_psnr_of_120_and_an_ssim_of_one():
    original, _ = clips()
    metrics = ClipMetrics(1, 4)
    metrics.update_frames(original, original.clone())
    report = metrics.report()
    assert report.psnr_clip == report.psnr_frames == 120 == psnr_of(0)
    assert report.ssim == pytest.approx(1)


def test_one_black_frame_that_comes_back_exactly_leaves_the_mean_finite():
    original, copy = clips()
    original[0] = copy[0] = 0
    metrics = ClipMetrics(1, 4)
    metrics.update_frames(original, copy)
    errors = ((original[1:].double() - copy[1:].double()).numpy() ** 2).mean(axis=(1, 2, 3))
    assert metrics.report().psnr_frames == pytest.approx((120 - 10 * np.log10(errors).sum()) / 5, abs=1e-4)


def test_the_psnr_of_no_number_is_none():
    assert math.isnan(psnr_of(math.nan))


@pytest.mark.parametrize(("size", "is_defined"), [((5, 40), False), ((40, 5), False), ((6, 6), True), ((1, 1), False)])
def test_ssim_of_very_small_frames_is_nan_and_nothing_fails(size, is_defined):
    original, copy = clips(2, size)
    metrics = ClipMetrics(1, 4)
    metrics.update_frames(original, copy)
    assert math.isnan(metrics.report().ssim) is not is_defined


def test_pieces_give_the_figures_of_the_whole():
    original, copy = clips(9)
    codes = torch.randint(0, 16, (1, 9, 2, 3), generator=torch.Generator().manual_seed(1))
    whole, pieces = ClipMetrics(1, 4, mean_difference), ClipMetrics(1, 4, mean_difference)
    whole.update_frames(original, copy)
    whole.update_codes((codes,))
    for start, end in ((0, 1), (1, 5), (5, 9)):
        pieces.update_frames(original[start:end], copy[start:end])
        pieces.update_codes((codes[:, start:end],))
    for name, value in vars(whole.report()).items():
        assert vars(pieces.report())[name] == pytest.approx(value)


def test_bits_per_pixel_counts_stored_tokens_over_true_pixels():
    metrics = ClipMetrics(num_levels=3, codebook_bits=10)
    original, copy = clips(4, (10, 15))
    metrics.update_frames(original, copy)
    metrics.update_codes((torch.zeros(1, 2, 2, 2).long(), None, torch.ones(1, 2, 1, 1).long()))
    report = metrics.report()
    assert report.tokens_per_level == (8, 0, 2)
    assert report.bits_per_pixel == pytest.approx(10 * 10 / (4 * 10 * 15))
    assert report.code_use[0] == 1 / 8 and math.isnan(report.code_use[1]) and report.code_use[2] == 1 / 2


def test_share_of_codes_is_out_of_the_smaller_of_codes_and_tokens():
    use = CodeUse(num_levels=2, codebook_bits=2)
    use.update((torch.tensor([0, 1, 1, 0, 3, 3, 3]), torch.tensor([2, 2])))
    assert use.shares == (3 / 4, 1 / 2)
    use.update((torch.tensor([2]), torch.tensor([2, 0])))
    assert use.shares == (1.0, 2 / 4)


def perplexity(counts: list[int]) -> float:
    shares = np.array(counts) / sum(counts)
    return np.exp(-(shares * np.log(shares)).sum())


@given(st.lists(st.lists(st.integers(0, 7), max_size=20), min_size=1, max_size=4))
def test_perplexity_is_that_of_all_codes_together_however_they_come(parts):
    use, merged = CodeUse(num_levels=1, codebook_bits=3), CodeUse(num_levels=1, codebook_bits=3)
    for part in parts:
        use.update((torch.tensor(part, dtype=torch.long),))
        other = CodeUse(num_levels=1, codebook_bits=3)
        other.update((torch.tensor(part, dtype=torch.long),))
        merged.merge(other)
    codes = sum(parts, [])
    assert use.tokens_per_level == merged.tokens_per_level == (len(codes),)
    expected = perplexity(list(Counter(codes).values())) if codes else math.nan
    assert use.perplexities == pytest.approx((expected,), nan_ok=True)
    assert merged.perplexities == pytest.approx((expected,), nan_ok=True)


def test_perplexity_of_constant_and_of_even_codes():
    use = CodeUse(num_levels=3, codebook_bits=4)
    use.update((torch.full((5, 3), 7), torch.arange(16).repeat(3), None))
    assert use.perplexities[:2] == pytest.approx((1, 16))
    assert math.isnan(use.perplexities[2])


def test_a_perceptual_distance_is_the_mean_over_frames_and_nan_without_one():
    original, copy = clips(9)
    metrics, without = ClipMetrics(1, 4, mean_difference), ClipMetrics(1, 4)
    for start, end in ((0, 1), (1, 9)):
        metrics.update_frames(original[start:end], copy[start:end])
        without.update_frames(original[start:end], copy[start:end])
    assert metrics.report().perceptual_distance == pytest.approx(2 * (original - copy).abs().mean().item(), rel=1e-5)
    assert math.isnan(without.report().perceptual_distance)


def test_codes_of_many_bits_need_no_table_of_all_codes():
    use = CodeUse(num_levels=1, codebook_bits=62)
    use.update((torch.tensor([2**62 - 1, 0, 0]),))
    assert use.shares == (2 / 3,)


def test_a_data_set_is_the_mean_over_clips_with_codes_pooled():
    parts = []
    for seed in range(3):
        clip = ClipMetrics(1, 4, mean_difference)
        clip.update_frames(*clips(2 + seed, seed=seed))
        clip.update_codes((torch.tensor([seed, seed, 0]),))
        parts.append(clip)
    total, first, rest = DatasetMetrics(1, 4), DatasetMetrics(1, 4), DatasetMetrics(1, 4)
    for clip in parts:
        total.add(clip)
    first.add(parts[0])
    rest.add(parts[1])
    rest.add(parts[2])
    first.merge(rest)
    report = total.report()
    for name, value in vars(report).items():
        assert vars(first.report())[name] == pytest.approx(value), name
    assert (report.clips, report.frames, report.tokens_per_level) == (3, 9, (9,))
    assert report.psnr_clip == pytest.approx(np.mean([clip.report().psnr_clip for clip in parts]))
    assert report.perceptual_distance == pytest.approx(np.mean([clip.report().perceptual_distance for clip in parts]))
    assert report.code_use == (3 / 9,)
    assert report.perplexity == pytest.approx((perplexity([5, 2, 2]),))
    assert report.bits_per_pixel == pytest.approx(9 * 4 / (9 * 20 * 24))


def test_what_does_not_fit_is_refused():
    original, copy = clips()
    metrics = ClipMetrics(2, 4)
    with pytest.raises(ValueError, match="without frames"):
        metrics.report()
    with pytest.raises(ValueError, match="one shape"):
        metrics.update_frames(original, copy[:2])
    metrics.update_frames(original, copy)
    with pytest.raises(ValueError, match="one size"):
        metrics.update_frames(*clips(2, (8, 8)))
    with pytest.raises(ValueError, match="2 levels, got 1"):
        metrics.update_codes((torch.zeros(3).long(),))
    with pytest.raises(ValueError, match="without clips"):
        DatasetMetrics(2, 4).report()
    with pytest.raises(ValueError, match="8 bits"):
        DatasetMetrics(2, 4).merge(DatasetMetrics(2, 8))
