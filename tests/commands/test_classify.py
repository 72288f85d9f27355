"""`pyratok classify`, by labels and by a linear probe."""

import dataclasses
import shutil

import pytest
import torch
from class_films import write_classes
from safetensors.torch import load_file, save_file
from tiny_language import save_tiny_repository

from pyratok import PyraTokClassificationPipeline
from pyratok.evaluation.linear_probe import LinearProbe


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


@pytest.fixture
def fitted(run, repository, tmp_path):
    """Writes a probe of two classes; the folder of its films."""
    data = write_classes(tmp_path / "data", train=3, validation=1)

    def fit(*options):
        given = ("--data", data, "--model", repository, "--probe", "--save-probe", "probe.safetensors")
        assert "wrote probe.safetensors" in run("evaluate", "classification", *given, *options).stdout
        return data

    return fit


@pytest.mark.parametrize(("options", "levels"), [((), (1, 2, 3, 4)), (("--levels", "2"), (2,))])
def test_a_saved_probe_names_the_class(run, repository, fitted, work_folder, options, levels):
    data = fitted(*options)
    pipeline = PyraTokClassificationPipeline.from_pretrained(repository)
    probe = LinearProbe.load(work_folder / "probe.safetensors")
    assert probe.levels == levels
    for label in ("square", "dark field"):
        clip = data / "validation" / label / "0.mp4"
        run("encode", clip, "clip.safetensors", "--model", repository)
        scores = probe.scores(pipeline.features(str(clip), levels)[None])[0]
        for given in (clip, "clip.safetensors"):
            lines = run("classify", given, "--probe", "probe.safetensors", "--model", repository).stdout.splitlines()
            first, second = (line for line in lines if "%" in line)
            assert label in first and f"{float(scores.max()):.1%}" in first
            assert label not in second and f"{float(scores.min()):.1%}" in second


def test_of_many_classes_the_likeliest_are_shown(run, film, repository, fitted, work_folder):
    fitted()
    probe = LinearProbe.load(work_folder / "probe.safetensors")
    names = tuple(f"class {index}" for index in range(20))
    weight, bias = torch.zeros(20, len(probe.mean)).double(), torch.arange(20).double()
    dataclasses.replace(probe, classes=names, weight=weight, bias=bias).save(work_folder / "many.safetensors")
    lines = run("classify", film, "--probe", "many.safetensors", "--model", repository).stdout.splitlines()
    said = [line.split("│")[2].strip() for line in lines if "%" in line]
    assert said == [f"class {index}" for index in (19, 18, 17, 16, 15)]


def test_a_probe_of_other_features_is_refused(refused, film, repository, fitted, work_folder, tmp_path):
    fitted("--levels", "2")
    path = work_folder / "probe.safetensors"
    given = ("classify", film, "--probe", path)
    other = shutil.copytree(repository, tmp_path / "other")
    weights = other / "alignment/model.safetensors"
    save_file({name: tensor + 0.01 for name, tensor in load_file(weights).items()}, weights, {"format": "pt"})
    assert "takes the levels 2; leave --levels out" in refused(*given, "--model", repository, "--levels", "1,2")
    assert "fitted on features of another model" in refused(*given, "--model", other)
    dataclasses.replace(LinearProbe.load(path), levels=None).save(path)
    assert "does not say of which features it is" in refused(*given, "--model", repository)
    path.write_bytes(b"none")
    assert "is no linear probe, or is damaged" in refused(*given, "--model", repository)
    assert "cannot read the linear probe" in refused("classify", film, "--probe", "no", "--model", repository)


def test_bad_input(refused, film, repository, model_folder):
    for arguments, message in (
        ((film, "--label", ""), "none that is empty"),
        ((film, "--label", "dog", "--template", "dog"), "a template has {}"),
        ((film, "--label", "dog", "--levels", "0"), "level"),
        ((film,), "give --label once for each name, or --probe FILE"),
        ((film, "--label", "dog", "--probe", "p.safetensors"), "give --label once for each name, or --probe FILE"),
        ((film, "--probe", "p.safetensors", "--template", "a {}"), "a probe takes no names"),
        (("nothing.mp4", "--label", "dog"), "'nothing.mp4' does not exist"),
    ):
        assert message in refused("classify", *arguments, "--model", repository)
    assert "no text alignment" in refused("classify", film, "--label", "dog", "--model", model_folder)
