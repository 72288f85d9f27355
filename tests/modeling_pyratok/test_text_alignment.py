"""What compares tokens with captions, and the text terms of Eq. 2."""

import pytest
import torch
import torch.nn.functional as F
from huggingface_hub.errors import StrictDataclassClassValidationError
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModel

from pyratok import PyraTokTextAlignment, PyraTokTextAlignmentConfig
from pyratok.modeling_pyratok.binary_codebook import BinaryCodebook, codes_to_bits, quantize_straight_through
from pyratok.modeling_pyratok.text_alignment import bernoulli_divergence
from pyratok.modeling_pyratok.token_grids import level_grids

STRIDES = ((2, 8), (4, 8), (4, 16))
GRIDS = ((3, 4, 4), (2, 4, 4), (2, 2, 2))
"""Of 5 frames of 32 x 32 pixels."""


@pytest.fixture
def alignment() -> PyraTokTextAlignment:
    torch.manual_seed(0)
    return PyraTokTextAlignment(
        PyraTokTextAlignmentConfig(
            level_strides=STRIDES,
            codebook_bits=6,
            codebook_size=8,
            text_hidden_size=5,
            context_size=16,
            context_layers=2,
        )
    )


def codes(batch: int = 2) -> list[torch.Tensor]:
    return [torch.randint(2**6, (batch, *grid)) for grid in GRIDS]


def logits(batch: int = 2) -> list[torch.Tensor]:
    return [torch.randn(batch, *grid, 6, requires_grad=True) for grid in GRIDS]


