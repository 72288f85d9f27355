"""Captions to embeddings."""

import logging

import pytest
import torch
from tiny_text import HIDDEN_SIZE, byte_tokenizer, save_text_encoder, tiny_text_model
from transformers import T5Config, T5Model

from pyratok import PyraTokError
from pyratok.modeling_pyratok.text_encoding import CACHED_TEXTS, TextEncoder
from pyratok.pipelines.text_encoder_loading import load_text_encoder


@pytest.fixture
def encoder() -> TextEncoder:
    return TextEncoder(tiny_text_model(), byte_tokenizer(), max_tokens=20)


def test_a_text_has_the_same_embeddings_alone_and_beside_others(encoder):
    texts = ["a dog", None, "a much longer text", " \n "]
    together = encoder(texts)
    assert together.embeds.shape == (4, 18, HIDDEN_SIZE)
    assert together.mask.sum(1).tolist() == [5, 0, 18, 0]
    alone = TextEncoder(encoder.model, encoder.tokenizer)([texts[0]])
    assert torch.equal(alone.embeds[0], together.embeds[0, :5])
    assert together.pooled().shape == (4, HIDDEN_SIZE)
    torch.testing.assert_close(together.pooled()[0], alone.embeds[0].mean(0))
    assert not together.pooled()[1].any()
    assert encoder([None]).embeds.shape == (1, 1, HIDDEN_SIZE)


def test_a_text_is_embedded_once(encoder, monkeypatch):
    first = encoder(["a dog", "a dog"])
    monkeypatch.setattr(encoder, "model", None, raising=True)
    monkeypatch.setattr(TextEncoder, "_embed", lambda *_: pytest.fail("embedded again"))
    monkeypatch.setattr(encoder, "model", tiny_text_model())
    assert torch.equal(encoder(["  a \n dog "]).embeds[0], first.embeds[0])


def test_autocast_makes_no_difference(encoder):
    with torch.autocast("cpu", torch.bfloat16):
        inside = encoder(["a dog"])
    outside = TextEncoder(encoder.model, encoder.tokenizer)(["a dog"])
    assert torch.equal(inside.embeds, outside.embeds) and inside.pooled().dtype == torch.float32


def test_padding_to_one_length(encoder):
    short = encoder(["a dog"])
    encoder.pad_to_max = True
    padded = encoder(["a dog"])
    assert padded.embeds.shape[1] == 20 and padded.mask.sum() == 5
    torch.testing.assert_close(padded.pooled(), short.pooled())


def test_the_encoder_of_an_encoder_decoder(tmp_path):
    config = T5Config(vocab_size=256, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    T5Model(config).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    loaded = load_text_encoder(tmp_path)
    assert loaded.hidden_size == 8 and loaded(["a dog"]).embeds.shape == (1, 5, 8)


def test_memory_is_bounded(encoder, monkeypatch):
    monkeypatch.setattr("pyratok.modeling_pyratok.text_encoding.CACHED_TEXTS", 3)
    assert CACHED_TEXTS > 3
    embeds = encoder([str(number) for number in range(5)]).embeds
    assert len(encoder._seen) == 3
    assert torch.equal(encoder(["0"]).embeds[0], embeds[0])


@pytest.mark.parametrize("text", ["длинный текст", "犬が走る", "🐕" * 4, "x"])
def test_other_scripts(encoder, text):
    assert encoder([text]).embeds.isfinite().all() and encoder([text]).mask.any()


def test_the_cut_of_a_long_text_is_announced(encoder, caplog):
    with caplog.at_level(logging.WARNING):
        text = encoder(["word " * 30])
    assert text.mask.sum() == 20 and "cut to 20" in caplog.text


def test_no_text_is_refused(encoder):
    with pytest.raises(TypeError, match="string or None, got int"):
        encoder([3])


def test_loading(tmp_path):
    loaded = load_text_encoder(save_text_encoder(tmp_path / "encoder"), max_tokens=9)
    assert loaded.hidden_size == HIDDEN_SIZE and loaded.max_tokens == 9
    assert not any(weight.requires_grad for weight in loaded.model.parameters())
    expected = TextEncoder(tiny_text_model(), byte_tokenizer())(["a dog"]).embeds
    assert torch.equal(loaded(["a dog"]).embeds, expected)


def test_what_is_no_text_encoder_is_one_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PyraTokError, match="cannot be loaded"):
        load_text_encoder(tmp_path / "empty")
    folder = save_text_encoder(tmp_path / "encoder")
    model = tiny_text_model()
    state = {name: value for name, value in model.state_dict().items() if "layer.0.attention.self.key" not in name}
    model.save_pretrained(folder, state_dict=state)
    with pytest.raises(PyraTokError, match="is not complete.*attention.self.key"):
        load_text_encoder(folder)


def test_the_bundled_encoder_knows_what_words_mean():
    encoder = load_text_encoder("pyratok")
    texts = ["a dog runs over a meadow", "a puppy in the grass", "traffic on a road at night", "cars in the dark"]
    pooled = torch.nn.functional.normalize(encoder(texts).pooled(), dim=-1)
    similar = pooled @ pooled.T
    assert similar[0, 1] > similar[0, 2:].max() + 0.1 and similar[2, 3] > similar[2, :2].max() + 0.1
