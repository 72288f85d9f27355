"""Rooms of the simulated benchmark: their surfaces, with plain names, and the map files that the game loads.

A map is written in UDMF, the text format of maps (UDMF specification 1.1), into a WAD, the archive of Doom: a header, the
lumps, and a directory of their places. The textures are those of Freedoom: Phase 2.
"""

import random
import struct
from dataclasses import dataclass

from simulated_things import FIRST_NUMBER, Thing, actors

MAP = "MAP01"
SKY = "F_SKY1"

WALLS = {
    "brick": ("BRICK7", "BRICK6", "BRICK12"),
    "stone": ("GRAY1", "STONE4"),
    "wooden": ("WOOD9", "WOOD12", "PANEL4"),
    "metal": ("SHAWN2", "SILVER1"),
    "book-lined": ("PANBOOK",),
    "green": ("GSTONE1", "MARBLE1", "A-TILE"),
    "red": ("REDWALL", "SP_HOT1"),
    "blue": ("COMPBLUE",),
}
"""What a wall is called, and the textures that look so."""

FLOORS = {
    "a wooden floor": ("FLAT5_2", "FLOOR0_1"),
    "a grey floor": ("FLAT19", "FLOOR0_3", "FLAT3"),
    "a grass floor": ("FLOOR7_2", "GRASS1", "RROCK20"),
    "a pebble floor": ("FLAT5_8", "FLOOR5_1"),
    "an orange tile floor": ("FLAT8",),
    "a red floor": ("FLOOR6_1", "FLAT5_3"),
    "a blue floor": ("FLAT14", "FWATER1"),
    "a lava floor": ("LAVA1",),
}

CEILINGS = ("CEIL1_1", "CEIL3_5", "CEIL5_1", "FLAT19", "FLAT5_2", "MFLR8_1", SKY)

CAMERA_SCRIPT = """
ACTOR Camera : DoomPlayer
{
  Player.ForwardMove 6, 6
  Player.SideMove 6, 6
  Player.StartItem "CameraGun"
  +NOCLIP
}
ACTOR CameraGun : Weapon
{
  +WEAPON.NOALERT
  States
  {
  Ready: TNT1 A 1 A_WeaponReady
    Loop
  Select: TNT1 A 1 A_Raise
    Loop
  Deselect: TNT1 A 1 A_Lower
    Loop
  Fire: TNT1 A 6 A_FireCustomMissile("CameraShot")
    Goto Ready
  Spawn: TNT1 A -1
    Stop
  }
}
ACTOR CameraShot
{
  Radius 6
  Height 8
  Speed 35
  Projectile
  States
  {
  Spawn: BAL1 AB 4 Bright
    Loop
  Death: BAL1 CDE 4 Bright
    Stop
  }
}
"""
"""The player is a camera: it goes through everything, six times as nimble as Doom's, and its fire harms nothing."""

GAME_SCRIPT = f"""
gameinfo {{ playerclasses = "Camera" }}
map {MAP} "room" {{ sky1 = "SKY1" }}
"""


@dataclass(frozen=True)
class Room:
    """A room with four walls, or eight where corners are cut. Lengths in units (a person is 56 high).

    walls, floor: what they are called, keys of WALLS and FLOORS. cut: units cut off each corner. light: 0 (dark) to 255.
    """

    walls: str
    floor: str
    wall_texture: str
    floor_texture: str
    ceiling_texture: str
    left: int
    bottom: int
    right: int
    top: int
    cut: int
    height: int
    light: int

    @property
    def has_sky(self) -> bool:
        """No ceiling but the open sky."""
        return self.ceiling_texture == SKY

    def holds(self, x: float, y: float, margin: float) -> bool:
        """Whether the point lies in the room, at least `margin` units from every wall."""
        to_left, to_right = x - self.left, self.right - x
        to_bottom, to_top = y - self.bottom, self.top - y
        to_corner = min(to_left, to_right) + min(to_bottom, to_top) - self.cut  # times the square root of 2
        return min(to_left, to_right, to_bottom, to_top) >= margin and to_corner >= 1.42 * margin


def draw_room(source: random.Random, path: list[tuple[float, float]]) -> Room:
    """A room around a path of the camera, (x, y) in units."""
    walls, floor = source.choice(sorted(WALLS)), source.choice(sorted(FLOORS))
    xs, ys = [x for x, _ in path], [y for _, y in path]
    return Room(
        walls=walls,
        floor=floor,
        wall_texture=source.choice(WALLS[walls]),
        floor_texture=source.choice(FLOORS[floor]),
        ceiling_texture=source.choice(CEILINGS),
        left=round(min(xs)) - source.randint(220, 460),
        bottom=round(min(ys)) - source.randint(220, 460),
        right=round(max(xs)) + source.randint(220, 460),
        top=round(max(ys)) + source.randint(220, 460),
        cut=source.choice((0, 0, 64, 128)),
        height=source.choice((128, 160, 192, 256)),
        light=source.randint(192, 255),
    )


def map_archive(room: Room, things: tuple[Thing, ...], camera_angle: int) -> bytes:
    """The WAD of a map in which the camera starts at (0, 0) and looks to `camera_angle` degrees."""
    lumps = {
        "DECORATE": CAMERA_SCRIPT + actors(things),
        "MAPINFO": GAME_SCRIPT,
        MAP: "",
        "TEXTMAP": _map_text(room, things, camera_angle),
        "ENDMAP": "",
    }
    body, directory = b"", b""
    for name, text in lumps.items():
        data = text.encode("ascii")
        directory += struct.pack("<ii8s", 12 + len(body), len(data), name.encode("ascii"))
        body += data
    return struct.pack("<4sii", b"PWAD", len(lumps), 12 + len(body)) + body + directory


def _corners(room: Room) -> list[tuple[int, int]]:
    """Clockwise, so that the front of each wall looks into the room."""
    cut, left, bottom, right, top = room.cut, room.left, room.bottom, room.right, room.top
    if not cut:
        return [(left, bottom), (left, top), (right, top), (right, bottom)]
    return [
        (left, bottom + cut),
        (left, top - cut),
        (left + cut, top),
        (right - cut, top),
        (right, top - cut),
        (right, bottom + cut),
        (right - cut, bottom),
        (left + cut, bottom),
    ]


def _map_text(room: Room, things: tuple[Thing, ...], camera_angle: int) -> str:
    corners = _corners(room)
    lines = ['namespace = "zdoom";']
    lines += [f"vertex {{ x = {x}; y = {y}; }}" for x, y in corners]
    for index in range(len(corners)):
        following = (index + 1) % len(corners)
        lines.append(f'sidedef {{ sector = 0; texturemiddle = "{room.wall_texture}"; }}')
        lines.append(f"linedef {{ v1 = {index}; v2 = {following}; sidefront = {index}; blocking = true; }}")
    lines.append(
        f"sector {{ heightfloor = 0; heightceiling = {room.height}; lightlevel = {room.light}; "
        f'texturefloor = "{room.floor_texture}"; textureceiling = "{room.ceiling_texture}"; }}'
    )
    lines.append(_thing_text(0, 0, camera_angle, 1))  # 1 is where the first player starts
    lines += [_thing_text(t.x, t.y, t.angle, FIRST_NUMBER + index) for index, t in enumerate(things)]
    return "\n".join(lines)


def _thing_text(x: int, y: int, angle: int, number: int) -> str:
    always = " ".join(f"{flag} = true;" for flag in ("skill3", "single", "class1"))
    return f"thing {{ x = {x}; y = {y}; angle = {angle}; type = {number}; {always} }}"
