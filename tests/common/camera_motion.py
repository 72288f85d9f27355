"""What a camera did, told from where it was; for the simulated scenes, whose scripts are checked against it."""

import math
from typing import Any

import numpy as np


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


def motions_of(recording: Any) -> list[str]:
    """Of each frame of a recording of `simulated_recording`; the camera starts at (0, 0)."""
    start = np.array([[0, 0, recording.scene.camera_angle]])
    poses = np.concatenate([start, recording.poses])
    return [motion_of(*pair) for pair in zip(poses, poses[1:], strict=False)]
