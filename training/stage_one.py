"""Stage 1, self-supervised training of the tokenizer: `python -m pyratok.training.stage_one RECIPE key=value ...`.

A first version: reconstruction and codebook losses on random clips, on one machine or, through Accelerate, on several.
The run can be stopped at any moment (SIGTERM and SIGINT write a checkpoint) and goes on exactly where it was when the
same command is given again: weights, optimizer, average, random generators and the position in the data are in the
checkpoint, and the learning rate is a function of the step.
"""

import argparse
import logging
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate.utils import gather_object
from tqdm.auto import tqdm

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.pixel_values import frames_to_values
from .checkpoints import (
    CheckpointError,
    checkpoint_folders,
    load_checkpoint,
    load_progress,
    load_random_state,
    random_state,
    remove_leftovers,
    remove_unfinished,
    save_checkpoint,
    write_folder,
)
from .run_records import draw_contact_sheet, draw_curves
from .settings import SettingsError, StageOneSettings, load_settings, packaged_recipes
from .train_state import TrainState, Window, new_state
from .validation import validate

logger = logging.getLogger(__name__)


class TrainingError(PyraTokError):
    """A run that cannot go on."""


def train(settings: StageOneSettings) -> TrainState:
    """Run stage 1 to its end, or until SIGTERM or SIGINT, and return the last state.

    Goes on from the newest checkpoint of the output folder, if there is one. Raises TrainingError at the first loss or
    gradient that is not finite, and SettingsError, DataError or CheckpointError before the first step.
    """
    _refuse_foreign_folder(settings)
    state = new_state(settings)
    resume(state)
    state.output.mkdir(parents=True, exist_ok=True)
    saved_at = time.monotonic()
    bar = tqdm(total=settings.max_steps, initial=state.step, unit="step", disable=_quiet(state))
    with _stop_signals() as stop, bar:
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
    """One optimizer step; adds its values to `state.window`. Raises TrainingError when something is not finite."""
    settings, accelerator = state.settings, state.accelerator
    learning_rate = learning_rate_at(state.step, settings)
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate
    started = time.perf_counter()
    values = next_clips(state)  # (B, T, 3, H, W)
    state.window.data_seconds += time.perf_counter() - started
    with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=settings.autocast_bf16):
        output = state.prepared(pixel_values_videos=values)
    accelerator.backward(output.loss)
    norm = accelerator.clip_grad_norm_(state.prepared.parameters(), settings.max_gradient_norm)
    measured = {name: float(value.detach()) for name, value in {"loss": output.loss, **output.losses}.items()}
    _check_finite(state, {**measured, "gradient_norm": float(norm)})
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.step += 1
    state.average.update(state.model, state.step)
    state.window.add({**measured, "gradient_norm": float(norm), "learning_rate": learning_rate})
    state.window.statistics.add(output.video_codes)


def next_clips(state: TrainState) -> torch.Tensor:
    """This process's share of the next clips, (B, T, 3, H, W) in [-1, 1]; moves the position in the data on."""
    size, accelerator = state.settings.batch_size, state.accelerator
    first = state.clips_consumed + accelerator.process_index * size
    batch = state.sampler.batch(range(first, first + size))
    state.clips_consumed += size * accelerator.num_processes
    values = frames_to_values(batch.frames.to(accelerator.device))  # in memory the channels stay last
    return values if state.settings.channels_last else values.contiguous()


