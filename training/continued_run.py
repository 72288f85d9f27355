"""Whether the run that a folder holds is the one that settings go on with."""

import json
import logging
import os
from pathlib import Path
from typing import Any

from .checkpoints import checkpoint_folders, load_progress
from .settings import SettingsError, TrainingSettings

logger = logging.getLogger(__name__)

DATA_AND_START = (
    "data",
    "image_data",
    "train_split",
    "validation_split",
    "model_folder",
    "backbone",
    "backbone_subfolder",
    "model_config",
    "seed",
    "optimizer",
    "text_encoder",
    "prior_body",
    "prior_config",
)
"""Settings that a run keeps: its place in the data, and what it learned from what, would not be true of other ones."""


def refuse_another_run(settings: TrainingSettings) -> None:
    """Raise SettingsError if the folder of the stage holds a run that `settings` do not continue.

    Other changes than those of its data and its start are warned of. Raises CheckpointError if the newest checkpoint cannot
    be read.
    """
    folder = settings.stage_folder
    folders = checkpoint_folders(folder / "checkpoints")
    if not folders:
        return
    if not settings.resume:
        raise SettingsError(
            f"{folder} holds the checkpoints of a run; choose another output_folder or set resume=true"
        )
    before, now = load_progress(folders[-1])["settings"], settings.as_dict()
    before.setdefault("optimizer", "adamw")  # what runs had before there was a choice
    for name in DATA_AND_START:
        if _normal(before.get(name)) != _normal(now[name]):
            raise SettingsError(_differs(folder, name, before.get(name), now[name]))
    if settings.image_data is not None and (before["image_share"] > 0) != (now["image_share"] > 0):
        raise SettingsError(_differs(folder, "image_share", before["image_share"], now["image_share"]))
    share = "tokenizer_learning_rate_share"  # 0 is a frozen tokenizer, of which no average and no moments were kept
    if (before.setdefault(share, 1.0) > 0) != (now[share] > 0):
        raise SettingsError(_differs(folder, share, before[share], now[share]))
    for name in (name for name in now if name.endswith("_loss_weight")):
        if (before.get(name, 0.0) > 0) != (now[name] > 0):  # each term has weights of its own
            raise SettingsError(_differs(folder, name, before.get(name, 0.0), now[name]))
    changed = sorted(name for name in before.keys() & now.keys() if before[name] != now[name])
    if changed := [name for name in changed if name not in (*DATA_AND_START, "output_folder")]:
        logger.warning("settings that differ from the run so far: %s", ", ".join(changed))


def _normal(value: Any) -> Any:
    """A path with and without a slash at its end is the same."""
    return os.path.normpath(value) if isinstance(value, str) else value


def _differs(folder: Path, name: str, before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):  # of mappings, what differs
        names = sorted(entry for entry in before.keys() | now.keys() if before.get(entry) != now.get(entry))
        before, now = ({entry: value.get(entry) for entry in names} for value in (before, now))
    before, now = (value if isinstance(value, str) else json.dumps(value) for value in (before, now))
    return (
        f"the run in {folder} has {name}={before}, now it is {now}; choose another output_folder for a new run, or give the "
        "old value to go on"
    )
