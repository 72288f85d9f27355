"""`pyratok localize`."""

import json

import pytest
from PIL import Image
from tiny_language import save_tiny_repository

from pyratok import PyraTokActionLocalizationPipeline


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return save_tiny_repository(tmp_path_factory.mktemp("repository"))


def test_segments_a_plot_and_json(run, film, work_folder, repository):
    result = run(
        *("localize", film, "--text", "a person falls", "--text", "a dog", "--window", 1, "--segments", 3),
        *("--model", repository, "--json", "found.json"),
    )
    pipeline = PyraTokActionLocalizationPipeline.from_pretrained(repository)
    expected = pipeline(film, ["a person falls", "a dog"], window=1, max_segments=3)
    found = json.loads((work_folder / "found.json").read_text())
    assert found["segments"] == {
        text: [list(run) for run in runs] for text, runs in zip(expected.texts, expected.segments, strict=True)
    }
    assert found["times"] == pytest.approx(expected.times.tolist())
    start, end, score = expected.segments[0][0]
    assert f"{start:.2f} to {end:.2f} s, score {score:.4f}" in result.stdout
    assert Image.open(work_folder / "square_localization.png").size == (800, 440)


def test_tokens_are_enough(run, film, work_folder, repository):
    run("encode", film, "tokens.safetensors", "--model", repository)
    one = run("localize", film, "--text", "dog", "--model", repository, "--plot", "a.png", "--json", "a.json")
    other = run(
        "localize", "tokens.safetensors", "--text", "dog", "--model", repository, "--plot", "b.png", "--json", "b.json"
    )
    assert (work_folder / "a.json").read_text() == (work_folder / "b.json").read_text()
    assert (work_folder / "a.png").read_bytes() == (work_folder / "b.png").read_bytes()
    assert one.stdout != other.stdout  # they say which file it was


def test_what_nothing_reaches_is_not_found(run, film, repository):
    assert "not found" in run("localize", film, "--text", "dog", "--threshold", 5, "--model", repository).stdout


def test_bad_input(refused, film, repository, model_folder):
    for arguments, message in (
        ((film, "--text", " "), "none that is empty"),
        ((film, "--text", "dog", "--level", "9"), "level"),
        ((film, "--text", "dog", "--plot", "no/such/folder/a.png"), "folder"),
        (("nothing.mp4", "--text", "dog"), "'nothing.mp4' does not exist"),
        ((film, "--text", "dog", "--text", "dog"), "stands there twice"),
        ((film, "--text", "dog", "--plot", "a.png", "--json", "./a.png"), "are one file"),
        ((film, "--text", "dog", "--json", "no/such/folder/a.json"), "folder"),
        ((film, "--text", "dog", "--threshold", "inf"), "threshold is a finite number"),
        (("nothing.safetensors", "--text", "dog"), "nothing.safetensors"),
    ):
        assert message in refused("localize", *arguments, "--model", repository)
    assert "no text alignment" in refused("localize", film, "--text", "dog", "--model", model_folder)
