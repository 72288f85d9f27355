"""The prior: exact, causal, indifferent to padding, and with gradients where they belong."""

import dataclasses
import math

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Model,
)

from pyratok import PyraTokConfig, PyraTokModel, PyraTokPrior, PyraTokPriorConfig
from pyratok.modeling_pyratok.binary_codebook import quantize_straight_through
from pyratok.modeling_pyratok.bit_group_head import BitGroupHead
from pyratok.modeling_pyratok.prior_generation import GenerationRequest, generate_codes
from pyratok.modeling_pyratok.prior_inputs import SequencePositions
from pyratok.modeling_pyratok.prior_layout import NONE, prior_layout
from pyratok.modeling_pyratok.token_grids import level_grids

SIZE = (5, 32, 64)
TEXT = torch.randn(2, 4, 12, generator=torch.Generator().manual_seed(1))
MASK = torch.tensor([[1, 1, 1, 0], [0, 0, 0, 0]])


def new_prior(**overrides) -> PyraTokPrior:
    torch.manual_seed(0)
    prior = PyraTokPrior(PyraTokPriorConfig.tiny(**overrides)).eval()
    for layer in (prior.from_text, *prior.head.from_hidden, *prior.head.to_logits):
        torch.nn.init.normal_(layer.weight)  # else all is about as likely, and differences drown in rounding
    return prior


@pytest.fixture(scope="module")
def prior() -> PyraTokPrior:
    return new_prior()


def random_codes(prior: PyraTokPrior, batch: int = 2, size=SIZE, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    grids = level_grids(size, prior.config.level_strides)
    return [torch.randint(2**prior.config.codebook_bits, (batch, *grid), generator=generator) for grid in grids]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.integers(1, 4), st.integers(0, 2**31))
def test_the_head_is_a_distribution(bits, group_bits, seed):
    torch.manual_seed(seed)
    head = BitGroupHead(6, bits, group_bits, 5)
    hidden = 3 * torch.randn(1, 6)
    found = head.log_probability(hidden.expand(2**bits, -1), torch.arange(2**bits))
    assert found.exp().sum().item() == pytest.approx(1, abs=1e-4)


def test_log_probabilities_are_causal_in_the_order_of_the_sequence(prior):
    layout = prior.layout(SIZE)
    codes = random_codes(prior, 1)
    order = [(level, index) for level in layout.order for index in range(codes[level - 1][0].numel())]
    before = prior(codes, SIZE).log_probabilities
    for position in (0, 3, 9, len(order) - 2):
        level, index = order[position]
        changed = [entry.clone() for entry in codes]
        changed[level - 1].view(-1)[index] ^= 0b1010011
        after = prior(changed, SIZE).log_probabilities
        for number, (where, at) in enumerate(order):
            one, other = before[where - 1].flatten()[at], after[where - 1].flatten()[at]
            if number < position:
                torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
            elif number in (position, position + 1):
                assert (one - other).abs() > 1e-5


def test_loss_and_score_are_means_over_tokens(prior):
    codes = random_codes(prior)
    output = prior(codes, SIZE, TEXT, MASK)
    assert [tuple(level.shape) for level in output.log_probabilities] == [tuple(level.shape) for level in codes]
    total = sum(level.sum().item() for level in output.log_probabilities)
    assert output.loss.item() == pytest.approx(-total / sum(level.numel() for level in codes), rel=1e-5)
    for level, bits in zip(output.log_probabilities, prior.score(codes, SIZE, TEXT, MASK), strict=True):
        torch.testing.assert_close(bits, -level.flatten(1).mean(1) / math.log(2))


def test_text_counts_and_its_padding_does_not(prior):
    codes = [level[:1].expand(2, -1, -1, -1) for level in random_codes(prior)]
    with_text, without = prior.score(codes, SIZE, TEXT, MASK)[0]
    assert abs(with_text - without) > 1e-5
    torch.testing.assert_close(without, prior.score(codes, SIZE)[0][0], atol=1e-5, rtol=0)
    padded = torch.cat([TEXT[:, :3], torch.full((2, 5, 12), 7.0)], dim=1)
    mask = torch.cat([MASK[:, :3], torch.zeros(2, 5)], dim=1)
    torch.testing.assert_close(prior.score(codes, SIZE, padded, mask)[0][0], with_text, atol=1e-5, rtol=0)


