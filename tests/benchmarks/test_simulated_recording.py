"""What the game draws for a scene: masks where things are, and a camera that does what the script says, from frame to frame."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from camera_motion import motions_of
from simulated_actions import ACTIONS, Stretch, draw_long_script
from simulated_building import FIELD_OF_VIEW, Scene, draw_kinds, draw_scene, source_of
from simulated_clips import draw_clip
from simulated_recording import HEIGHT, WIDTH, record_scene
from simulated_rooms import Room
from simulated_things import KIND_OF, KINDS, MONSTERS, Thing

ACTION_OF = {action.name: action for action in ACTIONS}
ROOM = Room("stone", "a grey floor", "GRAY1", "FLAT19", "CEIL1_1", -700, -700, 700, 700, 0, 160, 230)


def scene_with(*things: Thing, script: tuple[Stretch, ...] = ()) -> Scene:
    return Scene(ROOM, things, script or (Stretch(ACTION_OF["standing still"], 0, 2, 0.0),), 90, 1)


def stretches(*names: str, frames: int = 10, speed: float = 2.0) -> tuple[Stretch, ...]:
    return tuple(Stretch(ACTION_OF[n], i * frames, (i + 1) * frames, speed) for i, n in enumerate(names))


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
    recording = draw_clip("segmentation", 5, 0).recording
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


def test_numbers_and_articles():
    assert KIND_OF["imp"].counted(1) == "an imp" and KIND_OF["imp"].counted(1, "walking") == "a walking imp"
    assert (
        KIND_OF["red torch"].counted(2) == "two red torches" and KIND_OF["green armour"].counted(1) == "green armour"
    )


def test_nothing_is_left_where_it_is_started(monkeypatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    record_scene(scene_with())
    assert not list(tmp_path.iterdir())
