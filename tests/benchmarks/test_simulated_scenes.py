"""The simulated benchmark: the same for the same seed, read by the readers, and true, as the game's state says by itself."""

import functools
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import simulated_clips
import simulated_scenes
import torch
from camera_motion import motions_of
from simulated_actions import ACTIONS, FRAMES_PER_SECOND
from simulated_building import (
    PARTS,
    TRAIN_PARTS,
    VALIDATION_PARTS,
    source_of,
)
from simulated_captions import seen_names
from simulated_clips import Clip, balanced, draw_clip
from simulated_recording import HEIGHT, WIDTH, load_vizdoom
from simulated_things import KINDS, MONSTERS
from simulated_writing import write_part

from pyratok import PyraTokError, read_video
from pyratok.evaluation.activitynet import read_activitynet
from pyratok.evaluation.class_folders import read_class_folders
from pyratok.evaluation.mask_archives import read_mask_archives
from pyratok.evaluation.mvbench import read_mvbench
from pyratok.training.data_sources import open_rows

SEED = 5
CLIPS = {
    "captions/train": 1,
    "captions/validation": 1,
    "segmentation": 2,
    "localization": 1,
    "classification": 2,
    "questions": 2,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small benchmark."""
    root = tmp_path_factory.mktemp("simulated")
    for part, clips in CLIPS.items():
        write_part(root, part, clips, SEED)
    return root


@functools.cache
def drawn(part: str, index: int) -> Clip:
    """The clip again, from nothing."""
    return draw_clip(part, SEED, index)


def scenes_of(folder: Path, part: str) -> list[dict]:
    lines = (folder / "scenes" / f"{part.replace('/', '_')}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


# The same for everyone


def test_two_runs_give_the_same_frames_and_labels(folder: Path, tmp_path: Path):
    for part in ("segmentation", "questions"):
        write_part(tmp_path, part, 1, SEED)
        for path in sorted((tmp_path / part).rglob("*.*")):
            other = folder / path.relative_to(tmp_path)
            if path.suffix == ".mp4":
                assert torch.equal(read_video(path)[0], read_video(other)[0])
            elif path.suffix == ".npz":
                assert np.array_equal(np.load(path)["masks"], np.load(other)["masks"])
            else:
                assert other.read_text("utf-8").startswith(path.read_text("utf-8").rstrip("]\n"))
        assert scenes_of(tmp_path, part)[0] == scenes_of(folder, part)[0]


def test_another_seed_gives_another_clip():
    assert (
        draw_clip("captions/train", 0, 0).recording.checksum()
        != draw_clip("captions/train", 1, 0).recording.checksum()
    )


def test_no_two_parts_share_a_scene_whatever_the_seeds():
    assert set(TRAIN_PARTS).isdisjoint(VALIDATION_PARTS) and set(PARTS) == {*TRAIN_PARTS, *VALIDATION_PARTS}
    chances = [
        source_of(seed, part, index, attempt).random()
        for part in PARTS
        for seed in (0, 1, 11)
        for index in (0, 1, 11, 111)
        for attempt in (0, 1, 11)
    ]
    assert len(set(chances)) == len(chances)
    with pytest.raises(ValueError, match="part must be one of"):
        source_of(0, "test", 0, 0)


def test_what_a_figure_depends_on_is_balanced():
    for seed in range(3):
        actions = [balanced(ACTIONS, seed, "classification", "action", index) for index in range(24)]
        assert all(set(actions[start : start + 8]) == set(ACTIONS) for start in (0, 8, 16))
    orders = {tuple(balanced("abcd", seed, "questions", "letter", index) for index in range(4)) for seed in range(9)}
    assert all(set(order) == set("abcd") for order in orders) and len(orders) > 1


# The parts, through the readers


def test_segmentation(folder: Path):
    data = read_mask_archives(folder / "segmentation")
    scenes = scenes_of(folder, "segmentation")
    assert len(data.clips) == len(scenes) == 2
    for index, (clip, scene) in enumerate(zip(data.clips, scenes, strict=True)):
        recording = drawn("segmentation", index).recording
        assert clip.size == (scene["script"][-1]["end_frame"], HEIGHT, WIDTH) and 17 <= clip.size[0] <= 49
        assert clip.frames_per_second == 25
        error = (clip.frames().float() - torch.from_numpy(recording.frames)).abs().mean()
        assert clip.frames().shape == recording.frames.shape and error < 6
        assert clip.objects and {o.name for o in clip.objects} <= {t["name"] for t in scene["things"]}
        masks = [o.masks() for o in clip.objects]
        assert all(mask.shape == clip.size and mask.any() for mask in masks)
        assert np.sum(masks, 0).max() == 1  # a pixel shows one thing
        for shown, mask in zip(clip.objects, masks, strict=True):
            assert np.array_equal(mask, recording.masks(shown.name))


def test_a_name_without_masks_is_listed(folder: Path):
    lines = map(json.loads, (folder / "segmentation/metadata.jsonl").read_text("utf-8").splitlines())
    for index, line in enumerate(lines):
        recording = drawn("segmentation", index).recording
        shown = {t.name for t in recording.scene.things if recording.masks(t.name).any()}
        assert {o["name"] for o in line["objects"]} | set(line["left_out"]) == shown


def test_times_are_exact(folder: Path):
    data = read_activitynet(folder / "localization/annotations.json", folder / "localization")
    (video,) = data.videos
    motions = motions_of(drawn("localization", 0).recording)
    frames, info = read_video(video.video)
    assert len(frames) == len(motions) >= 250 and info.fps == FRAMES_PER_SECOND
    assert video.duration == len(frames) / 25 and not data.missing and not data.repeated
    assert video.actions[0].start == 0 and video.actions[-1].end == video.duration
    for action in video.actions:
        start, end = round(25 * action.start), round(25 * action.end)
        resting = action.label in ("shooting", "standing still")
        assert motions[start:end] == ["none" if resting else action.label] * (end - start)


def test_classification(folder: Path):
    data = read_class_folders(folder / "classification")
    assert len(data.videos) == 2 and set(data.labels) <= {action.name for action in ACTIONS}
    for video in data.videos:
        index = int(video.video.stem.split("_")[-1])
        clip = drawn("classification", index)
        resting = video.label in ("shooting", "standing still")
        assert set(motions_of(clip.recording)) == {"none" if resting else video.label}
        assert len(read_video(video.video)[0]) == len(clip.recording.frames)


def test_answers_are_right(folder: Path):
    data = read_mvbench(folder / "questions/json", folder / "questions/video")
    scenes = scenes_of(folder, "questions")
    assert not data.left_out and len(data) == 6 * 2
    phrase_names = {kind.counted(1): kind.name for kind in KINDS} | {kind.plural: kind.name for kind in KINDS}
    for question in data:
        index = int(question.video.stem.split("_")[-1])
        placed = [thing["name"] for thing in scenes[index]["things"]]
        answer = question.choices[question.answer]
        if question.task == "which_thing":
            assert [choice for choice in question.choices if phrase_names[choice] in placed] == [answer]
        elif question.task == "is_it_there":
            asked = re.fullmatch(r"Is there (.*)\?", question.question)[1]
            assert answer == ("yes" if phrase_names[asked] in placed else "no")
        elif question.task == "monster_count":
            asked = re.fullmatch(r"How many (.*) are there\?", question.question)[1]
            assert int(answer) == placed.count(phrase_names[asked])
        elif question.task == "walls":
            assert answer == scenes[index]["room"]["walls"]
        else:
            motions = motions_of(drawn("questions", index).recording)
            if question.task == "turn_direction":
                assert {motion for motion in motions if "turning" in motion} == {f"turning {answer}"}
            else:
                assert question.task == "first_action"
                assert motions[0] == ("none" if answer in ("shooting", "standing still") else answer)


def test_the_place_of_the_right_choice_tells_nothing(monkeypatch):
    """Of four clips each has it in another place."""
    recording = drawn("questions", 0).recording
    monkeypatch.setattr(simulated_clips, "record_scene", lambda scene: recording)
    monkeypatch.setattr(simulated_clips, "_is_fit", lambda *_: True)
    clips = [draw_clip("questions", 9, index) for index in range(4)]
    for task in ("which_thing", "first_action", "walls"):
        quizzes = [quiz for clip in clips for quiz in clip.questions if quiz.task == task]
        assert sorted(quiz.choices.index(quiz.answer) for quiz in quizzes) == [0, 1, 2, 3]
    answers = [quiz.answer for clip in clips for quiz in clip.questions if quiz.task == "is_it_there"]
    assert sorted(answers) == ["no", "no", "yes", "yes"]


def test_questions_are_about_what_is_seen(folder: Path):
    for index in range(2):
        clip = drawn("questions", index)
        asked = next(quiz for quiz in clip.questions if quiz.task == "monster_count")
        shares = clip.recording.shares()
        seen = [t.name for t, share in zip(clip.recording.scene.things, shares.T, strict=True) if share.max() > 0.003]
        monster = next(kind for kind in MONSTERS if kind.plural in asked.question)
        assert seen.count(monster.name) == int(asked.answer)


def test_captions(folder: Path):
    for split in ("train", "validation"):
        (row,) = list(open_rows(str(folder / "captions"), split).rows)
        clip = drawn(f"captions/{split}", 0)
        assert row["caption"] == clip.caption and row["problem"] is None
        placed = {thing.name for thing in clip.recording.scene.things}
        words = {kind.name: kind.name for kind in KINDS} | {kind.plural: kind.name for kind in KINDS}
        longest_first = "|".join(sorted(words, key=len, reverse=True))
        said = {words[found] for found in re.findall(rf"\b({longest_first})\b", clip.caption)}
        assert said == set(seen_names(clip.recording)) and said <= placed
        verbs = [stretch.action.verb for stretch in clip.recording.scene.script]
        assert f"the player {', then '.join(verbs)}" in clip.caption
        assert f"a {clip.recording.scene.room.walls} " in clip.caption


# What goes wrong


def test_without_vizdoom_the_message_names_the_extra(monkeypatch, capsys, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "vizdoom", None)
    with pytest.raises(PyraTokError, match="vizdoom, which is not installed.*extra `simulate`"):
        load_vizdoom()
    monkeypatch.setattr(sys, "argv", ["simulated_scenes.py", str(tmp_path / "new"), "--clips", "1", "--seed", "0"])
    with pytest.raises(SystemExit) as stop:
        simulated_scenes.main()
    assert stop.value.code == 2 and "`simulate`" in capsys.readouterr().err and not (tmp_path / "new").exists()


def test_what_is_there_is_not_overwritten(folder: Path):
    before = sorted(path.name for path in (folder / "segmentation").iterdir())
    with pytest.raises(PyraTokError, match="segmentation' is not empty"):
        write_part(folder, "segmentation", 1, SEED + 1)
    assert sorted(path.name for path in (folder / "segmentation").iterdir()) == before


def test_a_file_in_the_place_of_the_folder(tmp_path: Path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(PyraTokError, match="cannot make the folder .*taken.*not a directory"):
        write_part(tmp_path / "taken", "segmentation", 1, SEED)


def test_the_command_writes_the_parts_of_a_split(monkeypatch, capsys, tmp_path: Path):
    monkeypatch.setattr(
        sys, "argv", ["simulated_scenes.py", str(tmp_path), "--clips", "1", "--seed", "2", "--split", "train"]
    )
    simulated_scenes.main()
    for part in TRAIN_PARTS:
        assert part in capsys.readouterr().out or (tmp_path / part).is_dir()
        assert len(list((tmp_path / part).rglob("*.mp4"))) == 1
    assert not any((tmp_path / part).exists() for part in VALIDATION_PARTS)
    assert "Freedoom" in (tmp_path / "README.md").read_text("utf-8")


def test_no_clips_are_refused(monkeypatch, capsys, tmp_path: Path):
    monkeypatch.setattr(sys, "argv", ["simulated_scenes.py", str(tmp_path), "--clips", "0", "--seed", "2"])
    with pytest.raises(SystemExit):
        simulated_scenes.main()
    assert "--clips must be 1 or more, got 0" in capsys.readouterr().err
