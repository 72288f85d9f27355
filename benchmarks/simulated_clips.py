"""The clips of each part of the simulated benchmark: what is drawn for it, and which recordings it takes.

What a part's figures depend on (the class of a clip, the number of monsters, the place of the right choice) is balanced: of
every few clips each has another, in an order that is drawn.
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from simulated_actions import ACTIONS, OTHERS, SHORTEST, TURNS, Action, draw_long_script, script_of
from simulated_building import Scene, draw_kinds, draw_scene, source_of, task_of
from simulated_captions import caption_of, seen_things
from simulated_questions import MOST_MONSTERS, Quiz, questions_of
from simulated_recording import Recording, record_scene
from simulated_things import MONSTERS

MOST_ATTEMPTS = 50

MEDIUM = 50
"""Frames of the longest stretch in clips of one or two: 2 seconds."""

SEGMENTATION_FRAMES = (17, 49)
LOCALIZATION_FRAMES = (250, 325)

Option = TypeVar("Option")


@dataclass(frozen=True)
class Clip:
    """A clip with its texts. questions: only in the parts of that task."""

    name: str
    recording: Recording
    caption: str
    questions: tuple[Quiz, ...]


def draw_clip(part: str, seed: int, index: int) -> Clip:
    """Clip number `index` of a part. Scenes are drawn, each with chances of its own, until one shows what the part needs.

    Raises PyraTokError without VizDoom.
    """
    task = task_of(part)
    for attempt in range(MOST_ATTEMPTS):
        source = source_of(seed, part, index, attempt)
        recording = record_scene(_scene(source, part, seed, index))
        if _is_fit(recording, part, seed, index):
            caption, questions = caption_of(source, recording), []
            if task == "questions":
                questions = questions_of(source, recording, lambda what, of: balanced(of, seed, part, what, index))
            return Clip(f"{task}_{index:04d}", recording, caption, tuple(questions))
    raise RuntimeError(f"no scene for clip {index} of {part} with seed {seed} in {MOST_ATTEMPTS} attempts")


def balanced(options: Sequence[Option], seed: int, part: str, what: str, index: int) -> Option:
    """The option of clip `index`: of any `len(options)` clips from the first on, each has another one."""
    block, place = divmod(index, len(options))
    return source_of(seed, part, f"{what} {block}", 0).sample(list(options), len(options))[place]


def _scene(source: random.Random, part: str, seed: int, index: int) -> Scene:
    task = task_of(part)
    kinds = draw_kinds(source, source.randint(0, 2), source.randint(1, 3))
    if task == "localization":
        script = draw_long_script(source, source.randint(*LOCALIZATION_FRAMES))
        kinds = draw_kinds(source, source.randint(2, 4), source.randint(3, 5))
    elif task == "questions":
        script = script_of(source, _turn_and_other(source, part, seed, index), _lengths(source, 2))
        kinds = [source.choice(MONSTERS)] * _monsters(seed, part, index) + draw_kinds(source, 0, source.randint(2, 3))
    elif task == "classification":
        script = script_of(source, [balanced(ACTIONS, seed, part, "action", index)], _lengths(source, 1))
    elif task == "segmentation":
        script = script_of(source, [source.choice(ACTIONS)], [source.randint(*SEGMENTATION_FRAMES)])
    else:
        actions = source.sample(ACTIONS, source.choice((1, 1, 2)))
        script = script_of(source, actions, _lengths(source, len(actions)))
    return draw_scene(source, script, kinds)


def _turn_and_other(source: random.Random, part: str, seed: int, index: int) -> list[Action]:
    """A turn and something else; either turn comes first as often as second."""
    turn, comes_first = balanced(list(itertools.product(TURNS, (True, False))), seed, part, "turn", index)
    actions = [turn, source.choice(OTHERS)]
    return actions if comes_first else actions[::-1]


def _monsters(seed: int, part: str, index: int) -> int:
    return balanced(range(1, MOST_MONSTERS + 1), seed, part, "monsters", index)


def _lengths(source: random.Random, number: int) -> list[int]:
    return [source.randint(SHORTEST, MEDIUM) for _ in range(number)]


def _is_fit(recording: Recording, part: str, seed: int, index: int) -> bool:
    seen = seen_things(recording)
    if task_of(part) != "questions":
        return len(seen) > 0
    monsters = sum(thing.kind.walks for thing in recording.scene.things)
    return (
        monsters == _monsters(seed, part, index)
        and sum(thing.kind.walks for thing in seen) == monsters
        and monsters < len(seen)
    )
