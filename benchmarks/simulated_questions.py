"""Multiple-choice questions about simulated clips; the answers follow from the script and from what the game says is seen.

Wrong choices are of the same sort as the right one, and its place is balanced: the words alone tell next to nothing.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from simulated_actions import OTHERS, TURNS
from simulated_building import Scene
from simulated_captions import seen_names
from simulated_recording import Recording
from simulated_rooms import WALLS
from simulated_things import KIND_OF, MONSTERS, OBJECTS

CHOICES = 4

Balance = Callable[[str, Sequence[Any]], Any]

MOST_MONSTERS = 4
"""In a clip with questions. They are all of one kind."""


@dataclass(frozen=True)
class Quiz:
    """One question of a task; `answer` is one of `choices`."""

    task: str
    question: str
    choices: tuple[str, ...]
    answer: str


def questions_of(source: random.Random, recording: Recording, balance: Balance) -> list[Quiz]:
    """One question of each task. balance: gives one of some options, each in as many clips as any other.

    The clip shows monsters of one kind, each of them seen, and at least one other thing; its script is a turn and something
    that is none, in either order.
    """
    room = recording.scene.room
    monsters = [thing.kind for thing in recording.scene.things if thing.kind.walks]
    numbers = tuple(str(number + 1) for number in range(MOST_MONSTERS))
    other_walls = source.sample(sorted(set(WALLS) - {room.walls}), CHOICES - 1)
    return [
        _which_thing(source, recording, balance),
        _is_it_there(source, recording, balance),
        Quiz("monster_count", f"How many {monsters[0].plural} are there?", numbers, str(len(monsters))),
        _turn_direction(recording.scene),
        _first_action(source, recording.scene, balance),
        _mixed(balance, "walls", "What are the walls like?", room.walls, other_walls),
    ]


def _which_thing(source: random.Random, recording: Recording, balance: Balance) -> Quiz:
    present, absent = _present_and_absent(source, recording)
    right = KIND_OF[source.choice(present)].counted(1)
    wrong = [KIND_OF[name].counted(1) for name in source.sample(absent, CHOICES - 1)]
    return _mixed(balance, "which_thing", "Which of these is in the room?", right, wrong)


def _is_it_there(source: random.Random, recording: Recording, balance: Balance) -> Quiz:
    present, absent = _present_and_absent(source, recording)
    answer = balance("is_it_there", ("yes", "no"))
    asked = KIND_OF[source.choice(present if answer == "yes" else absent)]
    return Quiz("is_it_there", f"Is there {asked.counted(1)}?", ("yes", "no"), answer)


def _present_and_absent(source: random.Random, recording: Recording) -> tuple[list[str], list[str]]:
    """Names that are seen, and names that are nowhere in the room: either all of monsters, or all of objects."""
    names = [kind.name for kind in source.choice((MONSTERS, OBJECTS))]
    placed = {thing.name for thing in recording.scene.things}
    return [name for name in seen_names(recording) if name in names], [name for name in names if name not in placed]


def _turn_direction(scene: Scene) -> Quiz:
    turn = next(stretch.action for stretch in scene.script if stretch.action.turn)
    return Quiz("turn_direction", "Which way does the player turn?", ("left", "right"), turn.name.split()[-1])


def _first_action(source: random.Random, scene: Scene, balance: Balance) -> Quiz:
    """The choices are what is done first, what is done next, the other turn, and something else that is no turn."""
    first, second = (stretch.action for stretch in scene.script)
    other_turn = next(action for action in TURNS if action not in (first, second))
    other = source.choice([action for action in OTHERS if action not in (first, second)])
    wrong = source.sample([action.name for action in (second, other_turn, other)], CHOICES - 1)
    return _mixed(balance, "first_action", "What does the player do first?", first.name, wrong)


def _mixed(balance: Balance, task: str, question: str, answer: str, others: list[str]) -> Quiz:
    """The right choice in any place."""
    place = balance(f"{task} place", range(CHOICES))
    return Quiz(task, question, (*others[:place], answer, *others[place:]), answer)
