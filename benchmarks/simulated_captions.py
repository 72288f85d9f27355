"""Captions of simulated clips, made from what the game says is seen and from the script."""

import random
from collections import Counter

from simulated_actions import Stretch
from simulated_recording import Recording
from simulated_rooms import Room
from simulated_things import KIND_OF, Thing

SEEN_SHARE, SEEN_TIME = 0.004, 0.1
"""A thing counts as seen if it takes this share of the pixels in this share of the frames."""


def seen_things(recording: Recording) -> list[Thing]:
    """The things that are seen, the largest first."""
    shares = recording.shares()  # (T, things)
    times, sizes = (shares >= SEEN_SHARE).mean(0), shares.mean(0)
    order = sorted(range(len(sizes)), key=lambda index: -sizes[index])
    return [recording.scene.things[index] for index in order if times[index] >= SEEN_TIME]


def seen_names(recording: Recording) -> list[str]:
    """Their names, each once, the largest first."""
    return list(dict.fromkeys(thing.name for thing in seen_things(recording)))


def caption_of(source: random.Random, recording: Recording) -> str:
    """A sentence such as "an imp and two barrels in a brick room with a grass floor; the player turns left"."""
    scene = recording.scene
    things, actions = _things(recording), _actions(scene.script)
    room = _room(scene.room)
    with_floor = f"{room} with {scene.room.floor}"
    return source.choice(
        (
            f"{things} in {with_floor}; the player {actions}",
            f"the player {actions} in {with_floor} and sees {things}",
            f"{room} with {things}; the player {actions}",
        )
    )


def joined(parts: list[str]) -> str:
    """ "a, b and c"."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _things(recording: Recording) -> str:
    seen = seen_things(recording)
    if not seen:
        return "nothing"
    counts = Counter(thing.name for thing in seen)
    walking = Counter(thing.name for thing in seen if thing.is_walking)
    return joined(
        [
            KIND_OF[name].counted(number, "walking" if walking[name] == number else "")
            for name, number in counts.items()
        ]
    )


def _actions(script: tuple[Stretch, ...]) -> str:
    return ", then ".join(stretch.action.verb for stretch in script)


def _room(room: Room) -> str:
    return f"a {room.walls} {'yard' if room.has_sky else 'room'}"
