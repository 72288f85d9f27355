"""Loading a text alignment with its text encoder: from a repository, from a stage of training, from the Hub's cache."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from tiny_text import byte_tokenizer, save_text_encoder, tiny_text_model

from pyratok import PyraTokConfig, PyraTokError, PyraTokModel, PyraTokTextAlignment, PyraTokTextAlignmentConfig
from pyratok.modeling_pyratok.token_grids import level_grids
from pyratok.pipelines.text_alignment_loading import load_text_alignment


def save_alignment(folder: Path, text_hidden_size: int = 12) -> PyraTokTextAlignment:
    """Of the tiny tokenizer, with random weights."""
    alignment = PyraTokTextAlignment(PyraTokTextAlignmentConfig.tiny(text_hidden_size=text_hidden_size))
    alignment.save_pretrained(folder)
    return alignment


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer at the root, its alignment and text encoder in folders beside."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("repository") / "tiny"
    PyraTokModel(PyraTokConfig.tiny()).save_pretrained(folder)
    save_alignment(folder / "alignment")
    tiny_text_model().save_pretrained(folder / "text_encoder")
    byte_tokenizer().save_pretrained(folder / "tokenizer")
    return folder


def test_of_a_repository_both_parts_are_its_own(repository):
    alignment, encoder = load_text_alignment(repository)
    expected = PyraTokTextAlignment.from_pretrained(repository / "alignment")
    grids = level_grids((5, 32, 32), alignment.config.level_strides)
    codes = [torch.randint(2**alignment.config.codebook_bits, (1, *grid)) for grid in grids]
    pooled = encoder(["a rabbit", "a street"]).pooled()
    assert pooled.shape == (2, 12) and not alignment.training
    assert torch.equal(alignment(codes, pooled), expected(codes, pooled))


def test_the_bundled_model_has_both():
    alignment, encoder = load_text_alignment()
    assert alignment.config.text_hidden_size == encoder.hidden_size == 384


@pytest.mark.parametrize("given", ["stage_2", "stage_2/model"])
def test_of_a_stage_of_training_the_encoder_is_the_one_that_the_tokenizer_names(tmp_path, given):
    encoder = save_text_encoder(tmp_path / "encoder")
    config = PyraTokConfig.tiny(text_encoder=str(encoder))
    PyraTokModel(config).save_pretrained(tmp_path / "stage_2/model")
    saved = save_alignment(tmp_path / "stage_2/alignment")
    alignment, encoder = load_text_alignment(tmp_path / given)
    assert torch.equal(alignment.context.missing.weight, saved.context.missing.weight)
    assert encoder.hidden_size == 12


def test_a_home_folder(repository, monkeypatch):
    monkeypatch.setenv("HOME", str(repository.parent))
    assert load_text_alignment("~/tiny")[1].hidden_size == 12


def cache(repository: Path, name: str) -> Path:
    """The repository as the hub client keeps it once it was downloaded."""
    place = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    commit = "0" * 40
    shutil.copytree(repository, place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    return place / "snapshots" / commit


def test_a_repository_of_the_hub(repository):
    snapshot = cache(repository, "somebody/tiny")
    assert load_text_alignment("somebody/tiny")[1].hidden_size == 12
    shutil.rmtree(snapshot / "alignment")
    with pytest.raises(PyraTokError, match="'somebody/tiny' has no text alignment"):
        load_text_alignment("somebody/tiny")


def test_what_is_no_model_is_refused(tmp_path, repository):
    with pytest.raises(PyraTokError, match="there is no model 'nothing'"):
        load_text_alignment("nothing")
    with pytest.raises(PyraTokError, match="'nobody/nothing' cannot be loaded"):
        load_text_alignment("nobody/nothing")
    with pytest.raises(PyraTokError, match="no config.json"):
        load_text_alignment(tmp_path)
    with pytest.raises(PyraTokError, match="is a file"):
        load_text_alignment(repository / "config.json")


@pytest.fixture
def changed(repository, tmp_path) -> Path:
    """A copy of the repository to break."""
    return Path(shutil.copytree(repository, tmp_path / "changed"))


def test_a_model_without_an_alignment_says_so(changed):
    shutil.rmtree(changed / "alignment")
    with pytest.raises(PyraTokError, match="no text alignment.*alignment_training"):
        load_text_alignment(changed)


def test_a_model_without_a_text_encoder_says_so(changed):
    shutil.rmtree(changed / "text_encoder")
    with pytest.raises(PyraTokError, match="names no text encoder"):
        load_text_alignment(changed)


def test_parts_that_do_not_fit_each_other(changed):
    save_alignment(changed / "alignment", text_hidden_size=10)
    with pytest.raises(PyraTokError, match="12 numbers and its alignment takes 10"):
        load_text_alignment(changed)


def test_a_damaged_part_is_an_error_in_one_sentence(changed):
    os.truncate(changed / "alignment" / "model.safetensors", 300)
    with pytest.raises(PyraTokError, match="alignment' cannot be loaded"):
        load_text_alignment(changed)
    shutil.rmtree(changed / "tokenizer")
    save_alignment(changed / "alignment")
    with pytest.raises(PyraTokError, match="text encoder .* cannot be loaded"):
        load_text_alignment(changed)
