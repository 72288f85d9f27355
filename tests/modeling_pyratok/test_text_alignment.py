"""What compares tokens with captions, and the text terms of Eq. 2."""

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModel

from pyratok import PyraTokTextAlignment, PyraTokTextAlignmentConfig
from pyratok.modeling_pyratok.binary_codebook import BinaryCodebook, codes_to_bits, quantize_straight_through
from pyratok.modeling_pyratok.text_alignment import bernoulli_divergence

GRIDS = ((3, 4, 4), (2, 4, 4), (2, 2, 2))


@pytest.fixture
def alignment() -> PyraTokTextAlignment:
    torch.manual_seed(0)
    return PyraTokTextAlignment(
        PyraTokTextAlignmentConfig(num_levels=3, codebook_bits=6, codebook_size=8, text_hidden_size=5)
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


def test_the_contrastive_loss_is_low_for_captions_in_place_and_does_not_count_doubles(alignment):
    bits = [codes_to_bits(level, 6) for level in codes()]
    embedding = alignment.level_embeddings(bits)
    text = torch.stack(embedding).mean(0).detach()
    text = text - text.mean(0)  # tokens at random make videos much alike: what tells them apart
    right = alignment.contrastive_loss(bits, text, text)
    assert right.shape == (2,)
    assert (right < alignment.contrastive_loss(bits, text.flip(0), text)).all()
    assert alignment.contrastive_loss([level[:1] for level in bits], text[:1], 3 * text[:1]).abs() < 1e-5
    torch.testing.assert_close(alignment.contrastive_loss([level[:1] for level in bits], text[:1], text), right[:1])
    assert (alignment.contrastive_loss(bits, text, torch.cat([text, torch.randn(4, 5)])) > right).all()


def test_training_finds_the_captions(alignment):
    video, text = codes(6), torch.randn(6, 5)
    bits = [codes_to_bits(level, 6) for level in video]
    optimizer = torch.optim.Adam(alignment.parameters(), 0.02)
    for _ in range(150):
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


def test_save_and_load(alignment, tmp_path):
    alignment.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    video, text = codes(), F.normalize(torch.randn(2, 5), dim=-1)
    assert torch.equal(loaded(video, text), alignment(video, text))
