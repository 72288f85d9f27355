"""The trainer: it learns, it stops for good reasons, and it goes on as if it had never stopped."""

import functools
import itertools
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from accelerate.optimizer import AcceleratedOptimizer
from diffusers import AutoencoderKLWan
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_runs import TINY_MODEL, rows_of, settings_for

from pyratok import PyraTokError
from pyratok.modeling_pyratok.lora import plain_state_dict
from pyratok.modeling_pyratok.modeling_pyratok import PyraTokModel
from pyratok.modeling_pyratok.pixel_values import frames_to_values
from pyratok.training import train_state, trainer
from pyratok.training.checkpoints import CheckpointError
from pyratok.training.settings import SettingsError
from pyratok.training.trainer import TrainingError, train


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int, act) -> None:
    """Run `act` right before the step after `step`."""
    original = trainer.training_step

    def training_step(state):
        if state.step == step:
            act()
        original(state)

    monkeypatch.setattr(trainer, "training_step", training_step)


@pytest.fixture(scope="module")
def whole_run(data_folder, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("whole")
    torch.set_num_threads(1)
    train(settings_for(data_folder, output))
    return output


def stage(output: Path) -> Path:
    return output / "stage_1"


def test_what_a_run_leaves(whole_run):
    rows = rows_of(whole_run)
    assert [row["step"] for row in rows if row["kind"] == "validation"] == [0, 3, 4]
    training = [row for row in rows if row["kind"] == "train"]
    assert [row["step"] for row in training] == [1, 2, 3, 4]
    for name in ("loss", "gradient_norm", "learning_rate", "code_use_1", "bit_balance_2", "code_entropy_2"):
        assert all(name in row for row in training), name
    assert training[-1]["unreadable_files"] <= 1
    for picture in ("curves.png", "samples/step_00000003.png", "samples/step_00000004.png"):
        with Image.open(stage(whole_run) / picture) as image:
            image.verify()
    assert [path.name for path in (stage(whole_run) / "checkpoints").iterdir()] == ["step_00000004"]
    suffixes = {path.suffix for path in whole_run.rglob("*") if path.is_file() and "tensorboard" not in path.parts}
    assert suffixes <= {".safetensors", ".json", ".jsonl", ".png"}  # nothing pickled
    board = EventAccumulator(str(stage(whole_run) / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("train/loss")] == [1, 2, 3, 4]
    assert [event.step for event in board.Scalars("validation/psnr")] == [0, 3, 4]


def test_the_saved_model_has_the_averaged_weights(whole_run):
    model = PyraTokModel.from_pretrained(stage(whole_run) / "model")
    average = load_file(stage(whole_run) / "checkpoints" / "step_00000004" / "average.safetensors")
    current = load_file(stage(whole_run) / "checkpoints" / "step_00000004" / "model.safetensors")
    weights = dict(model.named_parameters())
    average = {name.removeprefix("model."): value for name, value in average.items()}
    assert set(average) == {name for name, weight in weights.items() if weight.requires_grad}
    assert all(torch.equal(weights[name], value) for name, value in average.items())
    assert any(not torch.equal(current[name], value) for name, value in average.items())


@pytest.mark.parametrize(
    "changes",
    [{}, {"channels_last": True, "mixed_precision": "bf16"}, {"optimizer": "muon"}],
    ids=["plain", "bf16", "muon"],
)
def test_a_crashed_run_goes_on_exactly(data_folder, tmp_path, monkeypatch, whole_run, changes):
    reference = whole_run
    if changes:
        reference = tmp_path / "reference"
        train(settings_for(data_folder, reference, **changes))
    settings = settings_for(data_folder, tmp_path / "run", checkpoint_minutes=1e-9, **changes)

    def crash():
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        interrupt_at(patch, 2, crash)
        with pytest.raises(RuntimeError, match="power cut"):
            train(settings)
    newest = stage(tmp_path / "run") / "checkpoints" / "step_00000002"
    with (stage(tmp_path / "run") / "metrics.jsonl").open("a") as file:  # written after the checkpoint, then cut off
        file.write('{"step": 3, "kind": "train", "loss": 0}\n{"step": 4, "ki')
    for folder in (stage(tmp_path / "run"), stage(tmp_path / "run") / "checkpoints"):
        (folder / ".writing-0").mkdir()
    assert newest.is_dir()
    state = train(settings)
    assert state.step == 4
    assert rows_of(tmp_path / "run") == rows_of(reference)
    names = sorted(path.name for path in (stage(tmp_path / "run") / "checkpoints").iterdir())
    assert names == ["step_00000003", "step_00000004"]  # the last two, and no leftovers
    assert not (stage(tmp_path / "run") / ".writing-0").exists()
    for name in ("model.safetensors", "average.safetensors", "optimizer.safetensors", "random_0.safetensors"):
        ours, theirs = (
            load_file(stage(run) / "checkpoints" / "step_00000004" / name) for run in (tmp_path / "run", reference)
        )
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), name


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(data_folder, tmp_path, monkeypatch, whole_run, number):
    settings = settings_for(data_folder, tmp_path / "run")
    handler = signal.getsignal(number)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1, lambda: os.kill(os.getpid(), number))
        state = train(settings)
    assert state.step == 2 and signal.getsignal(number) == handler
    assert (stage(tmp_path / "run") / "checkpoints" / "step_00000002").is_dir()
    train(settings)
    assert rows_of(tmp_path / "run") == rows_of(whole_run)


