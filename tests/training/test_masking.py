"""Masks are pure functions of a clip's seed."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from pyratok.training.masking import apply_masks, clip_mask

seeds = st.integers(0, 2**62)
sizes = st.integers(1, 50)


@given(seeds, st.integers(1, 20), sizes, sizes)
def test_the_given_share_of_frames_is_masked_and_a_seed_repeats(seed, frames, height, width):
    mask = clip_mask(seed, frames, height, width)
    assert mask.shape == (frames, height, width)
    assert mask.flatten(1).any(1).sum() <= round(0.3 * frames)
    assert torch.equal(mask, clip_mask(seed, frames, height, width))


@given(seeds, st.integers(1, 20))
def test_a_frame_that_is_chosen_hides_at_least_one_of_many_patches(seed, frames):
    mask = clip_mask(seed, frames, 64, 64, frame_share=1.0, patch=2)
    assert mask.flatten(1).any(1).sum() >= frames - 1  # the share is close to none for one frame in a thousand
    assert not clip_mask(seed, frames, 64, 64, frame_share=0.0).any()


def test_hidden_patches_follow_the_cosine_schedule():
    mask = clip_mask(0, 2000, 32, 32, frame_share=1.0, patch=2)
    assert abs(mask.float().mean() - 2 / torch.pi) < 0.03


@given(seeds, seeds)
def test_a_clip_is_masked_alike_in_any_batch_and_keeps_what_is_not_hidden(first, second):
    values = torch.rand(2, 9, 3, 20, 35) + 0.1
    masked = apply_masks(values, (first, second))
    assert torch.equal(masked[1:], apply_masks(values[1:], (second,)))
    hidden = clip_mask(second, 9, 20, 35).unsqueeze(1).expand(-1, 3, -1, -1)
    assert (masked[1][hidden] == 0).all() and torch.equal(masked[1][~hidden], values[1][~hidden])
