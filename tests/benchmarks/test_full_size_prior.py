"""The benchmark of language at full size, on the real layers' shapes but few of them, and on a small body."""

from full_size_prior import PRIOR, QWEN, WORDS, prior, text_tower

SMALL = {**QWEN, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2} | {
    "vocab_size": 50,
    "rope_parameters": {**QWEN["rope_parameters"], "mrope_section": [2, 3, 3]},
}


def test_the_text_tower_embeds():
    values = dict(text_tower(SMALL))
    assert values["embeddings, finite"] == f"(1, {WORDS}, 32), True"


def test_the_prior_draws_scores_and_gives_a_gradient():
    settings = {"codebook_size": 16, "head_size": 8, "text_hidden_size": 32}
    values = dict(prior(SMALL, settings, (5, 32, 32)))
    assert values["levels whose tokens get a gradient of L_AR"] == "1, 2, 3, 4"
    assert all(10 < float(bits) < 40 for bits in values["bits per token of each level"].split(", "))


def test_the_real_shapes_make_a_prior():
    values = dict(prior({**QWEN, "num_hidden_layers": 1}, PRIOR, (1, 16, 16)))
    assert values["prior"].startswith("Qwen2_5_VLTextModel")
