"""The simulated benchmark: the same for the same seed, read by the readers, and true, as the game's state says by itself."""

import functools
import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import simulated_clips
import simulated_scenes
import torch
from simulated_actions import ACTION_OF, ACTIONS, FRAMES_PER_SECOND, Stretch, draw_long_script
from simulated_building import (
    FIELD_OF_VIEW,
    PARTS,
    TRAIN_PARTS,
    VALIDATION_PARTS,
    Scene,
    draw_kinds,
    draw_scene,
    source_of,
)
from simulated_captions import seen_names
from simulated_clips import Clip, balanced, draw_clip
from simulated_recording import HEIGHT, WIDTH, Recording, load_vizdoom, record_scene
from simulated_rooms import Room
from simulated_things import KIND_OF, KINDS, MONSTERS, Thing
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
ROOM = Room("stone", "a grey floor", "GRAY1", "FLAT19", "CEIL1_1", -700, -700, 700, 700, 0, 160, 230)


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


def scene_with(*things: Thing, script: tuple[Stretch, ...] = ()) -> Scene:
    return Scene(ROOM, things, script or (Stretch(ACTION_OF["standing still"], 0, 2, 0.0),), 90, 1)


def stretches(*names: str, frames: int = 10, speed: float = 2.0) -> tuple[Stretch, ...]:
    return tuple(Stretch(ACTION_OF[n], i * frames, (i + 1) * frames, speed) for i, n in enumerate(names))


def motion_of(before: np.ndarray, after: np.ndarray) -> str:
    """What the camera did between two poses, from the poses alone; "none" for less than half a unit or degree."""
    turn = math.remainder(after[2] - before[2], 360)
    if abs(turn) > 0.5:
        return "turning left" if turn > 0 else "turning right"
    moved, direction = after[:2] - before[:2], math.radians(after[2])
    if np.hypot(*moved) < 0.5:
        return "none"
    forward = moved @ (math.cos(direction), math.sin(direction))
    right = moved @ (math.sin(direction), -math.cos(direction))
    if abs(forward) > abs(right):
        return "moving forward" if forward > 0 else "moving backward"
    return "moving right" if right > 0 else "moving left"


def motions_of(recording: Recording) -> list[str]:
    """Of each frame; the clip starts at (0, 0)."""
    start = np.array([[0, 0, recording.scene.camera_angle]])
    poses = np.concatenate([start, recording.poses])
    return [motion_of(*pair) for pair in zip(poses, poses[1:], strict=False)]


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


# What is drawn


def test_every_kind_is_drawn_and_has_its_own_mask():
    things = []
    for index, kind in enumerate(KINDS):
        direction = 2 * math.pi * index / len(KINDS)
        place = round(500 * math.cos(direction)), round(500 * math.sin(direction))
        things.append(Thing(kind.name, *place, 0, kind.walks and index % 2 == 0))
    turn = (Stretch(ACTION_OF["turning left"], 0, 40, 9.0),)
    shares = record_scene(scene_with(*things, script=turn)).shares()
    assert (shares.max(0) > 0.0005).all()
    assert len({kind.name for kind in KINDS}) == len(KINDS) > 30 and len(MONSTERS) > 5


def test_masks_are_where_things_change_the_picture():
    """The room with and without its things differs where the masks are. (A tree has twigs thinner than half a pixel.)"""
    things = (Thing("worm", 40, 200, 200), Thing("barrel", -60, 160, 0), Thing("red column", 0, 300, 0))
    script = stretches("turning left", "moving forward")
    with_things, empty = record_scene(scene_with(*things, script=script)), record_scene(scene_with(script=script))
    changed = (with_things.frames != empty.frames).any(-1)  # (T, H, W)
    mask = np.any([with_things.masks(thing.name) for thing in things], 0)
    padded = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
    near = np.any([padded[:, y : y + HEIGHT, x : x + WIDTH] for y in range(3) for x in range(3)], 0)
    assert mask.mean() > 0.03 and not empty.things.any()
    assert not (changed & ~near).any()  # an edge of less than half a pixel changes the picture, and is in no mask
    assert changed[mask].mean() > 0.98


