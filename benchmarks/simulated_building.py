"""Draws the scenes of the simulated benchmark: what the camera does, a room around its path, and things along it.

Everything follows from a seed, the part of the benchmark and a number, through Python's own generator, whose numbers are the
same everywhere. Lengths and angles are whole numbers where the game reads them.
"""

import math
import random
from dataclasses import asdict, dataclass

from simulated_actions import Pose, Stretch, path_of
from simulated_rooms import Room, draw_room
from simulated_things import MONSTERS, OBJECTS, WALK_LENGTH, Kind, Thing

TRAIN_PARTS = ("captions/train", "training/classification", "training/questions")
VALIDATION_PARTS = ("captions/validation", "segmentation", "localization", "classification", "questions")
PARTS = (*TRAIN_PARTS, *VALIDATION_PARTS)
"""The folders. A scene's seed has its part in it, so that no two parts share a scene, whatever the seeds."""

FIELD_OF_VIEW = 75
"""Degrees, from the left edge to the right."""

NEAREST, FARTHEST = 90, 300
"""Units between the camera and what is put before it."""

TRIES = 60


@dataclass(frozen=True)
class Scene:
    """All that a clip is made from. camera_angle: degrees, at the start; game_seed: for the game's own chances."""

    room: Room
    things: tuple[Thing, ...]
    script: tuple[Stretch, ...]
    camera_angle: int
    game_seed: int

    @property
    def num_frames(self) -> int:
        """Frames of the clip."""
        return self.script[-1].end

    def record(self) -> dict:
        """As JSON has it."""
        stretches = [
            {"action": s.action.name, "start_frame": s.start, "end_frame": s.end, "speed": s.speed}
            for s in self.script
        ]
        things = [asdict(thing) for thing in self.things]
        return {"room": asdict(self.room), "things": things, "script": stretches, "camera_angle": self.camera_angle}


def task_of(part: str) -> str:
    """What the clips of a part are for: captions, segmentation, localization, classification or questions."""
    return part.removeprefix("training/").split("/")[0]


def source_of(seed: int, part: str, index: int | str, attempt: int) -> random.Random:
    """The chances of one scene. Different arguments share nothing."""
    if part not in PARTS:
        raise ValueError(f"part must be one of {', '.join(PARTS)}, got {part!r}")
    return random.Random(f"PyraTok simulated scenes/{part}/{seed}/{index}/{attempt}")


def draw_kinds(source: random.Random, monsters: int, objects: int) -> list[Kind]:
    """Kinds of things, one entry for each thing: monsters, several of which may be of a kind, and `objects` other kinds."""
    kinds = [source.choice(MONSTERS) for _ in range(monsters)]
    shuffled, groups = source.sample(OBJECTS, len(OBJECTS)), set()
    for kind in shuffled:
        if objects and kind.group not in groups:
            groups |= {kind.group} - {""}
            kinds += [kind] * source.choice((1, 1, 2))
            objects -= 1
    return kinds


def draw_scene(source: random.Random, script: tuple[Stretch, ...], kinds: list[Kind]) -> Scene:
    """A room for the script, with things of these kinds wherever there is a place that the camera looks at."""
    camera_angle = source.randrange(360)
    path = path_of(script, camera_angle)
    room = draw_room(source, [(x, y) for x, y, _ in path])
    things: list[Thing] = []
    for kind in kinds:
        for _ in range(TRIES):
            pose = source.choice(path)
            thing = _before_the_camera(source, kind, pose)
            if _fits(thing, room, path) and all(_are_apart(thing, other, pose) for other in things):
                things.append(thing)
                break
    return Scene(room, tuple(things), script, camera_angle, source.randrange(2**31))


def _before_the_camera(source: random.Random, kind: Kind, pose: Pose) -> Thing:
    x, y, angle = pose
    direction = math.radians(angle + source.uniform(-0.4, 0.4) * FIELD_OF_VIEW)
    distance = source.uniform(NEAREST, FARTHEST)
    walks = kind.walks and source.random() < 1 / 3
    place = round(x + distance * math.cos(direction)), round(y + distance * math.sin(direction))
    return Thing(kind.name, *place, source.randrange(360), walks)


def _fits(thing: Thing, room: Room, path: list[Pose]) -> bool:
    """Off the walls, and never too close before the camera."""
    return all(
        room.holds(*spot, thing.kind.radius + 8) and all(math.dist(spot, pose[:2]) > 0.75 * NEAREST for pose in path)
        for spot in thing.spots()
    )


def _are_apart(thing: Thing, other: Thing, pose: Pose) -> bool:
    """Neither in each other's place nor one behind the other as the camera sees them at `pose`."""
    radii = thing.kind.radius + other.kind.radius
    for spot in thing.spots():
        for taken in other.spots():
            if math.dist(spot, taken) < radii + 8:
                return False
    return abs(_bearing(thing, pose) - _bearing(other, pose)) > _half_width(thing, pose) + _half_width(other, pose)


def _bearing(thing: Thing, pose: Pose) -> float:
    """Radians from the middle of the view, -pi to pi."""
    around = math.atan2(thing.y - pose[1], thing.x - pose[0]) - math.radians(pose[2])
    return math.remainder(around, 2 * math.pi)


def _half_width(thing: Thing, pose: Pose) -> float:
    """Radians from the middle of the thing to its edge, its walk included."""
    reach = thing.kind.radius + (WALK_LENGTH / 2 if thing.is_walking else 0)
    return math.atan2(reach, math.dist((thing.x, thing.y), pose[:2]))
