"""Stages 2 and 3 with their losses of language, through the trainer."""

import json
import logging
import shutil

import pytest
import torch
from tiny_runs import LANGUAGE, PRIOR, TINY_MODEL, rows_of, settings_for
from tiny_text import save_text_encoder
from transformers import Qwen2Config, Qwen2Model

from pyratok import PyraTokConfig, PyraTokPrior, PyraTokTextAlignment
from pyratok.modeling_pyratok.errors import PyraTokError
from pyratok.modeling_pyratok.token_grids import level_grids
from pyratok.pipelines.model_loading import load_model
from pyratok.training.language_terms import token_window
from pyratok.training.settings import SettingsError
from pyratok.training.train_state import new_state
from pyratok.training.trainer import train

TERMS = ("prior", "contrastive", "text_conditioned", "text_codebook")


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory):
    return save_text_encoder(tmp_path_factory.mktemp("encoder"), hidden_size=4)


def language(encoder_folder, **changes):
    return {**LANGUAGE, "text_encoder": str(encoder_folder), **changes}


def test_all_terms_are_logged_and_the_models_lie_beside_the_tokenizer(data_folder, tmp_path, encoder_folder):
    state = train(settings_for(data_folder, tmp_path, max_steps=30, learning_rate=1e-2, **language(encoder_folder)))
    rows = rows_of(tmp_path)
    assert all(torch.tensor(row[name]).isfinite() for row in rows for name in TERMS)
    assert sum(row["prior"] for row in rows[-5:]) < sum(row["prior"] for row in rows[:5])
    folder = tmp_path / "stage_1"
    prior = PyraTokPrior.from_pretrained(folder / "prior")
    model = load_model(folder / "model")
    assert torch.equal(prior.codebook.projection.weight, model.codebook.projection.weight)
    alignment = PyraTokTextAlignment.from_pretrained(folder / "alignment")
    last = state.objective.terms["contrastive"].alignment.to_text[0].weight
    assert not torch.equal(alignment.to_text[0].weight, last)  # the average
    torch.testing.assert_close(alignment.to_text[0].weight, last, atol=0.1, rtol=0)
    assert model.config.text_encoder == prior.config.text_encoder == str(encoder_folder)
    video = torch.rand(1, 5, 3, 32, 32) * 2 - 1
    out = model.encode(video)
    assert all(bits.isfinite().all() for bits in prior.score(out.video_codes, out.video_size))


def test_the_next_stage_goes_on_with_the_same_prior(data_folder, tmp_path, encoder_folder):
    changes = language(encoder_folder)
    train(settings_for(data_folder, tmp_path, **changes))
    state = new_state(settings_for(data_folder, tmp_path, stage=2, **changes))
    before = PyraTokPrior.from_pretrained(tmp_path / "stage_1" / "prior")
    after = state.objective.terms["prior"].prior
    for name, weight in before.state_dict().items():
        assert torch.equal(weight, after.state_dict()[name]), name


@pytest.mark.parametrize("layout", ["repository", "beside", "working folder"])
def test_where_a_prior_is_looked_for(data_folder, tmp_path, encoder_folder, layout, monkeypatch):
    train(settings_for(data_folder, tmp_path / "run", **language(encoder_folder)))
    stage = tmp_path / "run" / "stage_1"
    start = stage / "model"
    if layout == "repository":
        shutil.copytree(stage / "model", tmp_path / "repository")
        shutil.copytree(stage / "prior", tmp_path / "repository" / "prior")
        start = tmp_path / "repository"
    if layout == "working folder":  # a folder ./prior has nothing to do with the model in another folder
        monkeypatch.chdir(stage)
        shutil.copytree(stage / "model", tmp_path / "elsewhere")
        start = tmp_path / "elsewhere"
    changes = language(encoder_folder, model_folder=str(start), seed=5)
    prior = new_state(settings_for(data_folder, tmp_path / "next", **changes)).objective.terms["prior"].prior
    expected = PyraTokPrior.from_pretrained(stage / "prior").from_text.weight
    assert torch.equal(prior.from_text.weight, expected) == (layout != "working folder")


