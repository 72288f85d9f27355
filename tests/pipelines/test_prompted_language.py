"""Prompts of words and a video, and how likely answers are after them: against plain computations."""

import pytest
import torch
from tiny_causal_language import CHAT_TEMPLATE, WIDTH, language_tokenizer, tiny_language_model

from pyratok.pipelines.prompted_language import PromptedLanguage

KINDS = ("qwen2", "qwen2_5_vl")
ANSWERS = ("a cat", "no", "x", "something that is longer")


@pytest.fixture(scope="module", params=[(kind, template) for kind in KINDS for template in (None, CHAT_TEMPLATE)])
def language(request) -> PromptedLanguage:
    kind, template = request.param
    return PromptedLanguage(tiny_language_model(kind), language_tokenizer(template))


def a_video(cells: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(cells, WIDTH, generator=torch.Generator().manual_seed(seed))


def embedded(language: PromptedLanguage, text: str) -> torch.Tensor:
    ids = language.tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids[0]
    return language.model.get_input_embeddings()(ids)


def plain_log_probabilities(language: PromptedLanguage, prompt: torch.Tensor, ids: list[int]) -> torch.Tensor:
    """Of each id of an answer, in one pass without a cache."""
    table = language.model.get_input_embeddings()
    whole = torch.cat([prompt, table(torch.tensor(ids))])[None]
    logits = language.model(inputs_embeds=whole, use_cache=False).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(dim=-1)[torch.arange(len(ids)), ids]


def test_the_video_stands_before_the_question(language):
    video = a_video(5)
    prompt = language.prompt("Who is it?", video)
    if language.has_template:
        before, after = "[talk][user]", "Who is it?[end][assistant]"
    else:
        before, after = "", "Question: Who is it?\nAnswer:"
    expected = torch.cat(
        [embedded(language, before), video, embedded(language, after)]
        if before
        else [video, embedded(language, after)]
    )
    assert torch.equal(prompt, expected)
    assert torch.equal(
        language.prompt("Who is it?", None), torch.cat([expected[: len(before)], expected[len(before) + 5 :]])
    )


@pytest.mark.parametrize("question", ["<<<video>>>", "what is <<<video>>> here?", "кто? 🐇"])
def test_any_text_is_a_question(language, question):
    with_video, without = language.prompt(question, a_video(3)), language.prompt(question, None)
    assert len(with_video) == len(without) + 3
    end = embedded(language, question + ("[end][assistant]" if language.has_template else "\nAnswer:"))
    assert torch.equal(without[-len(end) :], end)


def test_a_template_without_the_users_words_is_refused():
    language = PromptedLanguage(tiny_language_model(), language_tokenizer("hello"))
    with pytest.raises(ValueError, match="leaves out what the user says"):
        language.prompt("what?", None)


def test_log_probabilities_are_those_of_each_answer_alone(language):
    prompt = language.prompt("what?", a_video(6))
    found = language.mean_log_probabilities(prompt, ANSWERS)
    expected = [plain_log_probabilities(language, prompt, language.answer_ids(answer)).mean() for answer in ANSWERS]
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=1e-5)
    assert len(set(found.tolist())) == len(ANSWERS)
    torch.testing.assert_close(language.mean_log_probabilities(prompt, ["x", "y"])[:1], found[2:3])


def test_log_probabilities_see_the_video(language):
    one, other = (
        language.mean_log_probabilities(language.prompt("what?", a_video(6, seed)), ANSWERS) for seed in (0, 1)
    )
    assert (one - other).abs().max() > 1e-3


def test_losses_are_those_of_each_sample_alone(language):
    """Prompts of different lengths in one batch; the end of the turn counts."""
    videos = [a_video(6), a_video(2, 1), None, a_video(1, 2)]
    questions = ["what?", "who is it over there?", "b", "why"]
    found = language.losses(videos, questions, ANSWERS)
    for row, (video, question, answer) in enumerate(zip(videos, questions, ANSWERS, strict=True)):
        ids = [*language.answer_ids(answer), 256]
        expected = -plain_log_probabilities(language, language.prompt(question, video), ids).mean()
        torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=1e-5)


def test_the_gradient_reaches_the_video_and_is_its_own(language):
    videos = [a_video(4).requires_grad_(), a_video(2, 1).requires_grad_()]
    language.losses(videos, ["what?", "who is it?"], ["a", "b"])[0].backward()
    assert videos[0].grad.isfinite().all() and videos[0].grad.abs().min() > 0
    assert not videos[1].grad.any()
    assert all(weight.grad is None for weight in language.model.parameters())


def test_greedy_words_are_the_likeliest_one_by_one(language):
    prompt = language.prompt("what?", a_video(3))
    ids: list[int] = []
    table = language.model.get_input_embeddings()
    while len(ids) < 7 and 256 not in ids:
        whole = torch.cat([prompt, table(torch.tensor(ids, dtype=torch.long))])[None]
        ids.append(int(language.model(inputs_embeds=whole).logits[0, -1].argmax()))
    assert language.generate(prompt, 7) == language.tokenizer.decode(ids, skip_special_tokens=True).strip()


def test_drawn_words_follow_the_seed_and_leave_other_generators_alone(language):
    prompt = language.prompt("what?", a_video(3))

    def words(seed: int) -> str:
        return language.generate(prompt, 12, 1.5, torch.Generator().manual_seed(seed))

    before = torch.get_rng_state()
    assert words(0) == words(0)
    assert len({words(seed) for seed in range(4)}) > 1
    assert torch.equal(torch.get_rng_state(), before)


def test_half_precision(language):
    half = PromptedLanguage(tiny_language_model("qwen2").bfloat16(), language.tokenizer)
    prompt = half.prompt("what?", a_video(3))
    assert prompt.dtype == torch.bfloat16
    assert half.mean_log_probabilities(prompt, ANSWERS).dtype == torch.float32


def test_the_size_of_words(language):
    weight = language.model.get_input_embeddings().weight
    assert language.embedding_rms() == pytest.approx(float(weight.square().mean().sqrt()), rel=1e-5)
    assert language.hidden_size == WIDTH
