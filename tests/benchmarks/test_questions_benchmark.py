"""The questions that are made of captions, and how the ways to ask are measured."""

import json

import pytest
import questions
import torch
from tiny_causal_language import WIDTH, language_tokenizer, tiny_language_model

from pyratok import PyraTokModel
from pyratok.configuration.configuration_token_projector import PyraTokTokenProjectorConfig
from pyratok.modeling_pyratok.token_projector import PyraTokTokenProjector
from pyratok.pipelines.question_answering_pipeline import PyraTokQuestionAnsweringPipeline


@pytest.fixture
def captioned(films, tmp_path):
    """Four files of two films, two of them with the same caption."""
    folder = tmp_path / "validation"
    folder.mkdir()
    captions = ["a city", "a dog", "a city", "a tree", "a river"]
    for number in range(len(captions)):
        name = sorted(films.iterdir())[number % 2]
        (folder / f"{number}.mp4").write_bytes(name.read_bytes())
    lines = [{"file_name": f"{number}.mp4", "text": text} for number, text in enumerate(captions)]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_each_caption_stands_among_three_others(captioned):
    data = questions.caption_questions(str(captioned), "validation", seed=0)
    assert len(data) == 5
    for question in data:
        assert len(set(question.choices)) == 4
    own = [question.choices[question.answer] for question in data]
    assert own == ["a city", "a dog", "a city", "a tree", "a river"]
    assert data == questions.caption_questions(str(captioned), "validation", seed=0)
    seeded = [questions.caption_questions(str(captioned), "validation", seed) for seed in range(5)]
    assert len({question.answer for drawn in seeded for question in drawn}) > 1


def test_every_way_to_ask(captioned, model_folder):
    model = PyraTokModel.from_pretrained(model_folder).eval()
    sizes = {"codebook_size": model.config.hidden_size, "language_hidden_size": WIDTH}
    projector = PyraTokTokenProjector(PyraTokTokenProjectorConfig(**sizes)).eval()
    language = tiny_language_model(), language_tokenizer()
    pipeline = PyraTokQuestionAnsweringPipeline(model, projector, *language)
    data = questions.caption_questions(str(captioned), "validation", seed=0)
    encoded = []
    encode = model.encode_stream
    model.encode_stream = lambda *given, **options: encoded.append(1) or encode(*given, **options)
    found = questions.measured(pipeline, data)
    assert len(encoded) == 5  # once for each video
    assert list(found) == [
        "with the video",
        "with the video, not calibrated",
        *(f"level {n} alone" for n in (1, 2, 3, 4)),
        "the language model alone",
    ]
    for name, record in found.items():
        assert record["chance"] == 0.25 and 0 <= record["accuracy"] <= 1, name
    answers = found["with the video"]["answers"]
    expected = pipeline(str(data.questions[1].video), data.questions[1].question, data.questions[1].choices).scores
    torch.testing.assert_close(torch.tensor(answers[1]["scores"]), expected)
    json.dumps(found)
