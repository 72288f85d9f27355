"""A run that is killed, with no chance to save anything, goes on to the same losses as one that is not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from tiny_runs import rows_of, settings_for

from pyratok.training.trainer import train

STEPS, LEFT = 90, 50
SECONDS = 120


def started(recipe: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", "from pyratok.commands.app import main; main()", "train", str(recipe)]
    # As many threads as here: the order of sums depends on their number.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def kill_in_the_middle(process: subprocess.Popen, run: Path) -> int:
    """Kill the run once it has written a few checkpoints; returns the step of the newest."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        steps = sorted(int(path.name[5:]) for path in (run / "stage_1" / "checkpoints").glob("step_*"))
        if steps and steps[-1] >= 10:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return max(int(path.name[5:]) for path in (run / "stage_1" / "checkpoints").glob("step_*"))
        time.sleep(0.01)
    pytest.fail(f"the run ended, or made no checkpoint in {SECONDS} s: {process.communicate()[1]}")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_goes_on_to_the_same_losses(data_folder, tmp_path, workers):
    changes = {"max_steps": STEPS, "workers": workers, "mask_share": 0.3, "validation_split": None}
    whole = settings_for(data_folder, tmp_path / "whole", **changes)
    killed = settings_for(data_folder, tmp_path / "killed", checkpoint_minutes=0.001, **changes)
    train(whole)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(killed.as_dict()))
    step = kill_in_the_middle(started(recipe), tmp_path / "killed")
    assert step <= STEPS - LEFT
    train(killed)
    assert rows_of(tmp_path / "killed") == rows_of(tmp_path / "whole")
    assert rows_of(tmp_path / "whole")[-1]["step"] == STEPS
