"""Checkpoints of a training run: whole folders or none, safetensors and JSON only, random generators included."""

import json
import os
import random
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, load_model, save, save_file, save_model
from torch import nn

from ..modeling_pyratok.errors import PyraTokError
from .objective import Objective
from .weight_average import WeightAverage

FORMAT = 3
TEMPORARY = ".writing-"


class CheckpointError(PyraTokError):
    """A checkpoint that is damaged or belongs to another run."""


def write_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder beside `target`, then put it in the target's place; on failure nothing changes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    temporary.mkdir()
    try:
        write(temporary)
        for path in (*temporary.rglob("*"), temporary):
            _flush_to_disk(path)
        if target.exists():
            _replace(target, temporary)
        else:
            temporary.rename(target)
        _flush_to_disk(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace(target: Path, new: Path) -> None:
    """Put folder `new` in the target's place: a folder that is not empty has to be moved away before."""
    old = target.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    try:
        target.rename(old)
        new.rename(target)
    except BaseException:
        if not target.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def checkpoint_folders(folder: Path) -> list[Path]:
    """The complete checkpoints in a folder, oldest first."""
    return sorted(folder.glob("step_*")) if folder.is_dir() else []


def remove_leftovers(folder: Path, kept: int) -> None:
    """Delete all but the newest `kept` checkpoints, and what a killed run left half written."""
    for path in checkpoint_folders(folder)[:-kept]:
        shutil.rmtree(path)
    remove_unfinished(folder)


def remove_unfinished(folder: Path) -> None:
    """Delete what a killed `write_folder` left in the parent folder of its target."""
    for path in folder.glob(f"{TEMPORARY}*"):
        shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True)
class ProcessState:
    """What each process of a run has of its own.

    random: the `random_state()` of its generators. position: where it is in the data, as JSON can hold it.
    """

    random: bytes
    position: dict[str, Any]


def save_checkpoint(
    folder: Path,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage,
    progress: dict[str, Any],
    processes: Sequence[ProcessState],
) -> None:
    """Write the whole state into `folder`.

    Args:
        progress: what JSON can hold (step, settings).
        processes: what every process has of its own, in order.
    """
    save_model(objective.model, str(folder / "model.safetensors"))
    save_file(_contiguous(objective.trained_extras()), folder / "terms.safetensors")
    save_file(_contiguous(average.values), folder / "average.safetensors")
    save_file(_contiguous(_optimizer_tensors(objective, optimizer)), folder / "optimizer.safetensors")
    for number, process in enumerate(processes):
        (folder / _random_name(number)).write_bytes(process.random)
        (folder / _position_name(number)).write_text(json.dumps(process.position))
    (folder / "state.json").write_text(json.dumps({"format": FORMAT, **progress}, indent=1))


def load_progress(folder: Path) -> dict[str, Any]:
    """What `save_checkpoint` was given as `progress`. Raises CheckpointError."""
    try:
        progress = json.loads((folder / "state.json").read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"checkpoint {folder} cannot be read ({error}); delete it to go on from the one before"
        ) from error
    if progress.get("format") != FORMAT:
        raise CheckpointError(f"checkpoint {folder} has format {progress.get('format')}, this version reads {FORMAT}")
    return progress


def load_checkpoint(
    folder: Path, objective: Objective, optimizer: torch.optim.Optimizer, average: WeightAverage
) -> None:
    """Put the state of `folder` into the given objects, in place. Raises CheckpointError."""
    try:
        load_model(objective.model, str(folder / "model.safetensors"))
        extras = load_file(folder / "terms.safetensors")
        averages = load_file(folder / "average.safetensors")
        moments = load_file(folder / "optimizer.safetensors")
        with torch.no_grad():
            for name, value in average.values.items():
                value.copy_(averages[name])
            for name, weight in objective.trained_extras().items():
                weight.copy_(extras[name])
        _restore_optimizer(objective, optimizer, moments)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"checkpoint {folder} does not fit this model or is damaged: {error}") from error


def random_state() -> bytes:
    """The state of the generators of python, numpy and torch (CPU, and this process's CUDA device), as safetensors."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()
    tensors = {
        "python": torch.tensor(words, dtype=torch.int64),
        "numpy": torch.from_numpy(keys.astype(np.int64)),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    plain = {"python": [version, gauss], "numpy": [kind, int(position), int(has_gauss), float(cached)]}
    return save(tensors, metadata={"plain": json.dumps(plain)})


def load_process_state(folder: Path, process: int) -> dict[str, Any]:
    """Set the generators as a process had them in checkpoint `folder`, and return its position in the data.

    Raises CheckpointError.
    """
    _load_random_state(folder / _random_name(process))
    path = folder / _position_name(process)
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"the position in the data {path} cannot be read: {error}") from error


def _load_random_state(path: Path) -> None:
    try:
        tensors = load_file(path)
        with safe_open(path, framework="pt") as file:
            plain = json.loads(file.metadata()["plain"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"the random state {path} cannot be read: {error}") from error
    version, gauss = plain["python"]
    random.setstate((version, tuple(tensors["python"].tolist()), gauss))
    kind, *rest = plain["numpy"]
    np.random.set_state((kind, tensors["numpy"].numpy().astype(np.uint32), *rest))
    torch.set_rng_state(tensors["torch"])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])


def _random_name(process: int) -> str:
    return f"random_{process}.safetensors"


def _position_name(process: int) -> str:
    return f"data_{process}.json"


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """AdamW's state by `<parameter name>/<key>`. Names survive a new order of the parameters, numbers do not."""
    names = {weight: name for name, weight in model.named_parameters()}
    return {
        f"{names[weight]}/{key}": value for weight, state in optimizer.state.items() for key, value in state.items()
    }


def _restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    weights = dict(model.named_parameters())
    optimizer.state.clear()
    for label, value in tensors.items():
        name, _, key = label.rpartition("/")
        weight = weights[name]
        if value.shape == weight.shape:
            # The weight's own memory layout: another one takes another code path and rounds otherwise.
            value = torch.empty_like(weight, requires_grad=False).copy_(value)
        else:
            value = value.to(weight.device)  # the count of steps: fused AdamW wants it there too
        optimizer.state[weight][key] = value


def _contiguous(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().contiguous() for name, value in tensors.items()}


def _flush_to_disk(path: Path) -> None:
    """Contents reach the disk before the name does: a crash must not leave a complete-looking empty file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
