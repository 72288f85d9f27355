"""`pyratok evaluate classification`: tiny models on tiny films; which videos count, and what is refused."""

import csv
import json
import shutil

import numpy as np
import pytest
from class_films import LABELS, write_classes
from tiny_language import save_tiny_repository

from pyratok import PyraTokClassificationPipeline
from pyratok.evaluation.linear_probe import LinearProbe

COMMAND = ("evaluate", "classification")


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return save_tiny_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    return write_classes(tmp_path_factory.mktemp("classes"), train=4, validation=2)


def test_classification_by_names_and_by_a_probe(run, repository, classes, work_folder):
    given = ("--data", classes, "--model", repository, "--json", "found.json")
    result = run("evaluate", "classification", *given)
    found = json.loads((work_folder / "found.json").read_text())
    pipeline = PyraTokClassificationPipeline.from_pretrained(repository)
    videos = sorted((classes / "validation").rglob("*.mp4"))
    right = [pipeline(path, ["dark field", "square"]).label == path.parent.name for path in videos]
    assert found["top_1"] == np.mean(right) and f"{np.mean(right):.2%} (chance 50.00%" in result.stdout
    assert found["split"] == "validation" and "the split train: 8 videos" in result.stderr
    probed = run("evaluate", "classification", *given, "--probe", "--save-probe", "probe.safetensors")
    found = json.loads((work_folder / "found.json").read_text())
    assert found["top_1"] == 1 and found["training_videos"] == 8, "a bright and a dark film differ in their tokens"
    assert "wrote probe.safetensors" in probed.stdout and "100.00%" in probed.stdout


@pytest.fixture
def kinetics(classes, work_folder):
    """clips/, val.csv with a clip that is not there, and train.csv."""
    (work_folder / "clips").mkdir()
    for part, split, start in (("val", "validation", 0), ("train", "train", 3)):
        sources = sorted((classes / split).rglob("*.mp4"))
        with open(work_folder / f"{part}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["label", "youtube_id", "time_start", "time_end", "split"])
            for number, source in enumerate(sources):
                name = f"{split}{number:03d}"
                writer.writerow([source.parent.name, name, start, start + 10, part])
                if number or part == "train":
                    shutil.copy(source, work_folder / "clips" / f"{name}_{start:06d}_{start + 10:06d}.mp4")
    return ("--data", "clips", "--annotations", "val.csv", "--benchmark")


@pytest.mark.parametrize(("benchmark", "figure"), [("400", "78.43"), ("600", "77.11"), ("700", "74.08")])
def test_kinetics_prints_the_papers_row(run, repository, kinetics, benchmark, figure):
    given = (*COMMAND, *kinetics, f"kinetics-{benchmark}", "--model", repository)
    result = run(*given)
    assert figure in result.stdout and "zero-shot" in result.stdout and "validation000" in result.stderr
    probed = run(*given, "--probe", "--training-annotations", "train.csv").stdout
    assert "linear probe" in probed and "100.00%" in probed


def test_a_probe_is_not_measured_on_what_it_was_fitted_on(refused, repository, kinetics, classes):
    """Neither by one list given twice, nor because a list is not looked at."""
    model = ("--model", repository, "--probe")
    twice = (*kinetics, "kinetics-400", "--training-annotations", "val.csv")
    message = refused(*COMMAND, *twice, *model)
    assert "3 of 3 videos to measure are also those that the probe is fitted on" in message and ".mp4" in message
    ignored = ("--data", classes / "train", "--training-annotations", "val.csv")
    assert "--training-annotations needs --benchmark kinetics-400" in refused(*COMMAND, *ignored, *model)


def test_of_several_held_out_splits_the_measured_one_is_named(run, repository, tmp_path, work_folder):
    data = write_classes(tmp_path / "data", train=3, validation=1, test=2)
    given = (*COMMAND, "--data", data, "--model", repository, "--json", "found.json", "--probe")
    result = run(*given)
    found = json.loads((work_folder / "found.json").read_text())
    assert (found["split"], found["videos"], found["training_videos"]) == ("validation", 2, 6)
    assert result.stderr == "left out: the split test: 4 videos; the figures are those of validation\n"
    rows = [line.split("│")[1:3] for line in result.stdout.splitlines() if line.count("│") == 3]
    assert ["split", "validation"] in [[cell.strip() for cell in row] for row in rows]
    shutil.rmtree(data / "validation")
    assert run(*given).stderr == ""
    assert json.loads((work_folder / "found.json").read_text())["split"] == "test"
    run(*COMMAND, "--data", data / "test", "--model", repository, "--json", "found.json")
    assert json.loads((work_folder / "found.json").read_text())["split"] is None


def test_levels_template_and_seed_reach_what_is_measured(run, repository, classes, work_folder):
    options = ("--levels", "2,1", "--template", "a film of a {}")
    given = (*COMMAND, "--data", classes, "--model", repository, "--json", "found.json")
    run(*given, *options)
    found = json.loads((work_folder / "found.json").read_text())
    pipeline = PyraTokClassificationPipeline.from_pretrained(repository)
    for video, predicted in found["predictions"].items():
        assert pipeline(video, sorted(LABELS), (2, 1), "a film of a {}").label == predicted
    assert found["levels"] == "2,1"
    written = []
    for seed in (0, 0, 1):
        run(*given, "--probe", "--levels", "1,2", "--seed", seed, "--save-probe", "probe.safetensors")
        written.append((work_folder / "probe.safetensors").read_bytes())
    assert written[0] == written[1] and LinearProbe.load(work_folder / "probe.safetensors").levels == (1, 2)


def test_bad_input(refused, repository, classes):
    kinetics, ucf = ("--benchmark", "kinetics-600"), ("--benchmark", "ucf-101")
    for arguments, message in (
        (kinetics, "needs --annotations"),
        (ucf, "needs --annotations"),
        (
            ("--annotations", "no.csv"),
            "--annotations needs --benchmark kinetics-400, kinetics-600, kinetics-700 or ucf-101",
        ),
        (("--fold", 2), "--fold 2 is for --benchmark ucf-101"),
        ((*ucf, "--annotations", "x", "--probe", "--training-annotations", "y"), "ucf-101 says itself"),
        (("--data", classes / "train", "--probe"), "the data need both"),
        (("--save-probe", "a.safetensors"), "--save-probe needs --probe"),
        ((*kinetics, "--training-annotations", "y"), "--training-annotations needs --probe"),
        (("--probe", "--save-probe", "a", "--json", "a"), "are one file"),
        (("--template", "a film"), "a template has {}"),
        (("--levels", "9"), "level"),
        (("--levels", "9", "--probe"), "level"),
    ):
        assert message in refused(*COMMAND, "--data", classes, "--model", repository, *arguments)
