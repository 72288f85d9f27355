"""A run goes on with the data and the start that it has, and with no other."""

import logging
import shutil

import pytest
from tiny_runs import TINY_MODEL, rows_of, settings_for

from pyratok.training.settings import SettingsError
from pyratok.training.trainer import train


@pytest.fixture(scope="module")
def run(data_folder, tmp_path_factory):
    """A run of two steps, and its folder."""
    output = tmp_path_factory.mktemp("run")
    train(settings_for(data_folder, output, max_steps=2, validation_split=None))
    return output


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resume": False}, "resume=true"),
        ({"data": "other"}, "has data=.*/video, now it is .*/other; choose another output_folder"),
        ({"image_data": None}, "has image_data=.*/images, now it is null"),
        ({"image_share": 0.0}, "has image_share=0.3, now it is 0.0"),
        ({"train_split": "validation"}, "has train_split=train, now it is validation"),
        ({"validation_split": "validation"}, "has validation_split=null, now it is validation"),
        ({"optimizer": "muon"}, "has optimizer=adamw, now it is muon"),
        ({"seed": 1}, "has seed=0, now it is 1; .*, or give the old value to go on"),
        ({"model_folder": "model"}, "has model_folder=null, now it is .*stage_1/model"),
        (
            {"model_config": {**TINY_MODEL, "codebook_bits": 5}},
            'has model_config={"codebook_bits": 6}, now it is {"codebook_bits": 5}',
        ),
    ],
)
def test_another_run_is_refused(data_folder, tmp_path, run, changes, message):
    if "data" in changes:
        shutil.copytree(data_folder / "video", tmp_path / "other")
        changes = {"data": str(tmp_path / "other")}
    if "model_folder" in changes:
        changes = {"model_folder": str(run / "stage_1" / "model")}
    before = rows_of(run)
    with pytest.raises(SettingsError, match=message):
        train(settings_for(data_folder, run, **{"max_steps": 4, "validation_split": None, **changes}))
    assert rows_of(run) == before


def test_other_changes_are_warned_of(data_folder, tmp_path, run, caplog):
    caplog.set_level(logging.WARNING)
    shutil.copytree(run, tmp_path / "run")
    same = f"{data_folder / 'video'}/"  # as the shell completes it
    changes = {"data": same, "learning_rate": 1e-4, "validation_split": None}
    assert train(settings_for(data_folder, tmp_path / "run", **changes)).step == 4
    assert "settings that differ from the run so far: learning_rate, max_steps" in caplog.text