def test_a_loss_that_is_not_finite_stops_the_run(data_folder, tmp_path, monkeypatch):
    original = trainer.new_state

    def new_state(settings):
        state = original(settings)
        next(weight for weight in state.model.parameters() if weight.dim() == 5).data.fill_(float("nan"))
        return state

    monkeypatch.setattr(trainer, "new_state", new_state)
    with pytest.raises(TrainingError, match=r"step 1 is not finite \(loss nan.*Lower learning_rate"):
        train(settings_for(data_folder, tmp_path))
    assert not (stage(tmp_path) / "checkpoints").exists()


def test_a_run_that_crashed_before_its_first_checkpoint_begins_again(data_folder, tmp_path, monkeypatch, whole_run):
    settings = settings_for(data_folder, tmp_path / "run")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(settings)
    train(settings)
    assert rows_of(tmp_path / "run") == rows_of(whole_run)


def test_a_line_of_metrics_is_of_all_its_steps_also_after_a_stop(data_folder, tmp_path, monkeypatch):
    changes = {"max_steps": 6, "log_every": 3, "validation_split": None}
    train(settings_for(data_folder, tmp_path / "whole", **changes))
    settings = settings_for(data_folder, tmp_path / "run", **changes)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert train(settings).step == 4
    train(settings)
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "whole")
    assert [row["step"] for row in rows_of(tmp_path / "run")] == [3, 6]


def test_a_checkpoint_of_before_goes_on(data_folder, tmp_path):
    """Earlier versions did not keep what the next line of metrics is the mean of."""
    changes = {"log_every": 4, "validation_split": None}
    train(settings_for(data_folder, tmp_path, **{**changes, "max_steps": 3}))
    path = stage(tmp_path) / "checkpoints" / "step_00000003" / "data_0.json"
    position = json.loads(path.read_text())
    del position["window"]
    path.write_text(json.dumps(position))
    train(settings_for(data_folder, tmp_path, **changes))
    assert [row["step"] for row in rows_of(tmp_path)] == [4]


def test_a_finished_run_says_so(data_folder, whole_run, caplog):
    before = rows_of(whole_run)
    assert train(settings_for(data_folder, whole_run)).step == 4
    assert "is finished: it has made 4 steps, and max_steps is 4; give a larger max_steps to train on" in caplog.text
    assert rows_of(whole_run) == before


def test_a_damaged_checkpoint_is_named(data_folder, tmp_path):
    train(settings_for(data_folder, tmp_path, max_steps=2))
    weights = stage(tmp_path) / "checkpoints" / "step_00000002" / "average.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="step_00000002 does not fit this model or is damaged"):
        train(settings_for(data_folder, tmp_path, max_steps=4))


def test_starting_from_a_model_folder(data_folder, tmp_path, whole_run):
    changes = {
        "model_config": None,
        "model_folder": str(stage(whole_run) / "model"),
        "max_steps": 2,
        "average_decay": 0.0,
    }
    state = train(settings_for(data_folder, tmp_path, **changes))
    saved = dict(PyraTokModel.from_pretrained(stage(tmp_path) / "model").named_parameters())
    assert all(torch.equal(saved[name], weight) for name, weight in state.model.named_parameters())


FULL_DISK = """
import resource, signal, sys, yaml
from pathlib import Path
from pyratok.training import trainer
from pyratok.training.recipe_reading import load_settings

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
original = trainer.training_step

def training_step(state):
    if state.step == 1:  # no file may grow as large as a checkpoint's
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    original(state)

trainer.training_step = training_step
try:
    trainer.train(load_settings(sys.argv[1]))
except trainer.TrainingError as error:
    print(error)
"""


