"""Telling captions apart in the space of a language model's words."""

import pytest
import torch
import torch.nn.functional as F
from tiny_causal_language import WIDTH, language_tokenizer, tiny_language_model

from pyratok.pipelines.prompted_language import PromptedLanguage
from pyratok.training.question_contrast import SCALE, CaptionContrast

CAPTIONS = ["a cat", "a dog", "a cat", "something else"]


@pytest.fixture(scope="module")
def language() -> PromptedLanguage:
    return PromptedLanguage(tiny_language_model(), language_tokenizer())


def means(language: PromptedLanguage, captions: list[str]) -> torch.Tensor:
    table = language.model.get_input_embeddings().weight
    return torch.stack([table[torch.tensor(language.answer_ids(caption))].mean(dim=0) for caption in captions])


def test_the_loss_is_the_cross_entropy_among_different_captions(language):
    contrast = CaptionContrast(language, CAPTIONS)
    words = means(language, ["a cat", "a dog", "something else"])
    words = words - words.mean(dim=0)
    prefixes = [torch.randn(3, WIDTH), torch.randn(7, WIDTH)]
    seen = torch.stack([prefix.mean(dim=0) for prefix in prefixes])
    cosines = F.cosine_similarity(seen[:, None], words[None], dim=-1)
    expected = F.cross_entropy(SCALE * cosines, torch.tensor([0, 2]), reduction="none")
    torch.testing.assert_close(contrast.losses(prefixes, ["a cat", "something else"]), expected)


def test_a_prefix_of_the_captions_words_is_told_and_learned(language):
    contrast = CaptionContrast(language, CAPTIONS)
    prefixes = list(means(language, CAPTIONS)[:, None] - means(language, CAPTIONS).mean(dim=0))
    right = contrast.losses(prefixes, CAPTIONS)
    wrong = contrast.losses(prefixes, ["a dog", "a cat", "something else", "a cat"])
    assert (right < 0.1).all() and (wrong > 1).all()
    prefix = torch.randn(2, WIDTH, requires_grad=True)
    contrast.losses([prefix], ["a dog"]).sum().backward()
    assert prefix.grad.abs().min() > 0
