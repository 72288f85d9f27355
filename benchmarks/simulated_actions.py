"""What the camera does in a simulated clip: a script of actions with exact times, and the path that follows from it.

A clip has 25 frames a second, and a frame for each tic of the game. In play there are 35 tics a second, so the game is shown at
25/35 of its speed. Frame k is what is seen after k + 1 commands: an action that is commanded for frames a to b - 1 fills the
seconds a/25 to b/25. The camera starts and stops within one tic.
"""

import math
import random
from dataclasses import dataclass

FRAMES_PER_SECOND = 25

SHORTEST, LONGEST = 25, 75
"""Frames of a stretch: 1 to 3 seconds."""

Pose = tuple[float, float, float]
"""x, y and angle of the camera: units and degrees, the angle growing to the left."""


@dataclass(frozen=True)
class Action:
    """One thing that the camera can do.

    name: the class ("turning left"); verb: as in "the player turns left".
    forward, side, turn: 1, 0 or -1, along which way `speed` of a stretch counts (side: to the right, turn: to the left).
    """

    name: str
    verb: str
    forward: int = 0
    side: int = 0
    turn: int = 0
    shoots: bool = False

    def draw_speed(self, source: random.Random) -> float:
        """Units or degrees a frame."""
        if self.turn:
            return round(source.uniform(1.2, 2.6), 1)
        if self.forward or self.side:
            return round(source.uniform(2.5, 4.5), 1)
        return 0.0


ACTIONS = (
    Action("turning left", "turns left", turn=1),
    Action("turning right", "turns right", turn=-1),
    Action("moving forward", "moves forward", forward=1),
    Action("moving backward", "moves backward", forward=-1),
    Action("moving left", "moves left", side=-1),
    Action("moving right", "moves right", side=1),
    Action("shooting", "shoots", shoots=True),
    Action("standing still", "stands still"),
)
TURNS = tuple(action for action in ACTIONS if action.turn)
OTHERS = tuple(action for action in ACTIONS if not action.turn)


@dataclass(frozen=True)
class Stretch:
    """An action on the frames `start` to `end` - 1. speed: units or degrees a frame, 0 where nothing moves."""

    action: Action
    start: int
    end: int
    speed: float

    @property
    def seconds(self) -> tuple[float, float]:
        """When it starts and ends."""
        return self.start / FRAMES_PER_SECOND, self.end / FRAMES_PER_SECOND


def script_of(source: random.Random, actions: list[Action], lengths: list[int]) -> tuple[Stretch, ...]:
    """The actions one after the other, each for as many frames as `lengths` says, at a speed that is drawn."""
    stretches, start = [], 0
    for action, length in zip(actions, lengths, strict=True):
        stretches.append(Stretch(action, start, start + length, action.draw_speed(source)))
        start += length
    return tuple(stretches)


def draw_long_script(source: random.Random, frames: int) -> tuple[Stretch, ...]:
    """Actions that fill `frames` frames, in stretches of 1 to 3 seconds; none follows itself."""
    lengths: list[int] = []
    while (rest := frames - sum(lengths)) > LONGEST:
        lengths.append(source.randint(SHORTEST, min(LONGEST, rest - SHORTEST)))
    lengths.append(rest)
    actions: list[Action] = []
    for _ in lengths:
        actions.append(source.choice([action for action in ACTIONS if action not in actions[-1:]]))
    return script_of(source, actions, lengths)


def path_of(script: tuple[Stretch, ...], camera_angle: int) -> list[Pose]:
    """Where the camera is on each frame. It starts at (0, 0)."""
    x, y, angle, poses = 0.0, 0.0, float(camera_angle), []
    for stretch in script:
        action, speed = stretch.action, stretch.speed
        for _ in range(stretch.start, stretch.end):
            angle += action.turn * speed
            along, across = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            x += speed * (action.forward * along + action.side * across)
            y += speed * (action.forward * across - action.side * along)
            poses.append((x, y, angle))
    return poses