def test_a_full_disk_stops_the_run_and_leaves_the_last_checkpoint(data_folder, tmp_path, whole_run):
    settings = settings_for(data_folder, tmp_path / "run", checkpoint_minutes=1e-9)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings.as_dict()))
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "recipe.yaml")]
    # As many threads as here: the order of sums depends on their number.
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    folder = stage(tmp_path / "run") / "checkpoints"
    assert "step 2 cannot be written" in done.stdout, done.stderr
    assert f"the last good checkpoint is {folder / 'step_00000001'}" in done.stdout
    assert [path.name for path in folder.iterdir()] == ["step_00000001"]
    train(settings)
    assert rows_of(tmp_path / "run") == rows_of(whole_run)


def test_data_that_cannot_be_read_are_not_said_to_be_a_full_disk(data_folder, tmp_path, monkeypatch):
    def next_batch(state):
        raise OSError(5, "Input/output error", "film.mp4")

    monkeypatch.setattr(trainer, "next_batch", next_batch)
    with pytest.raises(OSError, match="film.mp4"):
        train(settings_for(data_folder, tmp_path, validation_split=None))


def scaled_by(scale: float):
    """A `new_state` whose losses are scaled as those of float16 on a GPU are."""
    original = trainer.new_state

    def new_state(settings):
        state = original(settings)
        accelerator = state.accelerator
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        accelerator.native_amp, accelerator.state._mixed_precision = True, "fp16"
        state.optimizer = AcceleratedOptimizer(state.optimizer.optimizer, scaler=accelerator.scaler)
        accelerator._optimizers = [state.optimizer]
        return state

    return new_state


