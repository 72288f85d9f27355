"""Training of the alignment alone, on tokens that are made once."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load
from tiny_text import save_text_encoder

import pyratok
from pyratok import PyraTokError
from pyratok.training.alignment_training import AlignmentSettings, main, train_alignment
from pyratok.training.checkpoints import CheckpointError
from pyratok.training.class_teacher import ClassTeacher, class_names
from pyratok.training.data_errors import DataError


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny tokenizer that names a tiny text encoder."""
    folder = tmp_path_factory.mktemp("model")
    save_text_encoder(folder / "text", hidden_size=12)
    torch.manual_seed(0)
    tokenizer = pyratok.PyraTokModel(pyratok.PyraTokConfig.tiny(level_strides=((2, 8), (4, 8), (4, 16), (4, 16))))
    tokenizer.save_pretrained(folder / "tokenizer")
    return folder


def settings(data_folder, model, **changes) -> AlignmentSettings:
    values = {
        "data": str(data_folder / "video"),
        "more_data": (str(data_folder / "images"),),
        "model": str(model / "tokenizer"),
        "text_encoder": str(model / "text"),
        "clips": 16,
        "frames": 5,
        "height": 32,
        "width": 48,
        "steps": 4,
        "batch_size": 4,
        "context_size": 8,
        "context_layers": 1,
        "validate_every": 2,
    }
    return AlignmentSettings(**{**values, **changes})


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(run) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in run.alignment.state_dict().items()}


def test_a_run_leaves_an_alignment_and_resumes_exactly(data_folder, model, tmp_path):
    whole = train_alignment(settings(data_folder, model), tmp_path / "whole")
    saved = pyratok.PyraTokTextAlignment.from_pretrained(tmp_path / "whole/alignment")
    assert all(torch.equal(saved.state_dict()[name], value) for name, value in weights(whole).items())
    tokenizer = pyratok.PyraTokModel.from_pretrained(model / "tokenizer")
    assert saved.config.level_strides == tokenizer.config.level_strides
    encoder = pyratok.load_text_encoder(model / "text")
    tench = torch.nn.functional.normalize(encoder(["tench"]).pooled(), dim=-1)
    assert saved.config.vocabulary_size == 1000 and torch.allclose(saved.vocabulary[:1], tench, atol=1e-5)
    shutil.copytree(tmp_path / "whole/clips", tmp_path / "parts/clips")
    first = train_alignment(settings(data_folder, model, checkpoint_minutes=0), tmp_path / "parts")
    for checkpoint in (tmp_path / "parts/checkpoints").iterdir():
        if checkpoint.name != "step_00000002":
            shutil.rmtree(checkpoint)
    del first
    (tmp_path / "parts/checkpoints").mkdir(exist_ok=True)
    again = train_alignment(settings(data_folder, model), tmp_path / "parts")
    assert all(torch.equal(weights(again)[name], value) for name, value in weights(whole).items())
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")


def test_both_losses_fall(data_folder, model, tmp_path):
    run = train_alignment(settings(data_folder, model, steps=40, learning_rate=1e-2, context_size=16), tmp_path)
    found = [row for row in rows(tmp_path) if row["kind"] == "train"]
    for name in ("class_loss", "caption_loss"):
        assert found[-1][name] < found[0][name]
    assert run.step == 40


def test_captions_alone(data_folder, model, tmp_path):
    run = train_alignment(settings(data_folder, model, class_weight=0.0, steps=2), tmp_path)
    assert run.alignment.config.vocabulary_size == 0
    assert all("class_loss" not in row for row in rows(tmp_path)) and "caption_loss" in rows(tmp_path)[-1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"clips": 0},
        {"steps": 0},
        {"seed": -1},
        {"context_size": 0},
        {"validate_every": 0},
        {"frames": 10},
        {"height": 40},
        {"single_levels": 2.0},
    ],
)
def test_settings_that_cannot_work_are_named(data_folder, model, tmp_path, wrong):
    with pytest.raises(PyraTokError, match=next(iter(wrong))):
        train_alignment(settings(data_folder, model, **wrong), tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_to_learn(data_folder, model, tmp_path):
    with pytest.raises(PyraTokError, match="there is nothing to learn"):
        train_alignment(settings(data_folder, model, class_weight=0.0, caption_weight=0.0), tmp_path)


def test_clips_of_other_settings_are_not_taken(data_folder, model, tmp_path):
    train_alignment(settings(data_folder, model, steps=1), tmp_path)
    with pytest.raises(DataError, match="made with other settings"):
        train_alignment(settings(data_folder, model, steps=1, width=32), tmp_path)
    changed = tmp_path / "changed"
    shutil.copytree(data_folder / "video", changed / "video")
    metadata = changed / "video/train/metadata.jsonl"
    metadata.write_text(metadata.read_text().replace("pattern 1", "another pattern"))
    shutil.copytree(tmp_path / "clips", tmp_path / "other/clips")
    with pytest.raises(DataError, match="made with other settings"):
        train_alignment(
            settings(changed, model, steps=1, more_data=(str(data_folder / "images"),)), tmp_path / "other"
        )
    with pytest.raises(CheckpointError, match="learning_rate"):
        train_alignment(settings(data_folder, model, steps=1, learning_rate=1.0), tmp_path)
    damaged = sorted((tmp_path / "clips").iterdir())[0]
    before = load(damaged.read_bytes())
    damaged.write_bytes(damaged.read_bytes()[:100])
    train_alignment(settings(data_folder, model, steps=1), tmp_path)
    after = load(damaged.read_bytes())  # made anew, the same
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_the_teacher_sees_places_of_sixteen_pixels(clips):
    names, teacher = class_names(), ClassTeacher()
    assert len(names) == 1000 and names[0] == "tench"
    frames = pyratok.PyraTokVideoProcessor()(clips["dog"])["pixel_values_videos"][0, :1]
    likely = teacher.probabilities(teacher.features(frames).half())
    assert likely.shape == (1, 144 // 16, 256 // 16, 1000)
    torch.testing.assert_close(likely.sum(-1), torch.ones(1, 9, 16))


def test_bad_input_at_the_command_line(data_folder, model, tmp_path, capsys):
    assert main([str(tmp_path / "nothing"), str(tmp_path / "out")]) == 2
    assert "error: " in capsys.readouterr().err
    other = pyratok.PyraTokModel(pyratok.PyraTokConfig.tiny())  # with a level of 32 pixels
    other.save_pretrained(tmp_path / "tokenizer")
    with pytest.raises(PyraTokError, match="places of 16 pixels, and the features of this tokenizer stand for 32"):
        train_alignment(settings(data_folder, tmp_path, text_encoder=str(model / "text")), tmp_path / "out")
