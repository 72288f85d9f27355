"""What stands in the simulated rooms: names in plain English, and how the game draws them.

The pictures are those of Freedoom: Phase 2, the free game that comes with VizDoom. A kind is named after what one sees, not
after the monster of Doom in whose place Freedoom draws it: Doom's "Demon" is a worm there, its "PainElemental" a demon. Nothing
here thinks, attacks, blocks or can be picked up: a thing stands, or walks to and fro on a line.
"""

import math
from dataclasses import dataclass

FIRST_NUMBER = 20_000
"""Editor number of the first thing of a map; the game's own kinds have lower ones."""

NUMBERS = ("no", "one", "two", "three", "four", "five", "six")

WALK_SPEED = 1.5
"""Units a tic. A person is 56 units high."""

WALK_TICS_A_PICTURE = 8
"""Tics for which each picture of a walk is shown; a walk has four of them, and then turns round."""

WALK_LENGTH = 4 * WALK_TICS_A_PICTURE * WALK_SPEED
"""Units from one end of a walk to the other."""


@dataclass(frozen=True)
class Kind:
    """One sort of thing.

    sprite: the first four letters of its pictures' names in the game; idle: the pictures' letters while it stands.
    walks: whether it has pictures A to D of walking; these kinds are the monsters of the questions.
    scale: how much larger than in the game; width: of the picture, in units before scaling.
    one, many: singular and plural, where an article and an "s" at the end do not do.
    group: of a group, such as torches, at most one kind stands in a room.
    """

    name: str
    sprite: str
    idle: str = "A"
    walks: bool = False
    scale: float = 1.0
    width: int = 40
    glows: bool = False
    one: str = ""
    many: str = ""
    group: str = ""

    @property
    def radius(self) -> float:
        """Units from the middle to the edge."""
        return self.width * self.scale / 2

    @property
    def plural(self) -> str:
        """ "imps"."""
        return self.many or f"{self.name}s"

    def counted(self, number: int, adjective: str = "") -> str:
        """ "an imp", "two walking imps"."""
        if number > 1:
            return " ".join(filter(None, (NUMBERS[number], adjective, self.plural)))
        if self.one:
            return self.one
        words = " ".join(filter(None, (adjective, self.name)))
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _monster(name: str, sprite: str, scale: float = 1.0, width: int = 48, idle: str = "AB") -> Kind:
    return Kind(name, sprite, idle, True, scale, width)


KINDS = (
    _monster("zombie", "POSS"),
    _monster("soldier", "CPOS"),
    _monster("officer", "SSWV"),
    _monster("imp", "TROO"),
    _monster("worm", "SARG"),
    _monster("demon", "PAIN", width=80, idle="A"),
    _monster("beetle", "HEAD", width=64, idle="A"),
    _monster("knight", "BOS2", width=52),
    _monster("robot", "BSPI", 1.2, width=76, idle="A"),
    Kind("barrel", "BAR1", "AB", scale=1.6, width=24, group="barrel"),
    Kind("burning barrel", "FCAN", "ABC", scale=1.2, width=26, glows=True, group="barrel"),
    Kind("medkit", "MEDI", scale=2.0, width=30),
    Kind("green armour", "ARM1", scale=1.8, width=38, one="green armour", many="sets of green armour", group="armour"),
    Kind("red armour", "ARM2", scale=1.8, width=38, one="red armour", many="sets of red armour", group="armour"),
    Kind("backpack", "BPAK", scale=1.8, width=26),
    Kind("blue key", "BKEY", scale=2.4, width=16, group="key"),
    Kind("yellow key", "YKEY", scale=2.4, width=16, group="key"),
    Kind("red key", "RKEY", scale=2.4, width=16, group="key"),
    Kind("shotgun", "SGN2", scale=2.0, width=44),
    Kind("machine gun", "MGUN", scale=1.8, width=50),
    Kind("chainsaw", "CSAW", scale=2.0, width=48),
    Kind("chest", "BROK", scale=1.8, width=52),
    Kind("lamp", "TLMP", "ABCD", scale=1.1, width=20, glows=True),
    Kind("candelabra", "CBRA", scale=1.3, width=32, glows=True),
    Kind("green column", "COL1", scale=1.3, width=36, group="column"),
    Kind("red column", "COL3", scale=1.3, width=40, group="column"),
    Kind("blue torch", "TBLU", "ABCD", width=24, glows=True, many="blue torches", group="torch"),
    Kind("green torch", "TGRN", "ABCD", width=24, glows=True, many="green torches", group="torch"),
    Kind("red torch", "TRED", "ABCD", width=24, glows=True, many="red torches", group="torch"),
    Kind("bare tree", "TRE2", width=90, group="tree"),
    Kind("green tree", "SMIT", scale=1.4, width=62, group="tree"),
    Kind("tree stump", "TRE1", scale=1.1, width=52),
    Kind("brain", "BBRN", width=56),
    Kind("space suit", "SUIT", scale=1.3, width=24),
)

KIND_OF = {kind.name: kind for kind in KINDS}
MONSTERS = tuple(kind for kind in KINDS if kind.walks)
OBJECTS = tuple(kind for kind in KINDS if not kind.walks)


@dataclass(frozen=True)
class Thing:
    """A thing in a room. x, y: units; angle: degrees, 0 along x and 90 along y, where it looks and walks."""

    name: str
    x: int
    y: int
    angle: int
    is_walking: bool = False

    @property
    def kind(self) -> Kind:
        """What sort it is."""
        return KIND_OF[self.name]

    def spots(self) -> tuple[tuple[float, float], ...]:
        """Where it comes by: its place, and the middle and the end of its walk."""
        if not self.is_walking:
            return ((self.x, self.y),)
        direction = math.radians(self.angle)
        reach = (0.0, WALK_LENGTH / 2, WALK_LENGTH)
        return tuple((self.x + r * math.cos(direction), self.y + r * math.sin(direction)) for r in reach)


def actor_name(index: int) -> str:
    """The game's name for the thing with this place in the list: each has one of its own, so that its mask is known."""
    return f"Simulated{index}"


def actors(things: tuple[Thing, ...]) -> str:
    """A DECORATE script, ZDoom's language for things: one actor for each thing."""
    return "".join(_actor(index, thing) for index, thing in enumerate(things))


def _actor(index: int, thing: Thing) -> str:
    kind = thing.kind
    if thing.is_walking:
        pictures = "".join(letter * WALK_TICS_A_PICTURE for letter in "ABCD")
        spawn = (
            f"{kind.sprite} {pictures} 1 A_ChangeVelocity({WALK_SPEED}, 0, 0, CVF_RELATIVE|CVF_REPLACE)\n"
            f"{kind.sprite} A 0 A_SetAngle(angle + 180)\nLoop"
        )
    else:
        spawn = f"{kind.sprite} {kind.idle} 8 {'Bright' if kind.glows else ''}\nLoop"
    return (
        f"ACTOR {actor_name(index)} {FIRST_NUMBER + index}\n"
        f"{{ Radius 8 Height 56 Scale {kind.scale} States {{ Spawn:\n{spawn}\n}} }}\n"
    )
