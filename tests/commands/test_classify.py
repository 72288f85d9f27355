"""`pyratok classify`."""

import pytest
from tiny_language import save_tiny_repository

from pyratok import PyraTokClassificationPipeline


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return save_tiny_repository(tmp_path_factory.mktemp("repository"))


def test_the_likeliest_label_comes_first(run, film, repository):
    labels = ["a dog", "a square", "a city"]
    options = [part for label in labels for part in ("--label", label)]
    lines = run("classify", film, *options, "--model", repository, "--template", "a film of {}").stdout.splitlines()
    output = PyraTokClassificationPipeline.from_pretrained(repository)(film, labels, template="a film of {}")
    order = output.scores.argsort(descending=True).tolist()
    said = [line for line in lines if "%" in line]
    assert len(said) == 3
    for line, index in zip(said, order, strict=True):
        assert labels[index] in line and f"{float(output.scores[index]):.1%}" in line


def test_bad_input(refused, film, repository, model_folder):
    for arguments, message in (
        ((film, "--label", ""), "none that is empty"),
        ((film, "--label", "dog", "--template", "dog"), "a template has {}"),
        ((film, "--label", "dog", "--levels", "0"), "level"),
        (("nothing.mp4", "--label", "dog"), "'nothing.mp4' does not exist"),
    ):
        assert message in refused("classify", *arguments, "--model", repository)
    assert "no text alignment" in refused("classify", film, "--label", "dog", "--model", model_folder)
