"""Training of the tokenizer, all three stages: `pyratok train RECIPE key=value ...`, also under `accelerate launch -m`.

Small functions around one state. The run can be stopped at any moment (SIGTERM and SIGINT write a checkpoint) and goes on
from its last checkpoint, exactly, when the same command is given again: weights, optimizer, average, random generators, the
position in the data and what the next line of metrics is the mean of are in it, and the learning rate is a function of the
step. What is random about a clip (its window, its mask, the levels that are left out) depends on the seed, the pass and the
clip's name alone, so the number of processes and workers makes no difference to it.
"""

import contextlib
import logging
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from safetensors import SafetensorError
from tqdm.auto import tqdm

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.level_dropout import level_subsets
from ..modeling_pyratok.pixel_values import frames_to_values
from .checkpoints import (
    CheckpointError,
    ProcessState,
    checkpoint_folders,
    load_checkpoint,
    load_process_state,
    load_progress,
    random_state,
    remove_leftovers,
    remove_unfinished,
    save_checkpoint,
    write_folder,
)
from .clip_stream import ClipBatch
from .continued_run import refuse_another_run
from .learning_rate import learning_rate_share
from .masking import apply_masks
from .run_records import draw_contact_sheet, draw_curves
from .settings import TrainingSettings
from .train_state import TrainState, Window, new_state
from .validation import validate

logger = logging.getLogger(__name__)


VALIDATION_BATCH = 4
"""Clips that are validated at once: little memory, whatever the batches of training are."""

MOST_OVERFLOWS = 24
"""So many gradients in a row may overflow in float16; each halves the scale of the loss, which begins at 2**16."""

TERM_STREAM = 3
"""Name of the random stream, under the run's seed, from which the terms of the loss draw in each step."""


class TrainingError(PyraTokError):
    """A run that cannot go on."""


def train(settings: TrainingSettings) -> TrainState:
    """Run a stage to its end, or until SIGTERM or SIGINT, and return the last state.

    Goes on from the newest checkpoint of the stage's folder, if there is one. Validates before the first step, so that what
    was learned can be seen. Raises TrainingError at the first loss or gradient that is not finite (with float16, gradients
    that overflow lower the scale of the loss first), and SettingsError, DataError or CheckpointError before the first step.
    """
    refuse_another_run(settings)
    state = new_state(settings)
    resume(state)
    state.batches = iter(state.loader)
    state.output.mkdir(parents=True, exist_ok=True)
    saved_at = time.monotonic()
    bar = tqdm(total=settings.max_steps, initial=state.step, unit="step", disable=_quiet(state))
    with _stop_signals() as stop, bar:
        if state.step == 0:
            validation_step(state)
        while state.step < settings.max_steps:
            training_step(state)
            bar.update()
            if state.step % settings.log_every == 0:
                log_metrics(state, bar)
            last = state.step == settings.max_steps
            if state.step % settings.validate_every == 0 or last:
                validation_step(state)
            stopping = _agreed(state, stop.is_set())
            due = _agreed(state, time.monotonic() - saved_at >= 60 * settings.checkpoint_minutes)
            if stopping or due or last:
                save(state)
                saved_at = time.monotonic()
            if stopping:
                logger.info("stopped at step %d; give the same command to go on from there", state.step)
                break
    return state


def training_step(state: TrainState) -> None:
    """One optimizer step; adds its values to `state.window`. Raises TrainingError when something is not finite.

    With float16, batches whose gradients overflow are gone past without a step, and the scale of the loss is lowered.
    """
    settings = state.settings
    learning_rate = settings.learning_rate * learning_rate_share(
        state.step, settings.max_steps, settings.warmup_steps, settings.final_learning_rate_share
    )
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate * group["share"]
    for _ in range(MOST_OVERFLOWS):
        measured = _gradients(state)
        if not _overflowed(state, measured):
            break
        state.accelerator.scaler.update()
        state.optimizer.zero_grad()
        logger.info(
            "step %d: a gradient overflowed in float16; the batch is left out, and the scale of the loss is now %g",
            state.step + 1,
            state.accelerator.scaler.get_scale(),
        )
    _check_finite(state, measured)
    state.optimizer.step()
    state.optimizer.zero_grad()
    state.step += 1
    state.average.update(state.objective, state.step)
    state.window.add({**measured, "learning_rate": learning_rate})


def _gradients(state: TrainState) -> dict[str, float]:
    """Forward and backward on the batches of a step; the loss, its terms and the norm of the gradient, which is clipped."""
    settings, accelerator = state.settings, state.accelerator
    sums: dict[str, torch.Tensor] = {}
    for part in range(settings.gradient_accumulation):
        is_last = part == settings.gradient_accumulation - 1
        with contextlib.nullcontext() if is_last else accelerator.no_sync(state.prepared):
            for name, value in _micro_batch(state).items():
                sums[name] = sums.get(name, 0.0) + value / settings.gradient_accumulation
    sums["gradient_norm"] = accelerator.clip_grad_norm_(state.prepared.parameters(), settings.max_gradient_norm)
    return _mean_over_processes(state, sums)