def test_masks_have_the_names_of_what_stands_there():
    """A thing is seen where a pinhole camera sees its place; the horizon is not needed for that."""
    recording = drawn("segmentation", 0).recording
    focal = WIDTH / 2 / math.tan(math.radians(FIELD_OF_VIEW / 2))
    checked = 0
    for number, thing in enumerate(recording.scene.things, start=1):
        for pose, shown in zip(recording.poses, recording.things, strict=True):
            columns = np.nonzero((shown == number).any(0))[0]
            if len(columns) and columns.min() > 1 and columns.max() < WIDTH - 2:
                seen = []
                for x, y in thing.spots():
                    ahead = math.radians(pose[2])
                    right = (x - pose[0]) * math.sin(ahead) - (y - pose[1]) * math.cos(ahead)
                    depth = (x - pose[0]) * math.cos(ahead) + (y - pose[1]) * math.sin(ahead)
                    seen.append(WIDTH / 2 + focal * right / depth)
                assert min(seen) - 4 <= columns.max() and columns.min() <= max(seen) + 4
                checked += 1
    assert checked > 10


def test_walkers_walk_and_others_stand():
    script = stretches("standing still", frames=40, speed=0.0)
    walker = record_scene(scene_with(Thing("beetle", 0, 200, 0, True), script=script)).masks("beetle")
    stander = record_scene(scene_with(Thing("beetle", 0, 200, 0), script=script)).masks("beetle")
    middles = [[np.nonzero(mask.any(0))[0].mean() for mask in masks] for masks in (walker, stander)]
    assert np.ptp(middles[0]) > 15 and np.ptp(middles[1]) < 2


def test_things_stand_apart_inside_the_room_and_off_the_path():
    for seed in range(20):
        source = source_of(seed, "localization", 0, 0)
        scene = draw_scene(source, draw_long_script(source, 250), draw_kinds(source, 3, 4))
        assert len(scene.things) >= 2
        assert len({KIND_OF[t.name].group for t in scene.things} - {""}) == len(
            {t.name for t in scene.things if KIND_OF[t.name].group}
        )
        for thing in scene.things:
            assert scene.room.left < thing.x < scene.room.right and scene.room.bottom < thing.y < scene.room.top


# Actions


def test_every_action_is_what_it_says_and_starts_and_stops_at_once():
    names = [action.name for action in ACTIONS]
    recording = record_scene(scene_with(script=stretches(*names)))
    wanted = ["none" if name in ("shooting", "standing still") else name for name in names]
    assert motions_of(recording) == [name for name in wanted for _ in range(10)]
    steps = np.abs(np.diff(recording.poses, axis=0))
    assert steps[65:].max() < 0.2  # shooting and standing still: the camera rests


def test_turning_left_moves_the_picture_to_the_right():
    frames = record_scene(scene_with(script=stretches("turning left", "turning right"))).frames.mean(-1)  # (T, H, W)
    for index, sign in ((5, 1), (15, -1)):
        before, after = frames[index][:, 20:-20], frames[index + 1]
        errors = {s: np.abs(after[:, 20 + s : WIDTH - 20 + s] - before).mean() for s in range(-10, 11)}
        assert sign * min(errors, key=errors.get) >= 2


def test_moving_forward_makes_things_larger_and_right_moves_them_left():
    masks = record_scene(
        scene_with(Thing("barrel", 0, 250, 0), script=stretches("moving forward", "moving right"))
    ).masks("barrel")
    sizes = masks.sum((1, 2))
    middles = [np.nonzero(mask.any(0))[0].mean() for mask in masks]
    assert sizes[9] > 1.1 * sizes[0] and middles[19] < middles[10] - 3


def test_shots_are_seen_from_the_frame_on_which_shooting_starts():
    shooting = stretches("standing still", "shooting", speed=0.0)
    frames, resting = (
        record_scene(scene_with(script=script)).frames for script in (shooting, (replace(shooting[0], end=20),))
    )
    assert np.array_equal(frames[:10], resting[:10])
    differs = (frames[10:] != resting[10:]).any((1, 2, 3))
    assert differs[:2].any() and differs.mean() > 0.8


def test_long_scripts_fill_the_clip_with_stretches_of_one_to_three_seconds():
    for seed in range(30):
        frames = 250 + seed
        script = draw_long_script(source_of(seed, "localization", 0, 0), frames)
        assert script[0].start == 0 and script[-1].end == frames
        for stretch, following in zip(script, script[1:], strict=False):
            assert stretch.end == following.start and stretch.action != following.action
        assert all(25 <= stretch.end - stretch.start <= 75 for stretch in script)


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
    assert len(data.videos) == 2 and set(data.labels) <= set(ACTION_OF)
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


def test_numbers_and_articles():
    assert KIND_OF["imp"].counted(1) == "an imp" and KIND_OF["imp"].counted(1, "walking") == "a walking imp"
    assert (
        KIND_OF["red torch"].counted(2) == "two red torches" and KIND_OF["green armour"].counted(1) == "green armour"
    )


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
