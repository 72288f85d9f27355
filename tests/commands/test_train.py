"""`pyratok train`: a run from a recipe of one's own, and what is said when it cannot begin."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from small_films import moving_square
from tiny_runs import TINY_MODEL

from pyratok import PyraTokModel
from pyratok.modeling_pyratok.video_writing import write_video
from pyratok.training import trainer


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """Two steps on a folder of two films without splits."""
    for name in ("a", "b"):
        (tmp_path / "films").mkdir(exist_ok=True)
        write_video(tmp_path / "films" / f"{name}.mp4", moving_square(6, 32, 32), 10)
    settings = {
        "output_folder": str(tmp_path / "run"),
        "data": str(tmp_path / "films"),
        "validation_split": None,
        "model_config": TINY_MODEL,
        "frame_counts": [5],
        "sides": [32],
        "batch_pixels": 5 * 32 * 32,
        "workers": 0,
        "max_steps": 2,
        "warmup_steps": 0,
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings))
    return str(tmp_path / "recipe.yaml")


def test_stages_follow_each_other(run, recipe, film, tmp_path):
    run("train", recipe, "mask_share=0.3")
    run("train", recipe, "stage=2")
    first, second = (PyraTokModel.from_pretrained(tmp_path / "run" / f"stage_{n}" / "model") for n in (1, 2))
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    run("reconstruct", film, "--model", tmp_path / "run" / "stage_2" / "model", "--output", "result")


def test_a_folder_without_splits_is_trained_on_and_validated(run, recipe, tmp_path, caplog):
    caplog.set_level("INFO")
    lines = yaml.safe_load(Path(recipe).read_text())
    del lines["validation_split"]  # as a newcomer, who sets what he has to
    Path(recipe).write_text(yaml.safe_dump(lines))
    run("train", recipe)
    rows = [json.loads(line) for line in (tmp_path / "run" / "stage_1" / "metrics.jsonl").read_text().splitlines()]
    validated = [row for row in rows if row["kind"] == "validation"]
    assert [row["step"] for row in validated] == [0, 2]  # what was learned is the difference
    assert all(row["psnr"] > 0 for row in validated)
    assert "has no split 'validation': these files are held out for it, and not trained on: " in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data=nowhere"], "there is nothing at 'nowhere'"),
        (["max_steps=0"], "max_steps must be at least 1"),
        (["stage=3"], "train stage 2 first"),
        (["frame_counts=[6]"], "numbers of frames are 1, 5, 9"),
        (["model_config.hidden_size=7"], "hidden_size must be a multiple of num_attention_heads"),
        (["model_config.hidden_sice=8"], "PyraTokConfig has no option hidden_sice"),
        (["train_split=test"], "has no split 'test'"),
        (["validation_split=test"], "give one of them as validation_split, or validation_split=null"),
        (["model_folder=nowhere", "model_config=null"], "there is no model 'nowhere'"),
    ],
)
def test_a_run_that_cannot_begin(refused, recipe, arguments, message):
    assert message in refused("train", recipe, *arguments)


@pytest.mark.parametrize(
    "problem", [MemoryError(), torch.OutOfMemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_a_run_without_enough_memory_is_told_of_settings_that_it_has(refused, recipe, monkeypatch, problem):
    def fail(_settings: object) -> None:
        raise problem

    monkeypatch.setattr(trainer, "train", fail)
    message = refused("train", recipe)
    assert "not enough memory: give a smaller batch_pixels, or gradient_checkpointing=true" in message
    assert "--chunk-frames" not in message


def test_a_recipe_that_is_not_there(refused):
    assert "no recipe is called 'huge'" in refused("train", "huge")