def test_videos_and_captions_are_compared_by_their_directions(alignment):
    video, text = codes(), torch.randn(3, 5)
    similar = alignment(video, text)
    assert similar.shape == (2, 3) and similar.abs().max() <= 1
    torch.testing.assert_close(similar, alignment(video, 7 * text))
    one = alignment.embed_video(video, levels=(3,))
    torch.testing.assert_close(one.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(one, alignment.embed_video([None, None, video[2]]))
    with pytest.raises(ValueError, match="at least one level"):
        alignment.embed_video([None, None, None])
    for levels in ((3, 3), (0,), (4,)):
        with pytest.raises(ValueError, match="level"):
            alignment.embed_video(video, levels)
    with pytest.raises(ValueError, match="codebook projection"):
        alignment.share_codebook(BinaryCodebook(6, 9))


def test_the_divergence_is_that_of_bernoulli_variables():
    one, other = torch.randn(4, 3), torch.randn(4, 3)
    p, q = (torch.distributions.Bernoulli(logits=logits) for logits in (one, other))
    torch.testing.assert_close(bernoulli_divergence(one, other), torch.distributions.kl_divergence(p, q).sum(-1))
    assert bernoulli_divergence(torch.full((1, 2), 200.0), torch.full((1, 2), -200.0)).isfinite().all()


def test_the_caption_loss_is_low_for_captions_in_place_and_does_not_count_doubles(alignment):
    videos = torch.randn(2, 5)
    text = videos + 0.1 * torch.randn(2, 5)
    right = alignment.caption_loss(videos, text, text)
    assert right.shape == (2,)
    assert (right < alignment.caption_loss(videos, text.flip(0), text)).all()
    assert alignment.caption_loss(videos[:1], text[:1], 3 * text[:1]).abs() < 1e-5
    torch.testing.assert_close(alignment.caption_loss(videos[:1], text[:1], text), right[:1])
    assert (alignment.caption_loss(videos, text, torch.cat([text, torch.randn(4, 5)])) > right).all()


def test_the_contrastive_loss_is_the_mean_over_each_level_and_all(alignment):
    video, text = codes(), torch.randn(2, 5)
    others = torch.cat([text, torch.randn(3, 5)])
    seen = [alignment.embed_video(video, levels) for levels in ((1,), (2,), (3,), None)]
    expected = torch.stack([alignment.caption_loss(one, text, others) for one in seen]).mean(0)
    bits = [codes_to_bits(level, 6) for level in video]
    torch.testing.assert_close(alignment.contrastive_loss(bits, text, others), expected)


def test_training_finds_the_captions(alignment):
    video, text = codes(6), torch.randn(6, 5)
    bits = [codes_to_bits(level, 6) for level in video]
    optimizer = torch.optim.Adam(alignment.parameters(), 0.02)
    for _ in range(100):
        optimizer.zero_grad()
        alignment.contrastive_loss(bits, text, text).mean().backward()
        optimizer.step()
    assert alignment(video, text).argmax(1).tolist() == list(range(6))


def test_half_precision_captions(alignment):
    pooled = torch.randn(2, 5, dtype=torch.bfloat16)
    assert alignment.text_conditioned_loss(logits(), pooled, 1.0).dtype == torch.float32
    assert alignment.text_codebook_loss(logits(), pooled).dtype == torch.float32


def test_the_text_conditioned_term_moves_tokens_and_not_the_map(alignment):
    pooled, levels = torch.randn(2, 5, requires_grad=True), logits()
    alignment.text_conditioned_loss(levels, pooled, temperature=1.0).sum().backward()
    assert all(level.grad.any() for level in levels)
    assert pooled.grad is None and alignment.caption_to_bits.weight.grad is None
    target = alignment.caption_to_bits(pooled).detach()[:, None, None, None] / 2
    there = [target.expand(*level.shape) for level in levels]
    assert (alignment.text_conditioned_loss(there, pooled, 1.0).abs() < 1e-5).all()


def test_the_text_codebook_term_trains_both_maps_and_the_codebook(alignment):
    levels = logits()
    loss = alignment.text_codebook_loss([quantize_straight_through(level) for level in levels], torch.randn(2, 5))
    loss.sum().backward()
    for layer in (alignment.caption_to_bits, alignment.code_to_bits, alignment.codebook.projection):
        assert layer.weight.grad.any()
    assert all(level.grad is None for level in levels)


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(1, 30), st.integers(1, 60), st.integers(1, 60)),
    levels=st.sets(st.integers(1, 3), min_size=1),
    at_once=st.integers(1, 4),
)
def test_pieces_of_a_stream_are_those_of_the_whole(size, levels, at_once):
    torch.manual_seed(0)
    config = PyraTokTextAlignmentConfig(
        level_strides=STRIDES, codebook_bits=6, codebook_size=8, text_hidden_size=5, context_size=8, context_layers=2
    )
    alignment = PyraTokTextAlignment(config)
    grids = level_grids(size, STRIDES)
    video = [torch.randint(2**6, (1, *grid)) if level in levels else None for level, grid in enumerate(grids, 1)]
    with torch.no_grad():
        whole = alignment.features([None if level is None else codes_to_bits(level, 6) for level in video])
    pieces = list(alignment.feature_stream(video, frames_at_once=at_once))
    assert all(piece.shape[1] == at_once for piece in pieces[:-1])
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, atol=1e-5, rtol=1e-5)
    assert whole.shape == (1, *grids[2], 5)


def test_features_look_around_but_never_ahead(alignment):
    grids = level_grids((29, 64, 64), STRIDES)
    video = [torch.randint(2**6, (1, *grid)) for grid in grids]
    changed = [level.clone() for level in video]
    changed[2][0, 4, 1, 1] ^= 1  # a token of frames 13 to 16
    before, after = (torch.cat(list(alignment.feature_stream(codes)), dim=1) for codes in (video, changed))
    moved = (before != after).any(dim=-1)[0]  # (T', H', W')
    assert not moved[:4].any() and moved[4, 1, 1] and moved[4, 2, 2]
    assert moved[4 + alignment.context.past].any() and not moved[4 + alignment.context.past + 1 :].any()


