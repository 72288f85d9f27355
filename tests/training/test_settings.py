"""Recipes and their overrides."""

import pytest

from pyratok.training.recipe_reading import load_settings, packaged_recipes
from pyratok.training.settings import SettingsError


def test_the_packaged_recipe_and_overrides():
    settings = load_settings("tiny", ["max_steps=70", "learning_rate=2e-4", "model_config.codebook_bits=9"])
    assert (settings.max_steps, settings.learning_rate) == (70, 2e-4)
    assert settings.model_config["codebook_bits"] == 9
    assert settings.model_config["lora_rank"] == 0  # the other entries stay


def test_a_recipe_file(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("output_folder: out\ndata: data\nmodel_folder: model\nweight_decay: 1\n")
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
        ("max_steps.x=1", "max_steps is 300 and has no entries"),
        ("batch_pixels=0", "batch_pixels must be at least 1, got 0"),
        ("max_steps=0", "max_steps must be at least 1, got 0"),
        ("image_share=1.5", "image_share must be between 0 and 1, got 1.5"),
        ("learning_rate=0", "learning_rate must be above 0"),
        ("average_decay=1", "average_decay must be at least 0 and below 1"),
        ("warmup_steps=1000000", "warmup_steps is 1000000"),
        ("model_config=null", "give model_folder"),
        ("max_steps=[", "not valid YAML"),
        ("data=null", "data must be of type str"),
        ("optimizer=sgd", "optimizer must be one of adamw, muon, got 'sgd'"),
        ("stage=4", "stage must be one of 1, 2, 3, got 4"),
        ("mixed_precision=int8", "mixed_precision must be one of no, bf16, fp16, got 'int8'"),
        ("sides=64", "sides must be of type list"),
        ("frame_counts=[17, a]", "frame_counts[1] must be of type int, got 'a'"),
        ("frame_counts=[17.0]", "frame_counts[0] must be of type int, got 17.0"),
        ("sides=[true]", "sides[0] must be of type int, got True"),
        ("aspect_ratios=[969]", "aspect_ratios[0] must be of type str, got 969"),
        ("stage=[1]", "stage must be of type int, got [1]"),
    ],
)
def test_wrong_settings_are_refused(override, message):
    with pytest.raises(SettingsError, match=message.replace("[", r"\[")):
        load_settings("tiny", [override])


@pytest.mark.parametrize("ratio", ["16:9", "1:1", "2:1", "2.39:1", "1:2.39", "9:16"])
def test_an_aspect_ratio_needs_no_quotes(ratio):
    settings = load_settings("tiny", [f"aspect_ratios=[{ratio}]", "model_config.codebook_bits=0x9"])
    assert settings.aspect_ratios == [ratio]
    assert settings.model_config["codebook_bits"] == 9  # the other ways to write a number stay


def test_a_saved_model_and_a_vae_are_not_both_to_start_from():
    with pytest.raises(SettingsError, match="not both"):
        load_settings("tiny", ["model_folder=somewhere", "backbone=elsewhere"])


def test_missing_recipes_and_settings(tmp_path):
    with pytest.raises(SettingsError, match="one of: .*tiny"):
        load_settings("huge")
    with pytest.raises(SettingsError, match="there is no recipe at"):
        load_settings(tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").write_text("max_steps: 3\n")
    with pytest.raises(SettingsError, match="missing settings: data, output_folder"):
        load_settings(tmp_path / "empty.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(SettingsError, match="must hold 'name: value' lines"):
        load_settings(tmp_path / "list.yaml")
    (tmp_path / "stages.yaml").write_text("output_folder: out\ndata: data\nstages: {2: 5}\n")
    with pytest.raises(SettingsError, match="stages must hold a mapping"):
        load_settings(tmp_path / "stages.yaml")
    (tmp_path / "stages.yaml").write_text("output_folder: out\ndata: data\nstages: {'2': {seed: 3}, 4: {}}\n")
    with pytest.raises(SettingsError, match="stages has '2', 4; the stages are the numbers 1, 2, 3"):
        load_settings(tmp_path / "stages.yaml")


def test_a_stage_takes_its_own_settings_and_the_model_of_the_one_before(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "output_folder: out\ndata: data\nmodel_config: {}\nmax_steps: 500\nstages: {2: {max_steps: 200, seed: 3}}\n"
    )
    first, second = load_settings(recipe), load_settings(recipe, ["stage=2", "seed=4"])
    assert (first.max_steps, first.seed, first.start_model) == (500, 0, None)
    assert (second.max_steps, second.seed) == (200, 4)  # what is asked for goes over the recipe
    assert second.start_model == first.stage_folder / "model"
    assert load_settings(recipe, ["stage=2", "model_folder=other"]).start_model == "other"


@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("name", packaged_recipes())
def test_every_stage_of_every_recipe_can_be_read(name, stage):
    assert load_settings(name, [f"stage={stage}"]).stage == stage


def test_no_is_a_precision_and_not_false():
    assert load_settings("tiny", ["mixed_precision=no"]).mixed_precision == "no"
    assert load_settings("default", ["mixed_precision='no'"]).mixed_precision == "no"


@pytest.mark.parametrize("idle", ["mask_share=0.3", "perceptual=st-lpips", "text_conditioned_loss_weight=0.1"])
def test_what_teaches_a_frozen_tokenizer_nothing_is_refused(idle):
    frozen = ["stage=3", "model_folder=somewhere", "tokenizer_learning_rate_share=0"]
    with pytest.raises(SettingsError, match=f"{idle.partition('=')[0]} could teach nothing"):
        load_settings("tiny", [*frozen, idle])