def test_a_gradient_that_overflows_lowers_the_scale_and_costs_no_step(data_folder, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(trainer, "new_state", scaled_by(2.0**127))  # the scaled loss is finite, its gradient is not
    state = train(settings_for(data_folder, tmp_path, validation_split=None, average_decay=0.0))
    left_out = caplog.text.count("a gradient overflowed in float16; the batch is left out")
    assert left_out > 0 and state.accelerator.scaler.get_scale() == 2.0 ** (127 - left_out)
    rows = rows_of(tmp_path)
    assert state.step == 4 and [row["step"] for row in rows] == [1, 2, 3, 4]
    assert all(math.isfinite(row["gradient_norm"]) for row in rows)
    assert all(moments["step"] == 4 for moments in state.optimizer.state.values())
    assert all(weight.isfinite().all() for weight in state.model.parameters())


def test_a_gradient_that_never_fits_stops_the_run(data_folder, tmp_path, monkeypatch):
    scaled = scaled_by(2.0**16)

    def new_state(settings):
        state = scaled(settings)
        weight = next(weight for weight in state.model.parameters() if weight.dim() == 5)
        weight.register_hook(lambda gradient: gradient * float("inf"))
        return state

    monkeypatch.setattr(trainer, "new_state", new_state)
    with pytest.raises(TrainingError, match=r"step 1 is not finite .*gradient_norm (inf|nan).*mixed_precision=no"):
        train(settings_for(data_folder, tmp_path, validation_split=None))


def test_float16_on_the_cpu_is_refused(data_folder, tmp_path):
    with pytest.raises(SettingsError, match="mixed_precision=fp16 needs a GPU.* set it to bf16, or to no"):
        train(settings_for(data_folder, tmp_path, mixed_precision="fp16"))


class Watching(torch.nn.Module):
    """A term of the loss that notes what it may look at."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, view):
        self.seen.append((view.captions, view.values))
        return view.values.new_zeros(())


@pytest.mark.parametrize(
    "changes",
    [{"gradient_accumulation": 2}, pytest.param({"compile_model": True}, marks=pytest.mark.slow)],
    ids=["accumulated", "compiled"],
)
def test_a_term_sees_the_captions_of_its_clips(data_folder, tmp_path, monkeypatch, changes):
    watching = Watching()
    monkeypatch.setattr(train_state, "loss_terms", lambda settings, model: {"watching": (1.0, watching)})
    # Graphs are captured as ever, but run as they are: no wait for the C++ compiler.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    settings = settings_for(
        data_folder, tmp_path, caption_dropout=0.5, image_data=None, validation_split=None, **changes
    )
    with torch._dynamo.config.patch(error_on_recompile=True):  # another caption must not be compiled for
        train(settings)
    batches = list(itertools.islice(train_state.new_state(settings).loader, len(watching.seen)))
    assert len(batches) == settings.max_steps * settings.gradient_accumulation
    for (captions, values), batch in zip(watching.seen, batches, strict=True):
        assert captions == batch.captions
        assert torch.equal(values, frames_to_values(batch.frames))
    captions = [caption for seen, _ in watching.seen for caption in seen]
    assert None in captions and any(caption is not None for caption in captions)


def test_losses_from_outside_are_logged_and_their_projection_goes_on(data_folder, tmp_path, monkeypatch):
    changes = {
        "perceptual": "st-lpips",
        "perceptual_frames": 2,
        "drift": "efficientnet-lite0",
        "validation_split": None,
    }
    train(settings_for(data_folder, tmp_path / "whole", **changes))
    settings = settings_for(data_folder, tmp_path / "run", checkpoint_minutes=1e-9, **changes)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(settings)
    train(settings)
    rows = rows_of(tmp_path / "whole")
    assert rows_of(tmp_path / "run") == rows
    assert all(row["perceptual"] > 0 and row["drift"] > 0 for row in rows)
    steps = [
        load_file(stage(tmp_path / "run") / "checkpoints" / f"step_0000000{step}" / "terms.safetensors")
        for step in (3, 4)
    ]
    assert all(not torch.equal(steps[0][name], steps[1][name]) for name in steps[0]) and len(steps[0]) == 2


def test_lora_in_a_frozen_encoder_is_held_to_it(data_folder, tmp_path):
    vae = AutoencoderKLWan(**TINY_MODEL["backbone_config"])
    vae.save_pretrained(tmp_path / "vae")
    shape = {"lora_rank": 2, "freeze_backbone": True, "backbone_config": None}
    config = {name: value for name, value in {**TINY_MODEL, **shape}.items() if value is not None}
    changes = {
        "backbone": str(tmp_path / "vae"),
        "model_config": config,
        "drift": "encoder",
        "latent_loss_weight": 0.1,
    }
    state = train(settings_for(data_folder, tmp_path / "run", validation_split=None, **changes))
    rows = rows_of(tmp_path / "run")
    assert rows[0]["drift"] == pytest.approx(0, abs=1e-9) and rows[-1]["drift"] > 0  # LoRA starts as a no-op
    assert all(row["latent"] > 0 for row in rows)
    kept = plain_state_dict(state.model.backbone)
    assert all(torch.equal(kept[name], tensor) for name, tensor in vae.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drift": "encoder"}, "this model has none; name an image encoder"),
        ({"latent_loss_weight": 0.1}, "this model's backbone is trained"),
        ({"perceptual": "vgg"}, "no perceptual distance is called 'vgg'"),
    ],
)
def test_losses_that_a_model_cannot_have(data_folder, tmp_path, changes, message):
    with pytest.raises(PyraTokError, match=message):
        train(settings_for(data_folder, tmp_path, **changes))


def test_a_saved_model_takes_new_weights_of_losses_and_nothing_else(data_folder, tmp_path, whole_run):
    changes = {"model_folder": str(stage(whole_run) / "model"), "max_steps": 2}
    weights = {**TINY_MODEL, "l1_loss_weight": 0.5, "l2_loss_weight": 3.0, "level_dropout": 0.3}
    train(settings_for(data_folder, tmp_path / "run", model_config=weights, **changes))
    config = PyraTokModel.from_pretrained(stage(tmp_path / "run") / "model").config
    assert (config.l1_loss_weight, config.l2_loss_weight, config.level_dropout) == (0.5, 3.0, 0.3)
    with pytest.raises(SettingsError, match="model_config.hidden_size is 16, but the model .* has 8"):
        train(settings_for(data_folder, tmp_path / "other", model_config={"hidden_size": 16}, **changes))


def test_the_reconstruction_improves(data_folder, tmp_path):
    changes = {"max_steps": 16, "log_every": 4, "validation_split": None, "image_data": None, "learning_rate": 1e-2}
    train(settings_for(data_folder, tmp_path, **changes))
    rows = rows_of(tmp_path)
    assert [row["kind"] for row in rows] == ["train"] * 4
    assert rows[-1]["l1"] < 0.9 * rows[0]["l1"]


def test_no_term_of_the_loss_takes_the_name_of_a_metric(data_folder, tmp_path):
    """`psnr` was both once, and validation said -27 dB."""
    model = {**TINY_MODEL, "l2_loss_weight": 1.0, "log_l2_loss_weight": 0.01}
    state = train(settings_for(data_folder, tmp_path, max_steps=1, warmup_steps=1, model_config=model))
    (row,) = [row for row in rows_of(tmp_path) if row["kind"] == "validation" and row["step"] == 1]
    assert row["psnr"] > 0 and row["psnr"] == pytest.approx(-row["log_l2"], abs=0.01)
    assert not {"psnr", "psnr_frames", "loss"} & set(state.model(torch.zeros(1, 1, 3, 16, 16)).losses)