@pytest.mark.parametrize("share", [0.01, 0])
def test_a_tokenizer_beside_a_prior_that_learns_faster(data_folder, tmp_path, encoder_folder, share):
    train(settings_for(data_folder, tmp_path))
    start = load_model(tmp_path / "stage_1" / "model")
    changes = language(encoder_folder, stage=2, learning_rate=1e-2, tokenizer_learning_rate_share=share)
    if share == 0:
        changes["text_conditioned_loss_weight"] = 0.0
    settings = settings_for(data_folder, tmp_path, average_decay=0.0, weight_decay=0.0, **changes)
    new = new_state(settings).objective.trained_extras()
    state = train(settings)
    moved = [
        float((weight - start.state_dict()[name]).detach().abs().max())
        for name, weight in load_model(tmp_path / "stage_2" / "model").named_parameters()
    ]
    farthest = 4 * 1e-2 * share  # AdamW's steps are at most about as long as the learning rate
    assert max(moved) == 0 if share == 0 else 0 < max(moved) < 2 * farthest
    learned = state.objective.trained_extras()
    assert any(float((learned[name] - new[name]).detach().abs().max()) > 1e-2 for name in new)
    if share == 0:
        again = load_model(tmp_path / "stage_2" / "model")
        assert again.weights_fingerprint() == start.weights_fingerprint()  # its tokens are still good


@pytest.mark.parametrize(
    "changes", [{"prior_loss_weight": 0.0}, {"text_encoder": "another"}, {"tokenizer_learning_rate_share": 0}]
)
def test_resuming_with_other_terms_is_refused(data_folder, tmp_path, encoder_folder, changes):
    changes = {"text_conditioned_loss_weight": 0.0, **changes}
    train(settings_for(data_folder, tmp_path, **language(encoder_folder, text_conditioned_loss_weight=0.0)))
    with pytest.raises(SettingsError, match=list(changes)[-1]):
        train(settings_for(data_folder, tmp_path, max_steps=6, **language(encoder_folder, **changes)))


def test_components_are_written_again_when_a_finished_run_is_given(data_folder, tmp_path, encoder_folder):
    settings = settings_for(data_folder, tmp_path, **language(encoder_folder))
    train(settings)
    path = tmp_path / "stage_1" / "prior" / "model.safetensors"
    contents = path.read_bytes()
    path.unlink()  # as after a kill between the checkpoint and this
    train(settings)
    assert path.read_bytes() == contents


def test_a_window_of_tokens_is_tokens_of_a_smaller_video():
    config = PyraTokConfig.tiny()
    size, generator = (9, 70, 100), torch.Generator().manual_seed(0)
    grids = level_grids(size, config.level_strides, config.spatial_multiple)
    levels = [torch.arange(t * h * w).view(1, t, h, w) for t, h, w in grids]
    for _ in range(20):
        parts, smaller = token_window(levels, size, config, 64, generator)
        expected = level_grids(smaller, config.level_strides, config.spatial_multiple)
        assert smaller == (9, 64, 64) and [tuple(part.shape[1:]) for part in parts] == list(expected)
        tops = {
            int(part[0, 0, 0, 0]) // grid[2] * space
            for part, grid, (_, space) in zip(parts, grids, config.level_strides, strict=True)
        }
        assert len(tops) == 1
    assert token_window(levels, size, config, 1000, generator)[1] == (9, 96, 128)


def test_the_prior_can_see_a_part_of_the_frame(data_folder, tmp_path, encoder_folder):
    train(settings_for(data_folder, tmp_path, max_steps=2, **language(encoder_folder, prior_side=16)))
    assert all(row["prior"] > 0 for row in rows_of(tmp_path))


def test_a_pretrained_body(data_folder, tmp_path, encoder_folder):
    body = Qwen2Model(Qwen2Config(**{**PRIOR["body_config"], "vocab_size": 20}))
    body.save_pretrained(tmp_path / "body")
    config = {name: value for name, value in PRIOR.items() if name != "body_config"}
    changes = language(encoder_folder, prior_config=config, prior_body=str(tmp_path / "body"))
    prior = new_state(settings_for(data_folder, tmp_path, **changes)).objective.terms["prior"].prior
    assert torch.equal(prior.body.layers[0].mlp.up_proj.weight, body.layers[0].mlp.up_proj.weight)
    with pytest.raises(SettingsError, match="the prior cannot be made"):
        new_state(settings_for(data_folder, tmp_path, **{**changes, "prior_body": str(tmp_path / "nothing")}))


