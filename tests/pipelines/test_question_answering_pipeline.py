"""Questions about videos."""

import diffusers
import numpy as np
import pytest
import torch
from tiny_causal_language import CHAT_TEMPLATE, WIDTH, language_tokenizer, save_language_model, tiny_language_model

from pyratok import PyraTokConfig, PyraTokError, PyraTokModel, PyraTokReconstructionPipeline, VideoTokens, read_video
from pyratok.configuration.configuration_token_projector import PyraTokTokenProjectorConfig
from pyratok.modeling_pyratok.token_projector import PyraTokTokenProjector
from pyratok.pipelines.prompted_language import PromptedLanguage
from pyratok.pipelines.question_answering_loading import load_question_answering
from pyratok.pipelines.question_answering_pipeline import PyraTokQuestionAnsweringPipeline

QUESTION, CHOICES = "what is it?", ["a cat", "a dog", "nothing at all"]


def tiny_projector(model: PyraTokModel, **options) -> PyraTokTokenProjector:
    torch.manual_seed(0)
    config = model.config
    sizes = {
        "num_levels": config.num_levels,
        "codebook_bits": config.codebook_bits,
        "codebook_size": config.hidden_size,
    }
    settings = {"hidden_size": 16, "language_hidden_size": WIDTH, "embedding_rms": 0.3, "places": 2, "moments": 2}
    return PyraTokTokenProjector(PyraTokTokenProjectorConfig(**{**sizes, **settings, **options})).eval()


@pytest.fixture(params=["qwen2", "qwen2_5_vl"])
def pipeline(request, tiny_model) -> PyraTokQuestionAnsweringPipeline:
    language = tiny_language_model(request.param), language_tokenizer(CHAT_TEMPLATE)
    return PyraTokQuestionAnsweringPipeline(tiny_model, tiny_projector(tiny_model), *language)


