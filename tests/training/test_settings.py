"""Recipes and their overrides."""

import pytest

from pyratok.training.settings import SettingsError, load_settings


def test_the_packaged_recipe_and_overrides():
    settings = load_settings("tiny", ["max_steps=70", "learning_rate=2e-4", "model_config.codebook_bits=9"])
    assert (settings.max_steps, settings.learning_rate) == (70, 2e-4)
    assert settings.model_config["codebook_bits"] == 9
    assert settings.model_config["lora_rank"] == 0  # the other entries stay


def test_a_recipe_file(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("output_folder: out\nvideo_folder: data\nmodel_folder: model\nweight_decay: 1\n")
    settings = load_settings(recipe)
    assert settings.weight_decay == 1.0 and isinstance(settings.weight_decay, float)
    assert settings.validation_split == "validation"
    assert load_settings(recipe, ["validation_split=null"]).validation_split is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("learning_rat=1", "unknown settings: learning_rat"),
        ("max_steps", "has no '='"),
        ("max_steps=many", "max_steps must be of type int, got 'many'"),
        ("max_steps=true", "max_steps must be of type int"),
        ("resume=1", "resume must be of type bool"),
        ("max_steps.x=1", "max_steps is 100 and has no entries"),
        ("cache_gigabytes=0", "cache_gigabytes must be above 0"),
        ("max_steps=0", "max_steps must be at least 1, got 0"),
        ("image_share=1.5", "image_share must be between 0 and 1, got 1.5"),
        ("learning_rate=0", "learning_rate must be above 0"),
        ("average_decay=1", "average_decay must be at least 0 and below 1"),
        ("warmup_steps=1000000", "warmup_steps is 1000000"),
        ("model_folder=somewhere", "give one of model_folder"),
        ("model_config=null", "give one of model_folder"),
        ("max_steps=[", "not valid YAML"),
        ("video_folder=null", "video_folder must be of type str"),
    ],
)
def test_wrong_settings_are_refused(override, message):
    with pytest.raises(SettingsError, match=message.replace("[", r"\[")):
        load_settings("tiny", [override])


def test_missing_recipes_and_settings(tmp_path):
    with pytest.raises(SettingsError, match="one of: .*tiny"):
        load_settings("huge")
    with pytest.raises(SettingsError, match="there is no recipe at"):
        load_settings(tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").write_text("max_steps: 3\n")
    with pytest.raises(SettingsError, match="missing settings: output_folder, video_folder"):
        load_settings(tmp_path / "empty.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(SettingsError, match="must hold 'name: value' lines"):
        load_settings(tmp_path / "list.yaml")