def test_gradients_reach_every_level_that_precedes_another_and_the_text_not():
    """Of the tokenizer: LoRA, LaPQ of all levels but the last of the order; the last one is a target alone."""
    torch.manual_seed(0)
    model = PyraTokModel(PyraTokConfig.tiny(level_dropout=0.0)).train()
    prior = new_prior().train()
    prior.share_codebook(model.codebook)
    for name, weight in model.named_parameters():  # LoRA's second factor starts at zero, and hides the first
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)
    text = torch.randn(1, 3, 12)
    video = torch.rand(1, 5, 3, 32, 64) * 2 - 1
    output = model(video, text_embeds=text)
    bits = [quantize_straight_through(logits) for logits in output.bit_logits]
    prior(video_bits=bits, video_size=SIZE, text_embeds=text).loss.backward()
    gradients = {
        name: weight.grad is not None and bool(weight.grad.any()) for name, weight in model.named_parameters()
    }
    for level in (2, 3, 4):
        assert gradients[f"pyramid.blocks.{level - 1}.to_logits.weight"], level
    assert all(gradients[name] for name in gradients if "lora_A" in name and "encoder.conv_in" in name)
    assert gradients["codebook.projection.weight"] and not text.requires_grad
    assert not any(found for name, found in gradients.items() if name.startswith(("fusion", "backbone.decoder")))


def test_the_last_level_of_the_order_is_fed_back_too():
    """Within a level every token but the last is an input, so level 1 learns as well."""
    prior = new_prior()
    bits = [torch.randn(1, *level.shape[1:], 16, requires_grad=True) for level in random_codes(prior)]
    prior(video_bits=bits, video_size=SIZE).loss.backward()
    assert all(level.grad.any() for level in bits)
    assert not bits[0].grad[0, -1, -1, -1].any()  # the very last token of all is a target alone
    assert bits[3].grad[0, -1, -1, -1].any()  # the last one of another level is not


def test_save_and_load(prior, tmp_path):
    prior.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert isinstance(loaded, PyraTokPrior) and loaded.config.level_order == (4, 3, 2, 1)
    codes = random_codes(prior)
    assert torch.equal(loaded(codes, SIZE, TEXT, MASK).loss, prior(codes, SIZE, TEXT, MASK).loss)


@pytest.mark.parametrize("order", [(1, 2, 3, 4), (3, 4), (2,)])
def test_other_orders_and_fewer_levels(order):
    prior = new_prior(level_order=order)
    codes = [level if number in order else None for number, level in enumerate(random_codes(prior), start=1)]
    found = prior.score(codes, SIZE)
    assert [level is not None for level in found] == [level is not None for level in codes]


def test_another_body():
    body = {"model_type": "llama", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    body |= {"num_attention_heads": 2, "num_key_value_heads": 2}
    prior = new_prior(body_config=body)
    assert prior(random_codes(prior), SIZE).loss.isfinite()


BODY = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 50,
}


@pytest.mark.parametrize("with_head", [False, True])
def test_a_pretrained_body_keeps_its_weights(tmp_path, with_head):
    body = (Qwen2ForCausalLM if with_head else Qwen2Model)(Qwen2Config(**BODY)).eval()
    body.save_pretrained(tmp_path / "body")
    options = {"level_strides": ((2, 8), (4, 8), (4, 16), (4, 32)), "codebook_size": 16, "text_hidden_size": 12}
    for source in (body, tmp_path / "body"):
        prior = PyraTokPrior.from_body(source, **options)
        weights = dict(body.base_model.named_parameters())
        for name, weight in prior.body.named_parameters():
            assert "embed_tokens" in name or torch.equal(weight, weights[name]), name
        assert prior.body.get_input_embeddings().weight.shape[0] == 1
        assert prior(random_codes(prior), SIZE).loss.isfinite()
    prior.save_pretrained(tmp_path / "prior")
    again = PyraTokPrior.from_pretrained(tmp_path / "prior")
    codes = random_codes(prior)
    assert torch.equal(again(codes, SIZE).loss, prior(codes, SIZE).loss)


def test_bodies_that_are_none(tmp_path):
    options = {"level_strides": ((2, 8), (4, 8), (4, 16), (4, 32)), "codebook_size": 16, "text_hidden_size": 12}
    bert = BertModel(BertConfig(**{key: size for key, size in BODY.items() if key != "num_key_value_heads"}))
    with pytest.raises(ValueError, match="still to come"):
        PyraTokPrior.from_body(bert, **options)
    body = Qwen2Model(Qwen2Config(**BODY))
    state = {name: value for name, value in body.state_dict().items() if "layers.1." not in name}
    body.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(ValueError, match="is not complete: it lacks layers.1"):
        PyraTokPrior.from_body(tmp_path, **options)
    short = GPT2Model(GPT2Config(vocab_size=9, n_positions=16, n_embd=16, n_layer=1, n_head=2))
    prior = PyraTokPrior.from_body(short, **options)
    with pytest.raises(ValueError, match="knows 16 positions alone"):
        prior(random_codes(prior), SIZE)
    with pytest.raises(ValueError, match="knows 16 positions alone"):
        generate_codes(prior, GenerationRequest(SIZE))