@pytest.mark.parametrize("share", [0.1, 0])
def test_a_stopped_run_goes_on_exactly(data_folder, tmp_path, encoder_folder, share):
    changes = language(encoder_folder, checkpoint_minutes=1e-9, workers=1, tokenizer_learning_rate_share=share)
    if share == 0:
        changes["text_conditioned_loss_weight"] = 0.0
    whole = settings_for(data_folder, tmp_path / "whole", **changes)
    train(whole)
    first = settings_for(data_folder, tmp_path / "parts", **changes)
    state = train(first)  # a checkpoint after every step; go back to the one before the last
    folders = sorted((tmp_path / "parts" / "stage_1" / "checkpoints").iterdir())
    assert state.step == 4 and len(folders) == 2
    for path in sorted(folders[-1].rglob("*"), reverse=True):
        path.unlink()
    folders[-1].rmdir()
    train(first)
    assert rows_of(tmp_path / "whole") == rows_of(tmp_path / "parts")
    one, other = (tmp_path / name / "stage_1/prior/model.safetensors" for name in ("whole", "parts"))
    assert one.read_bytes() == other.read_bytes()


def test_data_without_captions_is_warned_of(data_folder, tmp_path, encoder_folder, caplog):
    data = tmp_path / "data"
    shutil.copytree(data_folder / "video", data / "video")
    (data / "video" / "train" / "metadata.jsonl").unlink()
    (data / "video" / "validation" / "metadata.jsonl").unlink()
    changes = {"image_data": None, "max_steps": 2, **language(encoder_folder)}
    with caplog.at_level(logging.WARNING):
        train(settings_for(data, tmp_path / "run", **changes))
    assert "contrastive_loss_weight has no effect" in caplog.text
    assert all("contrastive" not in row and row["text_codebook"] == 0 for row in rows_of(tmp_path / "run"))


def test_captions_reach_the_tokenizer(data_folder, tmp_path, encoder_folder):
    settings = settings_for(data_folder, tmp_path, **language(encoder_folder, caption_dropout=0.0))
    objective = new_state(settings).objective.eval()
    for block in objective.model.pyramid.blocks:
        torch.nn.init.normal_(block.attention.output.weight)
    video = torch.rand(1, 5, 3, 32, 32) * 2 - 1
    present = torch.ones(1, 2, dtype=torch.bool)
    found = [objective(video, video, present, (caption,), 0)[2] for caption in ("one thing", "another", None)]
    assert not torch.equal(found[0][0], found[1][0]) and not torch.equal(found[0][0], found[2][0])


FROZEN = {"tokenizer_learning_rate_share": 0, "prior_loss_weight": 0.0, "text_conditioned_loss_weight": 0.0}


@pytest.mark.parametrize("changes", [{}, FROZEN], ids=["all", "frozen"])
def test_a_batch_without_captions_is_no_obstacle(data_folder, tmp_path, encoder_folder, changes):
    changes = language(encoder_folder, caption_dropout=1.0, **changes)
    train(settings_for(data_folder, tmp_path, max_steps=2, **changes))
    names = (
        "contrastive",
        "text_codebook",
        *(() if "tokenizer_learning_rate_share" in changes else ("text_conditioned",)),
    )
    assert all(row[name] == 0 for row in rows_of(tmp_path) for name in names)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_encoder": None}, "give text_encoder"),
        ({"text_codebook_loss_weight": 0.0}, "set both"),
        (
            {"prior_config": {"level_strides": [[4, 8]]}, "contrastive_loss_weight": 0},
            "names level_strides, which the tokenizer decides",
        ),
        ({"prior_config": {"nothing": 1}}, "prior_config: PyraTokPriorConfig has no option nothing"),
        ({"model_config": {**TINY_MODEL, "text_hidden_size": 6}}, "embeddings of 4 numbers"),
        ({"text_encoder": "there/is no such"}, "cannot be loaded"),
    ],
)
def test_settings_that_do_not_fit(data_folder, tmp_path, encoder_folder, changes, message):
    changes = language(encoder_folder, **changes)
    with pytest.raises(PyraTokError, match=message) as caught:
        new_state(settings_for(data_folder, tmp_path, **changes))
    assert isinstance(caught.value, SettingsError) or "text encoder" in str(caught.value)


def test_a_prior_of_another_tokenizer_is_refused(data_folder, tmp_path, encoder_folder):
    train(settings_for(data_folder, tmp_path, **language(encoder_folder)))
    path = tmp_path / "stage_1" / "prior" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "codebook_bits": 7}))
    with pytest.raises(PyraTokError, match="codebook_bits=7, the tokenizer 6"):
        new_state(settings_for(data_folder, tmp_path, stage=2, **language(encoder_folder)))
