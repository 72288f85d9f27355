"""The Frechet distance: of the whole sets, against the formula with scipy's matrix root, and what it says of small sets."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_examples import smooth_frames, write_clip
from scipy.linalg import sqrtm

from pyratok import PyraTokError, read_video
from pyratok.evaluation.frechet_distance import frechet_distance
from pyratok.evaluation.video_features import EfficientNetFeatures, VideoFeatures


class Colours(VideoFeatures):
    """Six features: the mean of each colour in the first and in the last frame."""

    distance_name, num_features = "Frechet distance (colours)", 6

    def __init__(self):
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        self.seen.extend(clips)
        return torch.cat((clips[:, 0].mean(dim=(2, 3)), clips[:, -1].mean(dim=(2, 3))), dim=1)


def films(count: int, seed: int, shift: float = 0.0, frames: int = 4, size: int = 8) -> list[torch.Tensor]:
    """Float tensors (T, 3, H, W) in [0, 1]; each its own mix of colours."""
    draw = torch.Generator().manual_seed(seed)
    mixes = torch.rand(count, frames, 3, 1, 1, generator=draw) * 0.5 + shift
    return list((mixes + 0.1 * torch.rand(count, frames, 3, size, size, generator=draw)).clamp(0, 1))


def by_the_formula(real: np.ndarray, generated: np.ndarray) -> float:
    """Heusel et al. 2017, with the matrix root itself."""
    means, covariances = zip(
        *((rows.mean(axis=0), np.cov(rows, rowvar=False)) for rows in (real, generated)), strict=True
    )
    root = sqrtm(covariances[0] @ covariances[1]).real
    return float(np.sum((means[0] - means[1]) ** 2) + np.trace(covariances[0] + covariances[1] - 2 * root))


def features(videos: list[torch.Tensor]) -> np.ndarray:
    with torch.no_grad():
        return Colours()(torch.stack(videos) * 2 - 1).double().numpy()


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.4])
def test_it_is_the_formula_of_the_whole_sets(shift):
    real, generated = films(40, 0), films(31, 1, shift)
    result = frechet_distance(Colours(), real, generated, num_frames=4, resolution=8)
    assert result.value == pytest.approx(by_the_formula(features(real), features(generated)), rel=1e-6)
    assert (result.real_videos, result.generated_videos, result.is_singular) == (40, 31, False)
    assert (result.name, result.num_features) == ("Frechet distance (colours)", 6)


def test_batches_change_nothing_and_are_not_averaged():
    real, generated = films(40, 0), films(40, 1, 0.05)
    whole = frechet_distance(Colours(), real, generated, num_frames=4, resolution=8, batch_size=40).value
    for size in (1, 7, 16):
        value = frechet_distance(Colours(), iter(real), iter(generated), 4, 8, batch_size=size).value
        assert value == pytest.approx(whole, rel=1e-6)
    parts = [
        frechet_distance(Colours(), real[start : start + 8], generated[start : start + 8], 4, 8).value
        for start in range(0, 40, 8)
    ]
    assert sum(parts) / 5 > 1.5 * whole


def test_equal_sets_have_distance_zero_and_it_grows_with_the_difference():
    real = films(40, 0)
    values = [frechet_distance(Colours(), real, films(40, 0, shift), 4, 8).value for shift in (0, 0.02, 0.1)]
    assert abs(values[0]) < 1e-9 and values[0] < values[1] < values[2]


def test_real_and_generated_can_be_exchanged():
    real, generated = films(30, 0), films(25, 1, 0.1)
    there, back = (frechet_distance(Colours(), *sets, 4, 8).value for sets in ((real, generated), (generated, real)))
    assert there == pytest.approx(back, rel=1e-6)


@pytest.mark.parametrize(("count", "is_singular"), [(6, True), (7, False)])
def test_a_set_with_too_few_videos_is_said_to_be_singular(count, is_singular):
    """The covariance of n vectors has a rank of n - 1 at most."""
    assert (np.linalg.matrix_rank(np.cov(features(films(count, 0)), rowvar=False)) < 6) == is_singular
    for sets in ((films(count, 0), films(30, 1)), (films(30, 1), films(count, 0))):
        result = frechet_distance(Colours(), *sets, num_frames=4, resolution=8)
        assert (
            result.is_singular is is_singular and json.loads(json.dumps(result.record()))["is_singular"] is is_singular
        )


def test_videos_that_are_short_or_broken_are_named(tmp_path):
    short, broken = films(1, 3, frames=2)[0], tmp_path / "broken.mp4"
    broken.write_bytes(b"no film")
    result = frechet_distance(Colours(), [*films(8, 0), short], [broken, *films(9, 1)], num_frames=4, resolution=8)
    assert (result.real_videos, result.generated_videos) == (8, 9)
    assert result.left_out["real video 9"] == "it has 2 frames, and 4 are taken"
    assert "not a video" in result.left_out[f"generated video 1 ({broken})"]
    assert result.value == frechet_distance(Colours(), films(8, 0), films(9, 1), 4, 8).value
    with pytest.raises(PyraTokError, match="at least two generated videos of 4 frames, got 1; generated video 2"):
        frechet_distance(Colours(), films(8, 0), [*films(1, 1), broken], num_frames=4, resolution=8)
    with pytest.raises(PyraTokError, match="at least two real videos of 4 frames, got 0$"):
        frechet_distance(Colours(), [], films(8, 1), num_frames=4, resolution=8)


def test_frames_are_the_first_ones_scaled_and_cut_in_the_middle(tmp_path):
    path = Path(tmp_path / "wide.mkv")
    frames = smooth_frames(5, 16, 32)
    frames[:, :, :8], frames[:, :, 24:] = 0, 255  # what the square in the middle leaves out
    frames[3:] = 0
    write_clip(path, frames)
    colours = Colours()
    frechet_distance(colours, [path, path], films(2, 0, frames=3, size=20), num_frames=3, resolution=8)
    clip = colours.seen[0]
    assert clip.shape == (3, 3, 8, 8) and clip.min() > -0.9 and clip.max() < 0.9
    inside = torch.from_numpy(frames[:3, :, 8:24].astype(np.float32)).movedim(-1, 1) / 127.5 - 1
    expected = torch.nn.functional.interpolate(inside, (8, 8), mode="bilinear", antialias=True)
    assert (clip - expected)[..., 1:-1].abs().max() < 0.05
    assert colours.seen[2].shape == (3, 3, 8, 8)


def test_videos_of_any_size(tmp_path):
    sizes = [(1, 1), (1, 9), (3, 2), (8, 8)]
    videos = [torch.full((2, 3, *size), 0.1 * index) for index, size in enumerate(sizes)]
    colours = Colours()
    assert frechet_distance(colours, videos, videos, num_frames=2, resolution=5).is_singular
    assert {tuple(clip.shape) for clip in colours.seen} == {(2, 3, 5, 5)}


def test_features_that_are_no_numbers_are_an_error():
    network = Colours()
    network.forward = lambda clips: torch.full((len(clips), 6), float("nan"))
    with pytest.raises(PyraTokError, match="features that are not finite numbers"):
        frechet_distance(network, films(3, 0), films(3, 1), num_frames=4, resolution=8)


def test_progress_goes_through_both_sets():
    shown = []
    frechet_distance(Colours(), films(3, 0), films(4, 1), 4, 8, progress=lambda items: shown.extend(items) or items)
    assert len(shown) == 7


@pytest.mark.parametrize("option", ["num_frames", "resolution", "batch_size"])
def test_wrong_numbers_are_refused(option):
    with pytest.raises(ValueError, match=f"{option} must be at least 1, got 0"):
        frechet_distance(Colours(), [], [], **{option: 0})


def test_the_offline_features_find_damage_further_away(clips):
    """Real clips against themselves with little and with much noise."""
    videos = []
    for path in clips.values():
        frames = read_video(path, max_frames=4)[0].movedim(-1, 1).float() / 255
        videos.extend(frames[..., top : top + 64, left : left + 64] for top in (0, 64) for left in (0, 96, 190))
    draw = torch.Generator().manual_seed(0)
    noise = [torch.randn(video.shape, generator=draw) for video in videos]
    network = EfficientNetFeatures()
    values = []
    for strength in (0.0, 0.02, 0.2):
        damaged = [(video + strength * one).clamp(0, 1) for video, one in zip(videos, noise, strict=True)]
        result = frechet_distance(network, videos, damaged, num_frames=4, resolution=64)
        values.append(result.value)
    assert result.is_singular and result.num_features == 224
    assert abs(values[0]) < 0.01 * values[1] and values[1] < 0.5 * values[2]
