"""Folders are written whole or not at all, and the optimizer's state comes back where the weights are."""

from pathlib import Path

import pytest
import torch
from torch import nn

from pyratok.training.checkpoints import load_checkpoint, remove_unfinished, save_checkpoint, write_folder
from pyratok.training.objective import Objective
from pyratok.training.weight_average import WeightAverage


def write_text(text: str):
    return lambda folder: (folder / "file").write_text(text)


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "runs" / "model"
    write_folder(target, write_text("old"))
    (target / "another").touch()
    write_folder(target, write_text("new"))
    assert [(path.name, path.read_text()) for path in target.iterdir()] == [("file", "new")]
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("failing", [1, 2])
def test_the_old_folder_comes_back_if_a_rename_fails(tmp_path, monkeypatch, failing):
    target = tmp_path / "model"
    write_folder(target, write_text("old"))
    rename, renamed = Path.rename, []

    def fail_once(path: Path, new: Path) -> Path:
        renamed.append(path)
        if len(renamed) == failing:
            raise OSError(5, "Input/output error")
        return rename(path, new)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(OSError, match="Input/output"):
        write_folder(target, write_text("new"))
    assert (target / "file").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_killed_run_left_is_removed(tmp_path):
    (tmp_path / ".writing-0").mkdir()
    (tmp_path / ".writing-0" / "file").touch()
    (tmp_path / "model").mkdir()
    remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "model"]


@pytest.mark.filterwarnings("ignore:.*is a no-op")  # weights on the meta device have no values
def test_the_optimizers_state_goes_to_the_weights_device(tmp_path):
    model = nn.Linear(3, 2)
    objective = Objective(model, {})
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    save_checkpoint(tmp_path, objective, optimizer, WeightAverage(model, 0.9), {}, [])
    elsewhere = nn.Linear(3, 2, device="meta")
    optimizer = torch.optim.AdamW(elsewhere.parameters())
    load_checkpoint(tmp_path, Objective(elsewhere, {}), optimizer, WeightAverage(elsewhere, 0.9))
    states = [optimizer.state[weight] for weight in elsewhere.parameters()]
    assert all(set(state) == {"step", "exp_avg", "exp_avg_sq"} for state in states)
    assert all(value.device.type == "meta" for state in states for value in state.values())
