"""Perceptual distances grow with damage, give gradients to the reconstruction alone, and look at the frames they should."""

import importlib.util
import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pyratok import PyraTokError, read_video
from pyratok.modeling_pyratok.pixel_values import frames_to_values, values_to_frames
from pyratok.training.frame_choice import spread_frames
from pyratok.training.perceptual_distance import PerceptualDistance, perceptual_distance

OFFLINE = ("st-lpips", "efficientnet-lite0")


@pytest.fixture(scope="module", params=OFFLINE)
def distance(request) -> PerceptualDistance:
    return perceptual_distance(request.param)


def real_clip(clips, name: str, frames: int = 2) -> torch.Tensor:
    """(1, T, 3, 96, 128) in [-1, 1]."""
    return frames_to_values(read_video(clips[name], max_frames=frames)[0])[None, ..., 16:112, 64:192]


def blurred(clip: torch.Tensor, strength: int) -> torch.Tensor:
    for _ in range(strength):
        clip = F.avg_pool2d(F.pad(clip.flatten(0, 1), (1, 1, 1, 1), mode="replicate"), 3, 1).view_as(clip)
    return clip


def noisy(clip: torch.Tensor, strength: float) -> torch.Tensor:
    return clip + strength * torch.randn(clip.shape, generator=torch.Generator().manual_seed(0))


def jpeg(clip: torch.Tensor, quality: int) -> torch.Tensor:
    frames = []
    for frame in values_to_frames(clip[0]).numpy():
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=quality)
        frames.append(np.array(Image.open(file)))
    return frames_to_values(torch.from_numpy(np.stack(frames)))[None]


@pytest.mark.parametrize("name", ["bunny", "city", "dog", "earth", "park"])
@pytest.mark.parametrize(
    ("damage", "strengths"), [(blurred, (1, 3, 9)), (noisy, (0.03, 0.1, 0.3)), (jpeg, (90, 50, 10))]
)
def test_more_damage_is_further_away(clips, distance, name, damage, strengths):
    clip = real_clip(clips, name)
    with torch.no_grad():
        assert distance(clip, clip).item() == 0
        light, middle, heavy = (distance(damage(clip, strength), clip).item() for strength in strengths)
    assert 0 < light < middle < heavy


def test_it_is_the_mean_over_frames(clips, distance):
    clip = torch.cat([real_clip(clips, "dog"), real_clip(clips, "city")])
    damaged = noisy(clip, 0.1)
    with torch.no_grad():
        singles = [
            distance(damaged[b : b + 1, t : t + 1], clip[b : b + 1, t : t + 1]) for b in range(2) for t in range(2)
        ]
        whole = distance(damaged, clip)
    torch.testing.assert_close(whole, torch.stack(singles).mean())
    assert whole.shape == ()


def test_the_gradient_goes_to_the_reconstruction_alone(clips, distance):
    target = real_clip(clips, "city").requires_grad_()
    reconstruction = noisy(target.detach(), 0.1).requires_grad_()
    distance(reconstruction, target).backward()
    assert target.grad is None
    assert torch.isfinite(reconstruction.grad).all() and reconstruction.grad.abs().amax(dim=(2, 3, 4)).min() > 0
    assert all(weight.grad is None and not weight.requires_grad for weight in distance.network.parameters())


def test_following_the_gradient_brings_frames_closer(clips, distance):
    target = real_clip(clips, "park")
    reconstruction = noisy(target, 0.2).requires_grad_()
    optimizer = torch.optim.Adam([reconstruction], lr=0.01)
    course = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = distance(reconstruction, target)
        loss.backward()
        optimizer.step()
        course.append(loss.item())
    assert course[-1] < 0.8 * course[0]


def test_it_is_neither_trained_nor_saved(distance):
    assert list(distance.parameters()) == [] and distance.state_dict() == {}
    distance.train()
    assert not any(module.training for module in distance.network.modules())


def test_the_network_moves_along():
    distance = perceptual_distance("efficientnet-lite0").to(torch.float64)
    assert all(weight.dtype == torch.float64 for weight in distance.network.parameters())


def test_autocast_changes_nothing(clips, distance):
    clip = real_clip(clips, "dog")
    damaged = noisy(clip, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        inside = distance(damaged, clip)
        from_half = distance(damaged.bfloat16(), clip.bfloat16())
    assert inside.dtype == from_half.dtype == torch.float32
    assert torch.equal(inside, distance(damaged, clip))


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_small_and_flat_frames_give_finite_gradients(distance, value):
    target = torch.full((2, 3, 3, 32, 32), value)
    for start in (target.clone(), noisy(target, 0.05)):
        start.requires_grad_()
        loss = distance(start, target)
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(start.grad).all()


def test_a_few_frames_stand_for_the_clip():
    distance = perceptual_distance("efficientnet-lite0", frames=2)
    target = torch.zeros(2, 8, 3, 32, 32)

    def frames_with_gradient(generator: torch.Generator | None = None) -> list[int]:
        reconstruction = noisy(target, 0.1).requires_grad_()
        distance(reconstruction, target, generator).backward()
        seen = reconstruction.grad.abs().amax(dim=(2, 3, 4)) > 0  # (B, T)
        assert torch.equal(seen[0], seen[1])
        return seen[0].nonzero().flatten().tolist()

    assert frames_with_gradient() == [2, 6]
    drawn = [frames_with_gradient(torch.Generator().manual_seed(seed)) for seed in (0, 0, *range(1, 8))]
    assert drawn[0] == drawn[1] and len({tuple(frames) for frames in drawn}) > 2
    short = torch.zeros(1, 1, 3, 32, 32)
    assert distance(short + 0.5, short) > 0


@given(length=st.integers(1, 100), share=st.floats(0, 1), seed=st.none() | st.integers(0, 100))
def test_frames_are_spread_evenly(length, share, seed):
    count = max(1, round(share * length))
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    frames = spread_frames(length, count, generator).tolist()
    assert len(frames) == count and all(0 <= frame < length for frame in frames)
    for part, frame in enumerate(frames):
        assert part * length // count <= frame <= (part + 1) * length / count
    if generator is None:
        assert [length - 1 - frame for frame in reversed(frames)] == pytest.approx(frames, abs=1)


def test_what_cannot_be_had_is_refused(distance):
    with pytest.raises(PyraTokError, match="'vgg'; choose one of st-lpips, efficientnet-lite0, lpips"):
        perceptual_distance("vgg")
    with pytest.raises(PyraTokError, match="frames=0"):
        perceptual_distance("st-lpips", frames=0)
    clip = torch.zeros(1, 2, 3, 32, 32)
    with pytest.raises(ValueError, match="of one shape"):
        distance(clip, clip[:, :1])
    with pytest.raises(ValueError, match="of one shape"):
        distance(clip[0], clip[0])


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="torchvision is there")
def test_lpips_says_what_it_needs():
    with pytest.raises(PyraTokError, match="needs the torchvision that belongs.*choose st-lpips"):
        perceptual_distance("lpips")
