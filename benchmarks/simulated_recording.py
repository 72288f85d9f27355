"""Plays a scene in VizDoom and keeps what is seen: frames, which thing every pixel shows, and where the camera is.

VizDoom (MIT licence; Wydmuch, Kempka and Jaskowski, "ViZDoom Competitions", IEEE Transactions on Games 2019) is ZDoom with a
programming interface; its package brings Freedoom: Phase 2 (BSD 3-clause licence), all of whose pictures these are. It draws
320 x 256 without a screen; four pixels are averaged to one of 160 x 128, which tokens of 8 and of 16 pixels divide evenly.
"""

import contextlib
import hashlib
import importlib
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from simulated_actions import Pose, path_of
from simulated_building import FIELD_OF_VIEW, Scene
from simulated_rooms import MAP, map_archive
from simulated_things import actor_name

from pyratok.modeling_pyratok.optional_libraries import needs_extra

HEIGHT, WIDTH = 128, 160
GAME = "freedoom2.wad"

WARM_UP = 20
"""Tics before the first frame: the player is not free at once, and the gun has to come up."""

THRUST = 0.1875
"""Units a tic by which one step of a movement button speeds the camera up (Player.ForwardMove 6); buttons go to 50."""


@dataclass(frozen=True)
class Recording:
    """What was seen.

    frames: (T, H, W, 3) uint8 RGB. things: (T, H, W) uint8, which thing of the scene a pixel shows, counted from 1; 0 for none.
    poses: (T, 3), x, y and angle of the camera, in units and degrees.
    """

    scene: Scene
    frames: np.ndarray
    things: np.ndarray
    poses: np.ndarray

    def masks(self, name: str) -> np.ndarray:
        """(T, H, W) bool: where any of the things of this name is seen."""
        numbers = [number for number, thing in enumerate(self.scene.things, start=1) if thing.name == name]
        return np.isin(self.things, numbers)

    def shares(self) -> np.ndarray:
        """(T, things): the share of each frame's pixels that each thing takes."""
        numbers = len(self.scene.things) + 1
        counts = [np.bincount(frame.ravel(), minlength=numbers)[1:] for frame in self.things]
        return np.stack(counts) / self.things[0].size

    def checksum(self) -> str:
        """SHA-256 of frames and things, for comparing two machines."""
        return hashlib.sha256(self.frames.tobytes() + self.things.tobytes()).hexdigest()


def load_vizdoom() -> ModuleType:
    """The module. Raises PyraTokError, which names the extra, if it is not installed."""
    with needs_extra("simulate"):
        return importlib.import_module("vizdoom")


def record_scene(scene: Scene) -> Recording:
    """Plays the whole script. Raises PyraTokError without VizDoom."""
    vizdoom = load_vizdoom()
    with tempfile.TemporaryDirectory() as folder:
        game = _start(vizdoom, scene, Path(folder).resolve())
        try:
            seen = _play(game, scene)
        finally:
            game.close()
    frames, things, poses = (np.stack(values) for values in zip(*seen, strict=True))
    return Recording(scene, frames, things, poses)


def _start(vizdoom: ModuleType, scene: Scene, folder: Path) -> Any:
    """A running game; all its files are in `folder`, settings too, so that none of the user's changes what is drawn."""
    archive = folder / "scene.wad"
    archive.write_bytes(map_archive(scene.room, scene.things, scene.camera_angle))
    game, buttons, variables = vizdoom.DoomGame(), vizdoom.Button, vizdoom.GameVariable
    game.set_doom_game_path(str(Path(vizdoom.__file__).resolve().with_name(GAME)))
    game.set_doom_scenario_path(str(archive))
    game.set_doom_config_path(str(folder / "settings.ini"))
    game.set_doom_map(MAP)
    game.set_screen_resolution(vizdoom.ScreenResolution.RES_320X256)
    game.set_screen_format(vizdoom.ScreenFormat.RGB24)
    game.set_labels_buffer_enabled(True)
    for hide in (game.set_render_hud, game.set_render_weapon, game.set_render_crosshair, game.set_render_messages):
        hide(False)
    for leave_out in (game.set_render_particles, game.set_render_decals, game.set_render_screen_flashes):
        leave_out(False)
    game.set_window_visible(False)
    game.set_sound_enabled(False)
    game.set_available_buttons(
        [
            buttons.MOVE_FORWARD_BACKWARD_DELTA,
            buttons.MOVE_LEFT_RIGHT_DELTA,
            buttons.TURN_LEFT_RIGHT_DELTA,
            buttons.ATTACK,
        ]
    )
    game.set_available_game_variables(
        [variables.POSITION_X, variables.POSITION_Y, variables.ANGLE, variables.VELOCITY_X, variables.VELOCITY_Y]
    )
    game.set_episode_timeout(0)
    game.set_doom_skill(3)
    game.set_seed(scene.game_seed)
    game.add_game_args("+movebob 0")
    with contextlib.chdir(folder):  # it makes a folder where it is started
        game.init()
    game.send_game_command(f"fov {FIELD_OF_VIEW}")
    for _ in range(WARM_UP):
        game.make_action([0, 0, 0, 0])
    return game