def test_the_text_model_of_a_multimodal_body(tmp_path):
    config = Qwen2_5_VLConfig(
        text_config={
            **BODY,
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4},
        },
        vision_config={"depth": 1, "hidden_size": 16, "num_heads": 2, "intermediate_size": 16, "out_hidden_size": 16},
    )
    whole = Qwen2_5_VLForConditionalGeneration(config).eval()
    whole.save_pretrained(tmp_path)
    for source in (tmp_path, whole):
        prior = PyraTokPrior.from_body(source, level_strides=((2, 8), (4, 8), (4, 16), (4, 32)), codebook_size=16)
        assert type(prior.body).__name__ == "Qwen2_5_VLTextModel"
        expected = whole.get_decoder().layers[1].mlp.up_proj.weight
        assert torch.equal(prior.body.layers[1].mlp.up_proj.weight, expected)
    codes = random_codes(prior)
    assert prior(codes, SIZE).loss.isfinite()
    request = GenerationRequest((1, 32, 32))
    drawn = [
        generate_codes(prior, request, generator=torch.Generator().manual_seed(0)),
        generate_codes(
            prior, dataclasses.replace(request, use_cache=False), generator=torch.Generator().manual_seed(0)
        ),
    ]
    assert all(torch.equal(*pair) for pair in zip(*drawn, strict=True))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 14), st.integers(1, 70), st.integers(1, 70), st.permutations((1, 2, 3, 4)))
def test_the_layout_refers_to_earlier_tokens_at_the_right_places(frames, height, width, order):
    strides = ((2, 8), (4, 8), (4, 16), (4, 32))
    grids = level_grids((frames, height, width), strides)
    layout = prior_layout(grids, strides, tuple(order))
    count = sum(t * h * w for t, h, w in grids)
    assert len(layout.level) == count and layout.bounds[-1][1] == count
    own = torch.arange(count)[:, None]
    assert ((layout.neighbours < own) & (layout.neighbours >= NONE)).all()
    assert (layout.neighbours[:, 2:] != NONE).sum(1).max() == 3
    positions = SequencePositions(layout)
    assert len(positions) == count + 3
    assert positions.target[positions.target >= 0].tolist() == list(range(count))
    assert positions.token[positions.token >= 0].tolist() == list(range(count - 1))
    for slot, level in enumerate((1, 2, 3, 4), start=2):
        there = layout.neighbours[:, slot] >= 0
        mine, theirs = layout.place[there], layout.place[layout.neighbours[there, slot]]
        reach = torch.tensor(
            [
                [strides[level - 1][0], max(strides[level - 1][1], strides[own_level][1])]
                for own_level in layout.level[there]
            ]
        ).view(-1, 2)
        assert ((mine - theirs)[:, 0].abs() < reach[:, 0]).all()
        assert ((mine - theirs)[:, 1:].abs() <= reach[:, 1:] / 2).all()


def test_what_does_not_fit_is_refused(prior):
    codes = random_codes(prior)
    with pytest.raises(ValueError, match="levels 4, 3, 2, 1 of 4"):
        prior([None, *codes[1:]], SIZE)
    with pytest.raises(ValueError, match="level 4 must be"):
        prior(codes, (5, 64, 64))
    with pytest.raises(ValueError, match="one of video_codes and video_bits"):
        prior(codes)
    with pytest.raises(ValueError, match="text_embeds must be"):
        prior(codes, SIZE, TEXT[:1])
    with pytest.raises(ValueError, match="codebook projection"):
        prior.share_codebook(PyraTokModel(PyraTokConfig.tiny(hidden_size=8)).codebook)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level_order": (1, 1)}, "each level once"),
        ({"level_order": (5,)}, "from 1 to 4"),
        ({"body_config": {"model_type": "nothing"}}, "model_type"),
        ({"group_bits": 13}, "at most 12"),
        ({"head_size": 0}, "at least 1"),
    ],
)
def test_configurations_that_cannot_work(options, message):
    with pytest.raises(StrictDataclassError) as caught:
        PyraTokPriorConfig.tiny(**options)
    assert message in str(caught.value.__cause__)
    with pytest.raises(TypeError, match="has no option levels"):
        PyraTokPriorConfig(levels=3)