def learning_rate_at(step: int, settings: StageOneSettings) -> float:
    """The learning rate of the step after `step` steps: linear warm-up, then half a cosine down to the final share."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / max(settings.max_steps - settings.warmup_steps, 1)
    floor = settings.final_learning_rate_share
    return settings.learning_rate * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))


def log_metrics(state: TrainState, bar: tqdm) -> None:
    """Write the means of the window as one line of metrics, and open a new window."""
    window, settings = state.window, state.settings
    seconds = time.perf_counter() - window.started
    row = {name: value / window.steps for name, value in window.sums.items()}
    row |= window.statistics.summary()
    row["samples_per_second"] = window.steps * settings.batch_size * state.accelerator.num_processes / seconds
    row["data_share"] = window.data_seconds / seconds
    row["unreadable_files"] = len(state.sampler.unreadable)
    state.window = Window(window.statistics)
    if not state.accelerator.is_main_process:
        return
    state.metrics.append({"step": state.step, "kind": "train", **row})
    bar.set_postfix(loss=f"{row['loss']:.4f}", refresh=False)
    if bar.disable:
        rate = row["samples_per_second"]
        logger.info("step %d of %d: loss %.4f, %.1f clips/s", state.step, settings.max_steps, row["loss"], rate)


def validation_step(state: TrainState) -> None:
    """Validate the averaged weights; one line of metrics, the curves and a contact sheet. The main process does it."""
    started = time.perf_counter()
    if state.accelerator.is_main_process:
        if state.validation is not None:
            settings = state.settings
            with state.average.applied_to(state.model):
                result = validate(
                    state.model,
                    state.validation,
                    state.model.config.codebook_bits,
                    settings.batch_size,
                    settings.sheet_clips,
                )
            state.metrics.append({"step": state.step, "kind": "validation", **result.metrics})
            logger.info("step %d: validation PSNR %.2f dB", state.step, result.metrics["psnr"])
            originals = state.validation[: len(result.reconstructions)]
            sheet = state.output / "samples" / f"step_{state.step:08d}.png"
            draw_contact_sheet(originals, result.reconstructions, sheet)
        draw_curves(state.metrics, state.output / "curves.png")
    state.accelerator.wait_for_everyone()
    state.window.started += time.perf_counter() - started  # not training time


def save(state: TrainState) -> None:
    """Write a checkpoint and, as `model/`, the model with averaged weights; delete checkpoints that are too old."""
    folder = state.output / "checkpoints"
    random_states = gather_object([random_state()])  # of all processes, in order
    if state.accelerator.is_main_process:
        progress = {
            "step": state.step,
            "clips_consumed": state.clips_consumed,
            "processes": state.accelerator.num_processes,
            "settings": state.settings.as_dict(),
        }

        def write(path: Path) -> None:
            save_checkpoint(path, state.model, state.optimizer, state.average, progress, random_states)

        write_folder(folder / f"step_{state.step:08d}", write)
        with state.average.applied_to(state.model):
            write_folder(state.output / "model", lambda path: state.model.save_pretrained(path))
        remove_leftovers(folder, state.settings.kept_checkpoints)
        remove_unfinished(state.output)
    state.accelerator.wait_for_everyone()


def resume(state: TrainState) -> None:
    """Go on from the newest checkpoint, if there is one. Raises SettingsError or CheckpointError."""
    folders = checkpoint_folders(state.output / "checkpoints")
    step = 0
    if folders:
        progress = load_progress(folders[-1])
        _compare_settings(state, progress)
        load_checkpoint(folders[-1], state.model, state.optimizer, state.average)
        load_random_state(folders[-1], state.accelerator.process_index)
        step = state.step = progress["step"]
        state.clips_consumed = progress["clips_consumed"]
        logger.info("going on from %s", folders[-1])
    if state.accelerator.is_main_process:
        state.metrics.rewind(step)


def _refuse_foreign_folder(settings: StageOneSettings) -> None:
    folder = Path(settings.output_folder)
    if not settings.resume and checkpoint_folders(folder / "checkpoints"):
        raise SettingsError(
            f"{folder} holds the checkpoints of a run; choose another output_folder or set resume=true"
        )


def _compare_settings(state: TrainState, progress: dict) -> None:
    before, now = progress["settings"], state.settings.as_dict()
    changed = sorted(name for name in now if before.get(name) != now[name] and name != "output_folder")
    if "model_config" in changed:
        raise SettingsError(
            f"model_config differs from that of the run in {state.output}; choose another output_folder"
        )
    if changed:
        logger.warning("settings that differ from the run so far: %s", ", ".join(changed))
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
        f"Lower learning_rate ({state.settings.learning_rate:g}), lengthen warmup_steps, or set autocast_bf16=false; "
        f"the last checkpoint is in {state.output / 'checkpoints'}"
    )


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


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code (0 also when stopped by a signal, 2 for a clear error)."""
    parser = argparse.ArgumentParser(prog="python -m pyratok.training.stage_one", description=__doc__.splitlines()[0])
    parser.add_argument("recipe", help=f"a YAML file, or a recipe of the package: {', '.join(packaged_recipes())}")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that replace those of the recipe")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        train(load_settings(given.recipe, given.overrides))
    except PyraTokError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
