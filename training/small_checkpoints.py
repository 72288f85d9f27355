"""Checkpoints of the training of one small model: whole folders or none, safetensors and JSON only.

Nothing is drawn from the generators of the process, so weights, moments and the number of the step are all there is.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn

from .checkpoints import CheckpointError, checkpoint_folders, remove_leftovers, write_folder

FORMAT = 1
KEPT = 2
WEIGHTS, MOMENTS, STATE = "model.safetensors", "optimizer.safetensors", "state.json"


def save_small_checkpoint(
    folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, settings: dict[str, Any]
) -> None:
    """Write FOLDER/step_N whole, and delete all but the newest two. `settings`: what JSON can hold."""

    def write(path: Path) -> None:
        save_model(model, str(path / WEIGHTS))
        moments = {
            f"{number}/{key}": value.detach().contiguous()
            for number, state in optimizer.state_dict()["state"].items()
            for key, value in state.items()
        }
        save_file(moments, path / MOMENTS)
        (path / STATE).write_text(json.dumps({"format": FORMAT, "step": step, "settings": settings}, indent=1))

    write_folder(folder / f"step_{step:08d}", write)
    remove_leftovers(folder, KEPT)


def load_small_checkpoint(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, settings: dict[str, Any]
) -> int:
    """Go on from the newest checkpoint in FOLDER, in place; returns the number of steps made, 0 if there is none.

    Raises CheckpointError if it is damaged, or comes from a run with other settings.
    """
    folders = checkpoint_folders(folder)
    if not folders:
        return 0
    newest = folders[-1]
    try:
        state = json.loads((newest / STATE).read_text())
        if state["format"] != FORMAT:
            raise CheckpointError(f"checkpoint {newest} has format {state['format']}, this version reads {FORMAT}")
        before = state["settings"]
        for name in sorted(before.keys() | settings.keys()):
            if before.get(name) != settings.get(name):
                raise CheckpointError(
                    f"the run in {folder.parent} has {name}={before.get(name)}, now it is {settings.get(name)}; give another "
                    "output folder for a new run, or the old value to go on"
                )
        load_model(model, str(newest / WEIGHTS))
        found: dict[int, dict[str, torch.Tensor]] = {}
        for label, value in load_file(newest / MOMENTS).items():
            number, _, key = label.partition("/")
            found.setdefault(int(number), {})[key] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": found})
        return int(state["step"])
    except CheckpointError:
        raise
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as problem:
        raise CheckpointError(
            f"checkpoint {newest} cannot be read ({problem}); delete it to go on from the one before"
        ) from problem