@pytest.fixture
def frames(clip) -> np.ndarray:
    return read_video(clip)[0][:10, :40, :50].numpy()


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A tokenizer with a projector beside it, whose language model lies elsewhere."""
    torch.manual_seed(0)
    model = PyraTokModel(PyraTokConfig.tiny()).eval()
    folder = tmp_path_factory.mktemp("repository")
    language = save_language_model(tmp_path_factory.mktemp("language"), chat_template=CHAT_TEMPLATE)
    PyraTokReconstructionPipeline(model).save_pretrained(folder)
    options = {"language_model": str(language), "weights_fingerprint": model.weights_fingerprint()}
    tiny_projector(model, **options).save_pretrained(folder / "projector")
    return folder


def test_choices_are_scored_by_their_likelihood(pipeline, frames):
    tokens = PyraTokReconstructionPipeline(pipeline.vq_model)(frames).tokens
    language = PromptedLanguage(pipeline.language_model, pipeline.language_tokenizer)
    seen = language.mean_log_probabilities(
        language.prompt(QUESTION, pipeline.projector(tokens.video_codes)[0]), CHOICES
    )
    blind = language.mean_log_probabilities(language.prompt(QUESTION, None), CHOICES)
    output = pipeline(frames, QUESTION, CHOICES)
    torch.testing.assert_close(output.scores, (seen - blind).softmax(0))
    torch.testing.assert_close(pipeline.blind_scores(QUESTION, CHOICES), blind)
    assert torch.equal(output.blind_scores, pipeline.blind_scores(QUESTION, CHOICES))
    assert output.scores.sum() == pytest.approx(1) and output.scores.dtype == torch.float32
    assert output.answer == CHOICES[int(output.scores.argmax())]
    torch.testing.assert_close(pipeline(frames, QUESTION, CHOICES, calibrate=False).scores, seen.softmax(0))
    answer, scores = pipeline(frames, QUESTION, tuple(CHOICES), return_dict=False)
    assert answer == output.answer and torch.equal(scores, output.scores)


def test_the_order_of_choices_does_not_count(pipeline, frames):
    one, other = pipeline(frames, QUESTION, CHOICES), pipeline(frames, QUESTION, CHOICES[::-1])
    torch.testing.assert_close(one.scores, other.scores.flip(0))
    assert one.answer == other.answer


def test_video_question_and_levels_count(pipeline, frames):
    scores = pipeline(frames, QUESTION, CHOICES).scores
    for other in (
        pipeline(255 - frames, QUESTION, CHOICES),
        pipeline(frames, "where is it?", CHOICES),
        pipeline(frames, QUESTION, CHOICES, levels=(4,)),
    ):
        assert not torch.allclose(other.scores, scores, atol=1e-6)


def test_tokens_are_enough(pipeline, clip, tmp_path):
    expected = pipeline(clip, QUESTION, CHOICES).scores
    tokens = PyraTokReconstructionPipeline(pipeline.vq_model)(clip).tokens
    tokens.save(tmp_path / "clip.safetensors")
    for given in (tokens, tmp_path / "clip.safetensors"):
        torch.testing.assert_close(pipeline(given, QUESTION, CHOICES).scores, expected)
    some = VideoTokens.load(tmp_path / "clip.safetensors").video_codes
    assert pipeline.projector([None, *some[1:]]).shape[1] < pipeline.projector(some).shape[1]


def test_a_stretch_of_a_video(pipeline, clip):
    frames = read_video(clip)[0]
    part = pipeline(clip, QUESTION, CHOICES, start=0.2, end=0.6, levels=(1,))
    rate = 25
    expected = pipeline(frames[round(0.2 * rate) : round(0.6 * rate)].numpy(), QUESTION, CHOICES, levels=(1,))
    torch.testing.assert_close(part.scores, expected.scores)


def test_answers_in_words(pipeline, frames):
    output = pipeline(frames, QUESTION, max_new_tokens=8)
    assert isinstance(output.answer, str) and output.scores is None
    assert pipeline(frames, QUESTION, max_new_tokens=8).answer == output.answer

    def drawn(seed: int) -> str:
        generator = torch.Generator().manual_seed(seed)
        return pipeline(frames, QUESTION, max_new_tokens=12, temperature=2.0, generator=generator).answer

    assert drawn(0) == drawn(0) and len({drawn(seed) for seed in range(4)}) > 1


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 3, 200), (6, 17, 33)])
def test_any_size(pipeline, size):
    video = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    assert pipeline(video, QUESTION, CHOICES).scores.isfinite().all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"question": " "}, ValueError, "question is empty"),
        ({"question": None}, TypeError, "a question is a string"),
        ({"choices": ["a"]}, ValueError, "at least two"),
        ({"choices": ["a", " "]}, ValueError, "none of them empty"),
        ({"choices": "ab"}, TypeError, "choices are a list"),
        ({"choices": ["a", 3]}, TypeError, "choices are a list"),
        ({"levels": (0,)}, ValueError, "level"),
        ({"levels": ()}, ValueError, "at least one level"),
        ({"max_new_tokens": 0}, ValueError, "max_new_tokens"),
        ({"temperature": -1.0}, ValueError, "temperature"),
        ({"start": 0.1}, ValueError, "start and end are seconds of a video file"),
    ],
)
def test_bad_input_is_named(tiny_model, frames, options, error, message):
    language = tiny_language_model(), language_tokenizer()
    pipeline = PyraTokQuestionAnsweringPipeline(tiny_model, tiny_projector(tiny_model), *language)
    with pytest.raises(error, match=message):
        pipeline(**{"video": frames, "question": QUESTION, **options})


def test_parts_that_do_not_fit_are_refused(tiny_model):
    language = tiny_language_model(), language_tokenizer()
    for options, message in (
        ({"codebook_bits": 5}, "codebook_bits=5"),
        ({"weights_fingerprint": 64 * "0"}, "other weights"),
        ({"language_hidden_size": 7}, "embeddings of 32 numbers, the projector gives 7"),
    ):
        with pytest.raises(ValueError, match=message):
            PyraTokQuestionAnsweringPipeline(tiny_model, tiny_projector(tiny_model, **options), *language)
    with pytest.raises(ValueError, match="or neither"):
        PyraTokQuestionAnsweringPipeline(tiny_model, tiny_projector(tiny_model), language[0])
    with pytest.raises(PyraTokError, match="does not say which language model"):
        PyraTokQuestionAnsweringPipeline(tiny_model, tiny_projector(tiny_model))


def test_from_a_repository(repository, frames, tiny_model, tmp_path):
    language = tiny_language_model(), language_tokenizer(CHAT_TEMPLATE)
    expected = PyraTokQuestionAnsweringPipeline(tiny_model, tiny_projector(tiny_model), *language)(
        frames, QUESTION, CHOICES
    )
    for load in (PyraTokQuestionAnsweringPipeline.from_pretrained, load_question_answering):
        assert torch.equal(load(repository)(frames, QUESTION, CHOICES).scores, expected.scores)
    half = PyraTokQuestionAnsweringPipeline.from_pretrained(repository, torch_dtype=torch.bfloat16)
    assert half.projector.dtype == half.language_model.dtype == half.vq_model.dtype == torch.bfloat16
    assert half(frames, QUESTION, CHOICES).scores.isfinite().all()
    half.save_pretrained(tmp_path)  # rounded weights, which the projector does not know
    again = PyraTokQuestionAnsweringPipeline.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    assert torch.equal(again(frames, QUESTION, CHOICES).scores, half(frames, QUESTION, CHOICES).scores)


def test_saved_without_the_language_model(repository, frames, tmp_path):
    pipeline = PyraTokQuestionAnsweringPipeline.from_pretrained(repository)
    expected = pipeline(frames, QUESTION, CHOICES).scores
    pipeline.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["projector"]
    assert torch.equal(pipeline(frames, QUESTION, CHOICES).scores, expected)  # it still has its language model
    for kind in (PyraTokQuestionAnsweringPipeline, diffusers.DiffusionPipeline):
        loaded = kind.from_pretrained(tmp_path)
        assert isinstance(loaded, PyraTokQuestionAnsweringPipeline)
        assert torch.equal(loaded(frames, QUESTION, CHOICES).scores, expected)


def test_a_projector_trained_elsewhere(repository, frames, tmp_path):
    PyraTokReconstructionPipeline.from_pretrained(repository).save_pretrained(tmp_path / "model")
    with pytest.raises(PyraTokError, match="has no projector.*question_training"):
        load_question_answering(tmp_path / "model")
    with pytest.raises(PyraTokError, match="has no projector"):
        PyraTokQuestionAnsweringPipeline.from_pretrained(tmp_path / "model")
    with pytest.raises(PyraTokError, match="there is no projector in"):
        load_question_answering(tmp_path / "model", tmp_path)
    expected = load_question_answering(repository)(frames, QUESTION, CHOICES).scores
    for place in (repository, repository / "projector"):
        found = load_question_answering(tmp_path / "model", place)(frames, QUESTION, CHOICES)
        assert torch.equal(found.scores, expected)


def test_another_tokenizers_projector_is_one_sentence(repository, tmp_path):
    torch.manual_seed(1)
    PyraTokModel(PyraTokConfig.tiny()).save_pretrained(tmp_path)
    with pytest.raises(
        PyraTokError, match="cannot answer questions: the projector was trained with the tokens of other weights"
    ):
        load_question_answering(tmp_path, repository / "projector")