def test_a_level_that_is_left_out_has_no_influence_and_all_there_are_count(alignment):
    video = codes(1)
    one = alignment.embed_video(video, (1, 3))
    torch.testing.assert_close(one, alignment.embed_video([video[0], None, video[2]]))
    torch.testing.assert_close(one, alignment.embed_video([video[0], codes(1)[1], video[2]], (3, 1)))
    for level in range(3):
        other = [codes(1)[index] if index == level else video[index] for index in range(3)]
        assert not torch.equal(alignment.embed_video(other), alignment.embed_video(video))


def with_vocabulary(names: int) -> PyraTokTextAlignment:
    torch.manual_seed(0)
    config = PyraTokTextAlignmentConfig(
        level_strides=STRIDES,
        codebook_bits=6,
        codebook_size=8,
        text_hidden_size=5,
        context_size=8,
        vocabulary_size=names,
    )
    alignment = PyraTokTextAlignment(config)
    alignment.vocabulary.copy_(torch.randn(names, 5))
    return alignment


def test_the_class_loss_is_the_divergence_from_the_teacher():
    alignment, features = with_vocabulary(7), torch.randn(2, 3, 2, 2, 5, requires_grad=True)
    likely = torch.randn(2, 3, 2, 2, 7).softmax(-1)
    scale = alignment.log_place_scale.exp()
    said = (scale * F.normalize(features, dim=-1) @ F.normalize(alignment.vocabulary, dim=-1).T).softmax(-1)
    expected = (likely * (likely.log() - said.log())).sum(-1).mean()
    loss = alignment.class_loss(features, likely)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert features.grad.any() and alignment.log_place_scale.grad.any()
    assert alignment.class_loss(features, said.detach()).abs() < 1e-6


def test_places_are_compared_through_the_vocabulary(alignment):
    features, text = torch.randn(3, 2, 5), torch.randn(4, 5)
    direct = alignment.place_similarity(features, text)
    torch.testing.assert_close(direct, F.cosine_similarity(features[..., None, :], text, dim=-1))
    named = with_vocabulary(6)
    found = named.place_similarity(features, text)
    assert found.shape == (3, 2, 4) and found.abs().max() <= 1
    names = F.normalize(named.vocabulary, dim=-1)
    likely = (named.log_place_scale.exp() * F.normalize(features, dim=-1) @ names.T).softmax(-1)
    fit = F.cosine_similarity(
        (names - names.mean(0))[:, None], (F.normalize(text, dim=-1) - names.mean(0))[None], dim=-1
    )
    torch.testing.assert_close(found, likely @ fit)
    torch.testing.assert_close(named.place_similarity(3 * features, 2 * text), found)
    sure = named.place_similarity(1e3 * named.vocabulary, named.vocabulary)
    assert (sure.argmax(dim=1) == torch.arange(6)).all()  # a place that is surely one thing fits its name best


def test_the_vocabulary_is_saved(tmp_path):
    saved = with_vocabulary(6)
    saved.save_pretrained(tmp_path)
    loaded = PyraTokTextAlignment.from_pretrained(tmp_path)
    assert torch.equal(loaded.vocabulary, saved.vocabulary)
    assert not PyraTokTextAlignment(saved.config).vocabulary.any()


def test_grids_that_do_not_fit_are_refused():
    with pytest.raises(StrictDataclassClassValidationError, match="pixels divide each other"):
        PyraTokTextAlignmentConfig(level_strides=((4, 8), (4, 12)))
    for stride in ((2, 16), (1, 8), (8, 16), (4, 64), (4, 0)):
        with pytest.raises(StrictDataclassClassValidationError, match="feature_stride"):
            PyraTokTextAlignmentConfig(feature_stride=stride)
    assert PyraTokTextAlignmentConfig(level_strides=((2, 8), (2, 16))).feature_stride == (4, 16)
    with pytest.raises(StrictDataclassClassValidationError, match="context_layers"):
        PyraTokTextAlignmentConfig(context_layers=-1)


def test_save_and_load(alignment, tmp_path):
    alignment.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    video, text = codes(), F.normalize(torch.randn(2, 5), dim=-1)
    assert torch.equal(loaded(video, text), alignment(video, text))
