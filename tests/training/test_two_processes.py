"""A run of two processes: it stops as one, goes on exactly, and learns what one process with the same clips learns."""

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import LANGUAGE, rows_of, settings_for
from tiny_text import save_text_encoder
from torch import multiprocessing

from pyratok.training import trainer
from pyratok.training.trainer import train

SECONDS = 300
"""Runs that take longer hang: one process waits for the other."""

SAME_CLIPS = {
    "validation_split": None,
    "mask_share": 0.3,
    "perceptual": "st-lpips",  # of some frames, which both processes have to choose alike
    "perceptual_frames": 2,
}
CLIP_PIXELS = 5 * 32 * 32

LEARNING = {"max_steps": 2}
"""Two steps: of these the second shows what the first has taught. From then on AdamW makes whole steps of gradients that are
nothing but rounding, and codes flip: by a CPU's choice of kernels the runs are a hundredth apart at step 4, or at step 20."""

STANDING = {"max_steps": 12, "learning_rate": 1e-9}
"""Many clips, sizes and masks, seen by weights that hardly move, so that nothing grows."""


def in_two_processes(function: Callable, *arguments: object) -> None:
    """Run `function(rank, *arguments)` as both processes of a distributed run."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.spawn(as_process, (port, function, arguments), nprocs=2, join=False)
    deadline = time.monotonic() + SECONDS
    try:
        while not context.join(timeout=1):
            if time.monotonic() > deadline:
                pytest.fail(f"the two processes did not end within {SECONDS} s")
    finally:
        for process in context.processes:
            process.kill()


def as_process(rank: int, port: int, function: Callable, arguments: tuple) -> None:
    here = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in here.items()}, ACCELERATE_USE_CPU="true")
    torch.set_num_threads(1)
    function(rank, *arguments)
    torch.distributed.destroy_process_group()


def stopped_and_whole(rank: int, data_folder: Path, output: Path) -> None:
    """A run that is stopped after two steps and goes on, and one that is not."""
    original = trainer.training_step

    def training_step(state) -> None:
        if state.step == 1 and rank == 1:  # one is told to stop, both do
            os.kill(os.getpid(), signal.SIGTERM)
        original(state)

    trainer.training_step = training_step
    state = train(settings_for(data_folder, output / "stopped"))
    assert state.accelerator.num_processes == 2 and state.step == 2
    assert (state.validation is None) == (rank == 1)  # the main process alone validates
    trainer.training_step = original
    for name in ("stopped", "whole"):
        assert train(settings_for(data_folder, output / name)).step == 4


def two_clips_each(rank: int, data_folder: Path, output: Path, changes: dict) -> None:
    train(settings_for(data_folder, output / "two", batch_pixels=2 * CLIP_PIXELS, **changes))


def four_clips(_rank: int, data_folder: Path, output: Path, changes: dict) -> None:
    torch.set_num_threads(1)
    train(settings_for(data_folder, output / "one", batch_pixels=4 * CLIP_PIXELS, **changes))


@pytest.mark.slow
def test_two_processes_stop_as_one_and_go_on(data_folder, tmp_path):
    in_two_processes(stopped_and_whole, data_folder, tmp_path)
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    assert rows_of(stopped) == rows_of(whole)
    assert [row["step"] for row in rows_of(whole) if row["kind"] == "validation"] == [0, 3, 4]
    names = sorted(path.name for path in (stopped / "stage_1" / "checkpoints").iterdir())
    assert names == ["step_00000002", "step_00000004"]
    states = []
    for name in ("model", "average", "optimizer", "random_0", "random_1"):
        ours, theirs = (
            load_file(run / "stage_1" / "checkpoints" / "step_00000004" / f"{name}.safetensors")
            for run in (stopped, whole)
        )
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs), name
        states.append(ours)


@pytest.mark.slow
@pytest.mark.parametrize("pace", [LEARNING, STANDING], ids=["learning", "standing"])
@pytest.mark.parametrize("with_language", [False, True])
def test_one_process_with_the_same_clips_learns_the_same(data_folder, tmp_path, with_language, pace):
    changes = {**SAME_CLIPS, **pace}
    if with_language:  # every third clip has no caption, so the processes do not have equally many
        encoder = save_text_encoder(tmp_path / "encoder", hidden_size=4)
        changes |= {**LANGUAGE, "text_encoder": str(encoder)}
    readable = tmp_path / "data"
    shutil.copytree(data_folder, readable)
    (readable / "video" / "train" / "broken.mp4").unlink()
    metadata = readable / "video" / "train" / "metadata.jsonl"
    metadata.write_text("".join(line for line in metadata.open() if "broken" not in line))
    in_two_processes(two_clips_each, readable, tmp_path, changes)
    # In a process of its own as well: what other tests have loaded into this one (scikit-learn's OpenMP) rounds differently.
    multiprocessing.spawn(four_clips, (readable, tmp_path, changes), nprocs=1)
    one, two = rows_of(tmp_path / "one"), rows_of(tmp_path / "two")
    assert len(one) == len(two) == changes["max_steps"]
    for ours, theirs in zip(one, two, strict=True):
        assert ours.pop("kind") == theirs.pop("kind")
        norms = ours.pop("gradient_norm"), theirs.pop("gradient_norm")
        assert norms[0] == pytest.approx(norms[1], rel=1e-3)
        # The entropy of the mean code is that of the codes of both processes, and so are the counts.
        assert ours == pytest.approx(theirs, abs=1e-4)
