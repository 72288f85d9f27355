"""The quantizer: bits, text, feedback, levels."""

import pytest
import torch

from pyratok import PyraTokConfig, PyraTokModel
from pyratok.modeling_pyratok.binary_codebook import bits_to_codes, codes_to_bits, quantize_straight_through, sign_bits

VIDEO = torch.rand(2, 9, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def train_text_attention_somewhere(model: PyraTokModel) -> None:
    with torch.no_grad():
        for block in model.pyramid.blocks:
            block.attention.output.weight.normal_(0, 0.5)


def features_of(model: PyraTokModel, **text) -> torch.Tensor:
    return torch.cat([level.flatten() for level in model.encode(VIDEO, **text).level_features])


def test_zero_counts_as_plus_one_and_bit_j_weighs_two_to_the_j():
    logits = torch.tensor([0.0, -1.0, -0.0, 3.0])
    assert sign_bits(logits).tolist() == [1, -1, 1, 1]
    assert bits_to_codes(logits) == 0b1101


@pytest.mark.parametrize("bits", [1, 7, 16, 24])
def test_codes_and_bits_round_trip(bits):
    codes = torch.randint(0, 2**bits, (3, 4, 5))
    assert torch.equal(bits_to_codes(codes_to_bits(codes, bits)), codes)


def test_quantization_passes_the_gradient_straight_through():
    logits = torch.randn(5, 4, requires_grad=True)
    quantize_straight_through(logits).mul(torch.arange(20.0).view(5, 4)).sum().backward()
    assert torch.equal(logits.grad, torch.arange(20.0).view(5, 4))


def test_text_is_an_exact_no_op_at_initialisation(tiny_model):
    text = torch.randn(2, 5, tiny_model.config.text_hidden_size)
    assert torch.equal(features_of(tiny_model), features_of(tiny_model, text_embeds=text))


def test_text_matters_once_trained_and_its_padding_does_not(tiny_model):
    train_text_attention_somewhere(tiny_model)
    text = torch.randn(2, 5, tiny_model.config.text_hidden_size)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    masked = features_of(tiny_model, text_embeds=text, text_mask=mask)
    assert not torch.allclose(masked, features_of(tiny_model))
    other = text.clone()
    other[0, 3:] = 100.0
    assert torch.equal(features_of(tiny_model, text_embeds=other, text_mask=mask), masked)


def test_an_empty_caption_is_no_caption(tiny_model):
    train_text_attention_somewhere(tiny_model)
    with torch.no_grad():
        tiny_model.pyramid.null_text.normal_()
    text, mask = torch.randn(2, 5, tiny_model.config.text_hidden_size), torch.zeros(2, 5)
    without = features_of(tiny_model)
    torch.testing.assert_close(features_of(tiny_model, text_embeds=text, text_mask=mask), without, atol=1e-5, rtol=0)


def test_feedback_reaches_the_next_level(tiny_model):
    """Level 2 taps the same stage as level 1 here, so what changes it beyond its own weights is the feedback."""
    before = tiny_model.encode(VIDEO).level_features
    with torch.no_grad():
        tiny_model.pyramid.blocks[0].to_logits.weight.neg_()
        tiny_model.pyramid.blocks[0].to_logits.bias.neg_()
    after = tiny_model.encode(VIDEO).level_features
    assert torch.equal(before[0], after[0])
    for level in (1, 2, 3):
        assert not torch.equal(before[level], after[level])


def test_embed_codes_is_the_shared_projection(tiny_model):
    codes = torch.tensor([[0, 1], [2**16 - 1, 5]])
    embedded = tiny_model.embed_codes(codes)
    assert embedded.shape == (2, 2, tiny_model.config.hidden_size)
    expected = tiny_model.codebook.projection(codes_to_bits(codes, 16))
    assert torch.equal(embedded, expected)
    for wrong in (torch.tensor([2**16]), torch.tensor([-1]), torch.tensor([1.0])):
        with pytest.raises(ValueError, match="codes"):
            tiny_model.embed_codes(wrong)


@pytest.mark.parametrize("levels", [(1,), (3, 4), (4, 1, 2), (1, 2, 3, 4)])
def test_any_subset_of_levels_decodes(tiny_model, levels):
    encoded = tiny_model.encode(VIDEO)
    video = tiny_model.decode(encoded.video_codes, encoded.video_size, levels=levels).video_values
    assert video.shape == VIDEO.shape and video.isfinite().all()
    alone = tuple(codes if level in levels else None for level, codes in enumerate(encoded.video_codes, start=1))
    assert torch.equal(tiny_model.decode(alone, encoded.video_size).video_values, video)
    pieces = list(tiny_model.encode_stream(VIDEO[0], chunk_frames=4))
    streamed = torch.cat(list(tiny_model.decode_stream(pieces, levels=levels)))
    codes = [c[:1] for c in encoded.video_codes]
    offline = tiny_model.decode(codes, encoded.video_size, chunk_frames=4, levels=levels).video_values
    assert torch.equal(streamed, offline[0])


@pytest.mark.parametrize(
    ("levels", "message"),
    [((0,), "from 1 to 4"), ((5,), "from 1 to 4"), ((1, 1), "once"), ((), "at least one"), ((True,), "from 1 to 4")],
)
def test_wrong_levels_are_refused(tiny_model, levels, message):
    encoded = tiny_model.encode(VIDEO)
    with pytest.raises(ValueError, match=message):
        tiny_model.decode(encoded.video_codes, encoded.video_size, levels=levels)


def test_codes_that_do_not_fit_are_refused(tiny_model):
    encoded = tiny_model.encode(VIDEO)
    codes = list(encoded.video_codes)
    with pytest.raises(ValueError, match="video_size"):
        tiny_model.decode(codes, (13, 32, 32))
    with pytest.raises(ValueError, match="holds None"):
        tiny_model.decode([None, *codes[1:]], encoded.video_size, levels=(1, 2))
    with pytest.raises(ValueError, match="at least one"):
        tiny_model.decode([None] * 4, encoded.video_size)
    with pytest.raises(ValueError, match="one entry per level"):
        tiny_model.decode(codes[:3], encoded.video_size)
    with pytest.raises(ValueError, match="must lie in"):
        tiny_model.decode([codes[0] + 2**16, *codes[1:]], encoded.video_size)
    with pytest.raises(ValueError, match="batch size"):
        tiny_model.decode([codes[0][:1], *codes[1:]], encoded.video_size)


def test_level_dropout_is_seeded_and_only_for_training():
    torch.manual_seed(0)
    model = PyraTokModel(PyraTokConfig.tiny(level_dropout=1.0)).train()
    values = []
    for seed in (1, 1, 2, 3):
        torch.manual_seed(seed)
        values.append(model(VIDEO).video_values.detach())
    assert torch.equal(values[0], values[1])
    assert not all(torch.equal(values[0], other) for other in values[2:])
    model.eval()
    with torch.no_grad():
        assert torch.equal(model(VIDEO).video_values, model(VIDEO).video_values)
