"""A run of two processes: it validates, stops as one, writes whole checkpoints, and goes on exactly."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import rows_of, settings_for
from torch import multiprocessing

from pyratok.training import stage_one
from pyratok.training.stage_one import train

SECONDS = 300
"""A run that takes longer hangs: one process waits for the other."""


def stopped_and_whole(rank: int, port: int, data_folder: Path, output: Path) -> None:
    """Process `rank`: a run that is stopped after two steps and goes on, and one that is not."""
    here = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in here.items()}, ACCELERATE_USE_CPU="true")
    torch.set_num_threads(1)
    original = stage_one.training_step

    def training_step(state) -> None:
        if state.step == 1 and rank == 1:  # one is told to stop, both do
            os.kill(os.getpid(), signal.SIGTERM)
        original(state)

    stage_one.training_step = training_step
    state = train(settings_for(data_folder, output / "stopped"))
    assert state.accelerator.num_processes == 2 and state.step == 2
    stage_one.training_step = original
    for name in ("stopped", "whole"):
        state = train(settings_for(data_folder, output / name))
        assert state.step == 4 and state.clips_consumed == 16
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes(data_folder, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.spawn(stopped_and_whole, (port, data_folder, tmp_path), nprocs=2, join=False)
    deadline = time.monotonic() + SECONDS
    try:
        while not context.join(timeout=1):
            if time.monotonic() > deadline:
                pytest.fail(f"the two processes did not end within {SECONDS} s")
    finally:
        for process in context.processes:
            process.kill()
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    ours, theirs = (
        [{key: value for key, value in row.items() if key != "unreadable_files"} for row in rows_of(run)]
        for run in (stopped, whole)
    )  # which files are unreadable is found out anew
    assert ours == theirs
    assert [row["step"] for row in rows_of(whole) if row["kind"] == "validation"] == [3, 4]
    assert sorted(path.name for path in (stopped / "checkpoints").iterdir()) == ["step_00000002", "step_00000004"]
    states = []
    for name in ("model", "average", "optimizer", "random_0", "random_1"):
        ours, theirs = (
            load_file(run / "checkpoints" / "step_00000004" / f"{name}.safetensors") for run in (stopped, whole)
        )
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs), name
        states.append(ours)
    assert not torch.equal(states[-1]["torch"], states[-2]["torch"])  # each process has its own
