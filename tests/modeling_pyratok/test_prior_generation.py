"""Drawing tokens: with and without cache, alone and in a batch, from the start and from a given beginning."""

from types import SimpleNamespace

import pytest
import torch

from pyratok import PyraTokPrior, PyraTokPriorConfig
from pyratok.modeling_pyratok.bit_group_head import CodeChoice
from pyratok.modeling_pyratok.prior_generation import GenerationRequest, generate_codes

SIZE = (5, 32, 32)
TEXT = torch.randn(2, 4, 12, generator=torch.Generator().manual_seed(1))
MASK = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]])
CHOICES = [CodeChoice(), CodeChoice(0.7, top_k=3, top_p=0.9, guidance_scale=2.5), CodeChoice(0)]


@pytest.fixture(scope="module")
def prior() -> PyraTokPrior:
    torch.manual_seed(0)
    prior = PyraTokPrior(PyraTokPriorConfig.tiny()).eval()
    for layer in prior.head.to_logits:  # else every value is about as likely, and text makes little difference
        torch.nn.init.normal_(layer.weight, std=3)
    return prior


def generators(count: int = 2) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def same(one, other) -> bool:
    return all(torch.equal(first, second) for first, second in zip(one, other, strict=True))


@pytest.mark.parametrize("choice", CHOICES)
def test_cached_is_uncached_and_a_batch_is_its_videos(prior, choice):
    codes = generate_codes(prior, GenerationRequest(SIZE, 2, TEXT, MASK), choice, generators())
    assert [tuple(level.shape) for level in codes] == [(2, 3, 4, 4), (2, 2, 4, 4), (2, 2, 2, 2), (2, 2, 1, 1)]
    uncached = generate_codes(prior, GenerationRequest(SIZE, 2, TEXT, MASK, use_cache=False), choice, generators())
    assert same(codes, uncached)
    single = generate_codes(prior, GenerationRequest(SIZE, 1, TEXT[1:], MASK[1:]), choice, generators()[1:])
    assert same([level[1:] for level in codes], single)


def test_seeds_repeat_and_differ(prior):
    request = GenerationRequest(SIZE)
    one, again, other = (
        generate_codes(prior, request, generator=torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    assert same(one, again) and not same(one, other)


def test_tokens_follow_the_probabilities_of_the_prior(prior):
    """The first token, drawn many times, is distributed as the prior says."""
    count = 4000
    request = GenerationRequest((1, 8, 8), count)
    codes = generate_codes(prior, request, generator=torch.Generator().manual_seed(0))
    first = codes[3].flatten()
    value, times = first.unique(return_counts=True)
    likely = value[times.argmax()]
    given = [level[first == likely][:1] for level in codes]
    probability = float(prior(given, (1, 8, 8)).log_probabilities[3].exp())
    spread = (probability * (1 - probability) / count) ** 0.5
    assert abs(float(times.max()) / count - probability) < 5 * spread


def test_guidance_changes_what_is_drawn_and_text_is_needed_for_it(prior):
    request = GenerationRequest(SIZE, 2, TEXT, MASK)
    plain = generate_codes(prior, request, CodeChoice(), generators())
    guided = generate_codes(prior, request, CodeChoice(guidance_scale=4.0), generators())
    assert not same(plain, guided)
    free = GenerationRequest(SIZE, 2)
    alike = [generate_codes(prior, free, CodeChoice(guidance_scale=scale), generators()) for scale in (1.0, 4.0)]
    assert same(*alike)


@pytest.mark.parametrize("known_frames", [(1, 1, 1, 1), (2, 1, 2, 0), (3, 2, 2, 2)])
def test_a_beginning_is_kept_and_gone_on_from(prior, known_frames):
    start = generate_codes(prior, GenerationRequest(SIZE, 2), CodeChoice(), generators())
    known = [level[:, :frames] for level, frames in zip(start, known_frames, strict=True)]
    longer = (9, *SIZE[1:])
    codes = generate_codes(prior, GenerationRequest(longer, 2, known=known), CodeChoice(), generators())
    assert codes[0].shape[1] == 5
    assert all(torch.equal(level[:, : part.shape[1]], part) for level, part in zip(codes, known, strict=True))
    uncached = GenerationRequest(longer, 2, known=known, use_cache=False)
    assert same(codes, generate_codes(prior, uncached, CodeChoice(), generators()))


def test_a_hook_that_moves_the_model_is_called(prior):
    calls = []
    prior._hf_hook = SimpleNamespace(pre_forward=calls.append)
    try:
        generate_codes(prior, GenerationRequest((1, 8, 8)))
    finally:
        del prior._hf_hook
    assert calls == [prior]


def test_levels_are_reported_as_they_are_complete(prior):
    seen = []
    codes = generate_codes(
        prior,
        GenerationRequest(SIZE),
        generator=torch.Generator().manual_seed(0),
        on_level=lambda level, so_far: seen.append((level, so_far)),
        progress=lambda tokens, count: list(tokens)[:count],
    )
    assert [level for level, _ in seen] == [4, 3, 2, 1]
    assert [entry is not None for entry in seen[1][1]] == [False, False, True, True]
    assert torch.equal(seen[1][1][2], codes[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"guidance_scale": float("nan")}, "guidance_scale"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
    ],
)
def test_choices_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        CodeChoice(**options)


def test_what_does_not_fit_is_refused(prior):
    with pytest.raises(ValueError, match="one for each of 2 videos; got 3"):
        generate_codes(prior, GenerationRequest(SIZE, 2), CodeChoice(), generators(3))
    with pytest.raises(ValueError, match="known codes of level 1 must be"):
        generate_codes(prior, GenerationRequest(SIZE, 1, known=[torch.zeros(1, 9, 4, 4).long(), None, None, None]))
    with pytest.raises(ValueError, match="one entry per level"):
        generate_codes(prior, GenerationRequest(SIZE, 1, known=[None]))


def test_truncation_leaves_the_most_likely():
    logits = torch.tensor([[0.0, 3.0, 1.0, 2.0]]).expand(1000, -1)
    uniform = torch.linspace(0, 0.999, 1000)
    assert CodeChoice(top_k=2).pick(logits, uniform).unique().tolist() == [1, 3]
    assert CodeChoice(top_p=0.5).pick(logits, uniform).unique().tolist() == [1]
    assert CodeChoice(0).pick(logits, uniform).unique().tolist() == [1]
    shares = CodeChoice().pick(logits, uniform).bincount(minlength=4) / 1000
    torch.testing.assert_close(shares, logits[0].softmax(-1), atol=0.003, rtol=0)
