"""`pyratok card`."""

import shutil

import pytest
from huggingface_hub import ModelCard


@pytest.fixture
def own_model(model_folder, work_folder):
    shutil.copytree(model_folder, work_folder / "model")
    (work_folder / "model" / "README.md").unlink(missing_ok=True)
    return work_folder / "model"


def test_a_card_is_written_and_not_replaced_unasked(run, refused, own_model):
    assert "wrote" in run("card", own_model, "--repo-id", "me/mine", "--license", "cc-by-4.0").output
    card = ModelCard.load(own_model / "README.md")
    assert card.data.license == "cc-by-4.0"
    assert "me/mine" in card.text
    assert "--force replaces it" in refused("card", own_model)
    run("card", own_model, "--license", "other", "--force")
    assert "license_name" in (own_model / "README.md").read_text("utf-8")
    run("card", own_model, "--repo-id", "me/other", "--force")
    assert "me/other" in ModelCard.load(own_model / "README.md").text


def test_bad_input(refused, own_model):
    assert "is no folder" in refused("card", "nothing")
    assert "no folder of notes" in refused("card", own_model, "--notes", "nothing")
    (own_model / "evaluation.json").write_text("{")
    assert "cannot be read" in refused("card", own_model)
    assert not (own_model / "README.md").exists()
