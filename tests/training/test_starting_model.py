"""What a run of training says of a model that it cannot start from."""

import pytest
from foreign_checkpoints import TINY_2_1, random_vae

from pyratok.training.settings import SettingsError, TrainingSettings
from pyratok.training.starting_model import starting_model


@pytest.mark.parametrize(
    ("config", "message"),
    [({"codebook_bits": 99}, "model_config: .*codebook_bits must lie in"), ({"colour": 1}, "model_config: .*colour")],
)
def test_settings_that_do_not_fit_a_backbone_are_refused(tmp_path, config, message):
    random_vae(TINY_2_1).save_pretrained(tmp_path / "vae")
    settings = TrainingSettings(
        output_folder=str(tmp_path / "run"), data="data", model_config=config, backbone=str(tmp_path / "vae")
    )
    with pytest.raises(SettingsError, match=message):
        starting_model(settings)
