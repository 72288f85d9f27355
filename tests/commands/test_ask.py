"""`pyratok ask`."""

import pytest
from asking_repository import save_asking_repository

from pyratok import PyraTokError
from pyratok.configuration.configuration_token_projector import PyraTokTokenProjectorConfig
from pyratok.modeling_pyratok.token_projector import PyraTokTokenProjector
from pyratok.pipelines.language_model_loading import PACKAGED
from pyratok.pipelines.question_answering_loading import load_question_answering

QUESTION = "what is it?"
CHOICES = ["a cat", "a dog", "nothing [at] all"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return save_asking_repository(tmp_path_factory.mktemp("repository"))


def test_the_likeliest_choice_comes_first(run, film, repository):
    options = [part for choice in CHOICES for part in ("--choice", choice)]
    lines = run("ask", film, QUESTION, *options, "--model", repository, "--levels", "1,3").stdout.splitlines()
    output = load_question_answering(repository)(film, QUESTION, CHOICES, levels=(1, 3))
    said = [line for line in lines if "%" in line]
    assert len(said) == 3
    for line, index in zip(said, output.scores.argsort(descending=True).tolist(), strict=True):
        assert CHOICES[index] in line and f"{float(output.scores[index]):.1%}" in line
    assert output.answer in said[0]


def test_words_from_a_token_file(run, film, repository):
    run("encode", film, "film.safetensors", "--model", repository)
    options = ("--model", repository, "--max-tokens", 8)
    assert run("ask", "film.safetensors", QUESTION, *options).stdout == run("ask", film, QUESTION, *options).stdout
    expected = load_question_answering(repository)(film, QUESTION, max_new_tokens=8)
    assert run("ask", film, QUESTION, *options).stdout.strip() == expected.answer
    drawn = [run("ask", film, QUESTION, *options, "--temperature", 2, "--seed", seed).stdout for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_stretch_and_a_projector_of_its_own(run, film, repository, model_folder):
    options = ("--choice", "a", "--choice", "b", "--start", 0.1, "--end", 0.4)
    one = run("ask", film, QUESTION, *options, "--model", repository).stdout
    assert one == run("ask", film, QUESTION, *options, "--model", repository, "--projector", repository).stdout
    other = run("ask", film, QUESTION, *options, "--model", repository, "--no-calibrate").stdout
    assert one != other


def test_what_no_model_allows_is_said_before_one_is_loaded(refused, film):
    for arguments, message in (
        ((" ",), "question is empty"),
        ((QUESTION, "--choice", "a"), "at least two"),
        ((QUESTION, "--temperature", "-1"), "temperature is a number from 0 up"),
        ((QUESTION, "--start", "3", "--end", "2"), "end comes after start"),
        ((QUESTION, "--chunk-frames", "3"), "chunk_frames"),
        ((QUESTION, "--levels", "one"), "--levels takes level numbers"),
    ):
        assert message in refused("ask", film, *arguments, "--model", "no/such/model")


@pytest.mark.slow
def test_a_packaged_language_model_is_loaded_without_a_bar(run, film, tmp_path):
    try:
        PACKAGED["smollm2-135m"].file()
    except PyraTokError as problem:
        pytest.skip(str(problem))
    folder = save_asking_repository(tmp_path) / "projector"
    config = PyraTokTokenProjectorConfig.from_pretrained(folder)
    config.language_model, config.language_hidden_size = "smollm2-135m", 576
    PyraTokTokenProjector(config).save_pretrained(folder)
    assert run("ask", film, QUESTION, "--model", tmp_path, "--max-tokens", 1).stderr == ""


def test_bad_input(refused, film, repository, model_folder):
    for arguments, message in (
        ((film, " "), "question is empty"),
        ((film, QUESTION, "--choice", "a"), "at least two"),
        ((film, QUESTION, "--levels", "0"), "level"),
        ((film, QUESTION, "--temperature", "-1"), "temperature"),
        ((film, QUESTION, "--start", "100"), "no frame from 100 s"),
        (("nothing.mp4", QUESTION), "'nothing.mp4' does not exist"),
        ((film, QUESTION, "--projector", "nothing"), "no projector in 'nothing'"),
    ):
        assert message in refused("ask", *arguments, "--model", repository)
    assert "has no projector" in refused("ask", film, QUESTION, "--model", model_folder)