def _play(game: Any, scene: Scene) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(frame, things, pose) of each frame."""
    seen, shots = [], [stretch.action.shoots for stretch in scene.script for _ in range(stretch.start, stretch.end)]
    path = [(0.0, 0.0, float(scene.camera_angle)), *path_of(scene.script, scene.camera_angle)]
    for before, pose, shoots in zip(path, path[1:], shots, strict=False):
        game.make_action([*_steering(game.get_state().game_variables, before, pose), int(shoots)])
        state = game.get_state()
        frame = _halved_picture(state.screen_buffer)
        things = _halved_things(_things(state, scene))
        seen.append((frame, things, np.array(state.game_variables[:3])))
    return seen


def _steering(now: np.ndarray, before: Pose, wanted: Pose) -> tuple[int, int, float]:
    """Buttons that bring the camera from where it is to the pose `wanted` within one tic: forward, right, turn right.

    A tic adds the thrust to the velocity, and then the velocity to the place. Steps of a button are whole, so a path is kept
    within about 0.2 units. Where the path rests (`before` is the place wanted) only the velocity is taken away, so that who
    stands still stands still.
    """
    x, y, angle, velocity_x, velocity_y = now
    rests = before[:2] == wanted[:2]
    to_x = (0 if rests else wanted[0] - x) - velocity_x
    to_y = (0 if rests else wanted[1] - y) - velocity_y
    along, across = math.cos(math.radians(wanted[2])), math.sin(math.radians(wanted[2]))
    forward = round((to_x * along + to_y * across) / THRUST)
    right = round((to_x * across - to_y * along) / THRUST)
    turn = math.remainder(wanted[2] - angle, 360) if wanted[2] != before[2] else 0.0
    return forward, right, -turn


def _things(state: Any, scene: Scene) -> np.ndarray:
    """The game's labels, with the numbers of the scene's things; what else there is (a shot) is 0."""
    numbers = {actor_name(index): index + 1 for index in range(len(scene.things))}
    table = np.zeros(256, np.uint8)
    for label in state.labels:
        table[label.value] = numbers.get(label.object_name, 0)
    return table[state.labels_buffer]


def _quarters(pixels: np.ndarray) -> np.ndarray:
    """(2 H, 2 W, ...) to (4, H, W, ...): the four pixels that become one."""
    return np.stack([pixels[row::2, column::2] for row in (0, 1) for column in (0, 1)])


def _halved_picture(picture: np.ndarray) -> np.ndarray:
    """The mean of four pixels, rounded. (2 H, 2 W, 3) uint8 to (H, W, 3)."""
    return ((_quarters(picture).astype(np.uint16).sum(0) + 2) // 4).astype(np.uint8)


def _halved_things(things: np.ndarray) -> np.ndarray:
    """What most of four pixels show; where two show one thing and two another, the one with the lower number, 0 last."""
    quarters = _quarters(things)
    best, most = np.zeros(quarters.shape[1:], np.uint8), (quarters == 0).sum(0)
    for number in np.unique(things)[::-1]:
        if number:
            count = (quarters == number).sum(0)
            best = np.where(count >= most, number, best)
            most = np.maximum(count, most)
    return best