def _overflowed(state: TrainState, measured: dict[str, float]) -> bool:
    """Whether the gradient alone is not finite, of a scaled loss: so the scaler finds out that its scale is too large."""
    if state.accelerator.scaler is None:
        return False
    return math.isfinite(measured["loss"]) and not math.isfinite(measured["gradient_norm"])


def _micro_batch(state: TrainState) -> dict[str, torch.Tensor]:
    """Forward and backward on one batch; the total and the terms of the loss, without gradient."""
    settings, accelerator = state.settings, state.accelerator
    batch = next_batch(state)
    values = frames_to_values(batch.frames.to(accelerator.device))  # (B, T, 3, H, W); in memory the channels stay last
    if not settings.channels_last:
        values = values.contiguous()
    masked = apply_masks(values, batch.seeds, settings.mask_share, settings.mask_patch)
    config = state.model.config
    present = level_subsets(batch.seeds, config.num_levels, config.level_dropout).to(values.device)
    loss, losses, codes = state.prepared(
        masked, values, present, batch.captions, _term_seed(settings.seed, state.step)
    )
    accelerator.backward(loss / settings.gradient_accumulation)
    state.window.statistics.add(codes)
    state.window.clips += len(values) * accelerator.num_processes
    return {name: value.detach() for name, value in {"loss": loss, **losses}.items()}


def _term_seed(seed: int, step: int) -> int:
    """What the terms of the loss draw with in the step after `step` steps: the same in all processes, and after resuming."""
    return int(np.random.SeedSequence(seed, spawn_key=(TERM_STREAM, step)).generate_state(1)[0])


def next_batch(state: TrainState) -> ClipBatch:
    """This process's share of the next clips. Raises DataError when too many files cannot be read."""
    started = time.perf_counter()
    batch = next(state.batches)
    state.window.data_seconds += time.perf_counter() - started
    state.unreadable.add(batch)
    return batch


def _mean_over_processes(state: TrainState, values: dict[str, torch.Tensor]) -> dict[str, float]:
    stacked = torch.stack([torch.as_tensor(value, dtype=torch.float32) for value in values.values()])
    means = state.accelerator.reduce(stacked.to(state.accelerator.device), "mean").tolist()
    return dict(zip(values, means, strict=True))


def log_metrics(state: TrainState, bar: tqdm) -> None:
    """Write the means of the window as one line of metrics, and open a new window."""
    window = state.window
    seconds = time.perf_counter() - window.started
    row = {name: value / window.steps for name, value in window.sums.items()}
    if state.accelerator.num_processes > 1:
        window.statistics.sum_over_processes(state.accelerator.reduce)
    row |= window.statistics.summary()
    row["samples_per_second"] = window.clips / seconds
    row["data_share"] = window.data_seconds / seconds
    row["unreadable_files"] = len(state.unreadable.names)
    state.window = Window(window.statistics)
    if not state.accelerator.is_main_process:
        return
    record(state, "train", row)
    bar.set_postfix(loss=f"{row['loss']:.4f}", refresh=False)
    if bar.disable:
        rate = row["samples_per_second"]
        logger.info("step %d of %d: loss %.4f, %.1f clips/s", state.step, state.settings.max_steps, row["loss"], rate)


def validation_step(state: TrainState) -> None:
    """Validate the averaged weights; one line of metrics, the curves and a contact sheet. The main process does it."""
    started = time.perf_counter()
    if state.accelerator.is_main_process:
        if state.validation is not None:
            settings = state.settings
            with state.average.applied_to(state.objective):
                result = validate(
                    state.model,
                    state.validation,
                    state.model.config.codebook_bits,
                    VALIDATION_BATCH,
                    settings.sheet_clips,
                )
            record(state, "validation", result.metrics)
            logger.info("step %d: validation PSNR %.2f dB", state.step, result.metrics["psnr"])
            originals = state.validation[: len(result.reconstructions)]
            sheet = state.output / "samples" / f"step_{state.step:08d}.png"
            with _writing(state):
                draw_contact_sheet(originals, result.reconstructions, sheet)
        with _writing(state):
            draw_curves(state.metrics, state.output / "curves.png")
    state.accelerator.wait_for_everyone()
    state.window.started += time.perf_counter() - started  # not training time


def record(state: TrainState, kind: str, row: dict[str, float]) -> None:
    """One line of metrics, in the JSON lines and in TensorBoard."""
    with _writing(state):
        state.metrics.append({"step": state.step, "kind": kind, **row})
        state.board.add(kind, state.step, row)


