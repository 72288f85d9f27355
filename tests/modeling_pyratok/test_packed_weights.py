"""Packed weights: what is packed comes back, through transformers' own loading, in every dtype."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_text import tiny_text_model
from transformers import AutoModel, BertModel, Qwen2Config, Qwen2ForCausalLM

import pyratok  # noqa: F401  registers the quantization method
from pyratok.modeling_pyratok.packed_weights import PackedWeight, PackedWeightsConfig, pack_weights

IDS = torch.tensor([[1, 5, 200, 7]])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(1, 5), st.integers(1, 40), st.integers(1, 10), st.integers(0, 2**31))
def test_values_come_back_within_half_a_step(bits, rows, columns, group, seed):
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    packed = PackedWeight(rows, columns, bits, group)
    packed.fill(weight)
    groups = weight.unflatten(1, (-1, packed.group))
    span = groups.amax(-1) - groups.amin(-1)
    error = (packed.rows() - weight).unflatten(1, (-1, packed.group)).square().mean(-1)
    # The whole range in even steps is one of those that are tried; float16 rounds its ends.
    assert (error <= (span / (2**bits - 1) / 2 + 2e-3 * (1 + groups.abs().amax(-1))) ** 2).all()
    index = torch.randint(rows, (3,))
    assert torch.equal(packed.rows(index), packed.rows()[index])


def test_eight_bits_are_close_and_one_bit_has_two_values():
    weight = torch.randn(3, 64)
    packed = PackedWeight(3, 64, 8, 32)
    packed.fill(weight)
    torch.testing.assert_close(packed.rows(), weight, atol=0.02, rtol=0)
    packed = PackedWeight(3, 64, 1, 64)
    packed.fill(weight)
    assert all(len(row.unique()) == 2 for row in packed.rows())


def test_a_packed_model_is_what_it_was_after_saving_and_loading(tmp_path):
    model = tiny_text_model()
    original = model(IDS).last_hidden_state
    pack_weights(model, PackedWeightsConfig(linear_bits=8, linear_group=4, embedding_bits=8, embedding_group=4))
    packed = model(IDS).last_hidden_state
    assert 0 < (packed - original).abs().max() < 0.1
    model.save_pretrained(tmp_path)
    loaded, report = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert torch.equal(loaded(IDS).last_hidden_state, packed)
    loaded.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again/model.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_another_dtype_computes_in_it_and_keeps_the_packed_weights(tmp_path, dtype):
    model = pack_weights(tiny_text_model(), PackedWeightsConfig(8, 4, 8, 4))
    expected = model(IDS).last_hidden_state
    model.save_pretrained(tmp_path)
    for other in (AutoModel.from_pretrained(tmp_path, dtype=dtype), model.to(dtype)):
        found = other(IDS).last_hidden_state
        assert found.dtype == dtype
        torch.testing.assert_close(found.float(), expected, atol=0.1, rtol=0)
    torch.testing.assert_close(model.to(torch.float32)(IDS).last_hidden_state, expected, atol=0.05, rtol=0)


def test_new_weights_are_seen(tmp_path):
    model = pack_weights(tiny_text_model(), PackedWeightsConfig(8, 4, 8, 4))
    before = model(IDS).last_hidden_state
    state = {name: value.clone() for name, value in model.state_dict().items()}
    layer = model.encoder.layer[0].output.dense
    layer.weight.fill(torch.randn(12, 16))
    with torch.inference_mode():
        assert not torch.allclose(model(IDS).last_hidden_state, before)
    model.load_state_dict(state)
    assert torch.equal(model(IDS).last_hidden_state, before)


def test_a_shared_weight_is_refused():
    config = Qwen2Config(
        vocab_size=8,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        tie_word_embeddings=True,
    )
    with pytest.raises(ValueError, match="base_model"):
        pack_weights(Qwen2ForCausalLM(config), PackedWeightsConfig(8, 4, 8, 4))
    assert pack_weights(Qwen2ForCausalLM(config).base_model, PackedWeightsConfig(8, 4, 8, 4)).is_quantized


def test_packing_stays_on_the_device_of_the_weights():
    weight = PackedWeight(3, 8, 5, 4).to("meta")
    weight.fill(torch.empty(3, 8, device="meta"))
    with torch.device("meta"):
        model = BertModel(tiny_text_model().config)
    packed = pack_weights(model, PackedWeightsConfig(8, 4, 8, 4))
    assert {buffer.device.type for name, buffer in packed.named_buffers() if "packed" in name} == {"meta"}


@pytest.mark.parametrize("options", [{"linear_bits": 0}, {"embedding_bits": 9}, {"linear_group": 0}])
def test_what_cannot_be_packed_is_refused(options):
    with pytest.raises(ValueError, match=r"1 to 8 bits|at least 1 weight"):
        PackedWeightsConfig(**options)


def test_packing_while_loading_is_refused_with_the_way_to_do_it(tmp_path):
    tiny_text_model().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="pack_weights"):
        AutoModel.from_pretrained(tmp_path, quantization_config=PackedWeightsConfig())
