"""`benchmarks/captioned_tasks.py` and `benchmarks/understanding.py`: tasks made of captioned clips, and all figures on them."""

import json
import shutil

import captioned_tasks
import numpy as np
import pytest
import tasks
import understanding
from tiny_language import save_tiny_repository

import pyratok
from pyratok.evaluation.activitynet import read_activitynet
from pyratok.evaluation.class_folders import read_class_folders
from pyratok.evaluation.mvbench import read_mvbench
from pyratok.pipelines.model_loading import load_model

CAPTIONS = {"asl_a": "a sign", "asl_b": "a wave", "bbb_a": "a rabbit", "bbb_b": "a bird", "bbb_c": "a squirrel"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return save_tiny_repository(tmp_path_factory.mktemp("repository") / "tiny")


@pytest.fixture(scope="module")
def made(tmp_path_factory, films):
    """The tasks, of five short clips in each split."""
    source, output = (tmp_path_factory.mktemp(name) for name in ("video", "tasks"))
    for split in ("train", "validation"):
        (source / split).mkdir()
        lines = []
        for number, (name, caption) in enumerate(CAPTIONS.items()):
            shutil.copy(films / ("city.mp4" if number % 2 else "dog.mp4"), source / split / f"{name}_{split}.mp4")
            lines.append({"file_name": f"{name}_{split}.mp4", "text": caption})
        (source / split / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    files = captioned_tasks.described_files(str(source), "validation")
    captioned_tasks.write_films(files, output / "localization", films=2, seed=0)
    captioned_tasks.write_classes(str(source), output / "classification")
    captioned_tasks.write_questions(files, output / "questions", seed=0)
    return output, files


def test_films_say_when_each_caption_is_true(made):
    output, _ = made
    data = read_activitynet(output / "localization/annotations.json", output / "localization")
    assert len(data.videos) == 2
    for video in data.videos:
        frames, info = pyratok.read_video(video.video)
        ends = [action.end for action in sorted(video.actions, key=lambda action: action.start)]
        assert len(ends) == 4 and round(ends[-1] * float(info.fps)) == len(frames)
        starts = sorted(action.start for action in video.actions)
        assert starts == [0, *ends[:-1]]
        # Where two clips meet the picture changes more than within them.
        jumps = np.abs(np.diff(frames.float().mean(dim=(1, 2, 3)).numpy()))
        borders = [round(start * float(info.fps)) - 1 for start in starts[1:]]
        different = [border for border in borders if jumps[border] > 1]
        assert set(np.flatnonzero(jumps > 5)) <= set(borders) and different


def test_classes_and_questions_are_in_the_published_formats(made):
    output, files = made
    data = read_class_folders(output / "classification")
    assert len(data.videos) == 10 and data.splits == ("train", "validation")
    assert {video.label for video in data.videos} == {captioned_tasks.KINDS[name] for name in ("asl", "bbb")}
    questions = read_mvbench(output / "questions/json", output / "questions/video")
    assert len(questions) == 5
    own = {path.name: caption for path, caption in files}
    for question in questions:
        assert question.choices[question.answer] == own[question.video.name] and len(set(question.choices)) == 4


def test_figures_of_every_task(made, repository, tmp_path, monkeypatch):
    output, _ = made
    archives = tmp_path / "masks"
    archives.mkdir()
    clip = output / "localization/v_film_000.mp4"
    shutil.copy(clip, archives / "film.mp4")
    shape = tuple(pyratok.read_video(clip)[0].shape[:3])
    truth = np.zeros(shape, bool)
    truth[:, :40, :60] = True
    np.savez_compressed(archives / "film.masks.npz", masks=np.packbits(truth, axis=-1), shape=shape)
    line = {"file_name": "film.mp4", "masks": "film.masks.npz", "expression": "corner"}
    (archives / "metadata.jsonl").write_text(json.dumps(line) + "\n")
    folders = ("--segmentation", archives, "--localization", output / "localization")
    more = ("--classification", output / "classification", "--model", repository, "--untrained")
    arguments = ["understanding", tmp_path / "found.json", *folders, *more]
    monkeypatch.setattr("sys.argv", [str(argument) for argument in arguments])
    monkeypatch.setattr(
        understanding, "SEED", 7
    )  # the tiny alignment is itself one of random weights, by another seed
    understanding.main()
    found = json.loads((tmp_path / "found.json").read_text())
    weights = load_model(repository).weights_fingerprint()
    assert found.pop("weights_fingerprint") == weights
    assert len(found) == 6  # three tasks, trained and not
    masks = found[f"segmentation | {tmp_path.name}/masks | tiny"]
    assert masks["all foreground"]["J"] == pytest.approx(truth.mean()) and {"level 4, CRF", "chance"} <= masks.keys()
    other = found[f"segmentation | {tmp_path.name}/masks | tiny, untrained alignment"]
    assert other["all foreground"] == masks["all foreground"] and other["level 4"] != masks["level 4"]
    classes = found[f"classification | {output.name}/classification | tiny"]
    assert classes["all levels"]["chance"] == pytest.approx(0.5) and "linear probe" in classes
    (tmp_path / "found.json").write_text(json.dumps({**found, "weights_fingerprint": 64 * "0"}))
    with pytest.raises(SystemExit):  # figures of two models do not go into one file
        understanding.main()


def test_times_of_all_tasks(films, repository, monkeypatch, capsys):
    monkeypatch.setattr(
        "sys.argv", ["tasks", str(films / "dog.mp4"), "--seconds", "0.3", "--model", str(repository), "--repeats", "1"]
    )
    tasks.main()
    said = capsys.readouterr().out
    assert "segmentation, 2 words" in said and "CRF" in said and "questions are left out" in said