def save(state: TrainState) -> None:
    """Write a checkpoint, and the model with averaged weights as `model/`, a prior and what else there is beside it.

    Checkpoints that are too old are deleted.
    """
    folder = state.output / "checkpoints"
    processes = gather_object([ProcessState(random_state(), _position(state))])  # of all, in order
    if state.accelerator.is_main_process:
        progress = {
            "step": state.step,
            "processes": state.accelerator.num_processes,
            "settings": state.settings.as_dict(),
            "scaler": state.accelerator.scaler.state_dict() if state.accelerator.scaler else None,
        }

        def write(path: Path) -> None:
            save_checkpoint(path, state.objective, state.optimizer, state.average, progress, processes)

        with _writing(state):
            write_folder(folder / f"step_{state.step:08d}", write)
            _save_models(state)
            remove_leftovers(folder, state.settings.kept_checkpoints)
            remove_unfinished(state.output)
    state.accelerator.wait_for_everyone()


def _save_models(state: TrainState) -> None:
    """The averaged weights: the tokenizer as `model/`, and what else is worth having beside it."""
    with state.average.applied_to(state.objective):
        for name, component in {"model": state.model, **state.objective.components()}.items():
            write_folder(state.output / name, component.save_pretrained)


def resume(state: TrainState) -> None:
    """Go on from the newest checkpoint, if there is one. Raises CheckpointError or DataError."""
    folders = checkpoint_folders(state.output / "checkpoints")
    if folders:
        progress = load_progress(folders[-1])
        _check_processes(state, progress)
        load_checkpoint(folders[-1], state.objective, state.optimizer, state.average)
        position = load_process_state(folders[-1], state.accelerator.process_index)
        state.loader.go_to(position["loader"])
        state.unreadable.load_state_dict(position["unreadable"])
        if "window" in position:  # earlier versions did not keep it
            state.window.load_state_dict(position["window"], state.accelerator.device)
        if state.accelerator.scaler and progress["scaler"]:
            state.accelerator.scaler.load_state_dict(progress["scaler"])
        state.step = progress["step"]
        if state.step < state.settings.max_steps:
            logger.info("going on from %s", folders[-1])
        else:
            logger.warning(
                "the run in %s is finished: it has made %d steps, and max_steps is %d; give a larger max_steps to train on, or "
                "another output_folder for a new run",
                state.output,
                state.step,
                state.settings.max_steps,
            )
            if state.accelerator.is_main_process:  # it may have been killed after its last checkpoint, before this
                with _writing(state):
                    _save_models(state)
    if state.accelerator.is_main_process:
        # Without a checkpoint the validation before the first step comes again too.
        state.metrics.rewind(state.step if folders else -1)


def _position(state: TrainState) -> dict[str, Any]:
    return {
        "loader": state.loader.position(),
        "unreadable": state.unreadable.state_dict(),
        "window": state.window.state_dict(),
    }


def _check_processes(state: TrainState, progress: dict) -> None:
    if progress["processes"] != state.accelerator.num_processes:
        raise CheckpointError(
            f"the run in {state.output} has {progress['processes']} processes, this one "
            f"{state.accelerator.num_processes}; each has a random state of its own, so start as many"
        )


def _check_finite(state: TrainState, measured: dict[str, float]) -> None:
    if all(math.isfinite(measured[name]) for name in ("loss", "gradient_norm")):
        return
    values = ", ".join(f"{name} {value:.4g}" for name, value in measured.items())
    raise TrainingError(
        f"step {state.step + 1} is not finite ({values}); the weights were not changed. "
        f"Lower learning_rate ({state.settings.learning_rate:g}), lengthen warmup_steps, or set mixed_precision=no; "
        f"the last checkpoint is in {state.output / 'checkpoints'}"
    )


@contextmanager
def _writing(state: TrainState) -> Iterator[None]:
    """Around what writes: turn a full disk into one sentence that says from where the run can go on."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        good = checkpoint_folders(state.output / "checkpoints")
        raise TrainingError(
            f"step {state.step} cannot be written to {state.output}: {error}; "
            + (f"the last good checkpoint is {good[-1]}" if good else "there is no checkpoint yet")
        ) from error


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; a second SIGINT interrupts at once. The old handlers come back."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may set handlers
        return

    def handle(number: int, _frame: object) -> None:
        if number == signal.SIGINT and stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _agreed(state: TrainState, flag: bool) -> bool:
    """Whether any process says so: all must save and stop at the same step."""
    if state.accelerator.num_processes == 1:
        return flag
    flags = torch.tensor(int(flag), device=state.accelerator.device)
    return bool(state.accelerator.reduce(flags, "sum"))


def _quiet(state: TrainState) -> bool:
    return not (state.accelerator.is_main_process and sys.stderr.isatty())
