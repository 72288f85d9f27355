"""Training a token projector: what learns and what stays, and going on exactly."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from tiny_causal_language import CHAT_TEMPLATE, save_language_model

from pyratok import PyraTokConfig, PyraTokModel
from pyratok.modeling_pyratok.token_projector import PyraTokTokenProjector
from pyratok.training import question_training
from pyratok.training.question_training import QuestionSettings, main, train_projector

STEPS = 4


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> dict[str, str]:
    """The folders of a tiny tokenizer and a tiny language model."""
    folder = tmp_path_factory.mktemp("parts")
    torch.manual_seed(0)
    PyraTokModel(PyraTokConfig.tiny()).save_pretrained(folder / "model")
    save_language_model(folder / "language", chat_template=CHAT_TEMPLATE)
    return {"model": str(folder / "model"), "language_model": str(folder / "language")}


@pytest.fixture
def settings(parts, data_folder) -> QuestionSettings:
    return settings_for(parts, data_folder)


def settings_for(parts, data_folder, **changes) -> QuestionSettings:
    values = {"steps": STEPS, "batch_size": 2, "views": 2, "side": 32, "validate_every": 2, "mixed_precision": "no"}
    return QuestionSettings(str(data_folder / "video"), **{**parts, **values, "checkpoint_minutes": 1000.0, **changes})


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(question_training, "LOG_EVERY", 1)


def weights(output) -> dict[str, torch.Tensor]:
    return load_file(output / "projector" / "model.safetensors")


def rows(output) -> list[dict]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_a_projector_and_its_figures(settings, parts, tmp_path, caplog):
    run = train_projector(settings, tmp_path)
    projector = PyraTokTokenProjector.from_pretrained(tmp_path / "projector")
    model = PyraTokModel.from_pretrained(parts["model"])
    assert projector.config.language_model == parts["language_model"]
    assert projector.config.weights_fingerprint == model.weights_fingerprint()
    assert torch.equal(projector.codebook.projection.weight, model.codebook.projection.weight)
    assert projector.config.embedding_rms == pytest.approx(run.language.embedding_rms())
    assert "broken.mp4" in caplog.text  # what cannot be read is named and left out
    assert len(run.train) == 4 and len(run.validation) == 2
    found = rows(tmp_path)
    assert [(row["step"], row["kind"]) for row in found if row["kind"] == "train"] == [
        (n, "train") for n in (1, 2, 3, 4)
    ]
    assert [row["step"] for row in found if row["kind"] == "validation"] == [0, 2, 4]
    assert found[0]["loss_without_video"] > 0
    assert all(weight.grad is None for weight in run.language.model.parameters())


def test_it_learns_which_caption_belongs_to_which_video(parts, data_folder, tmp_path):
    # Twice this rate, and how memory lies decides whether it learns: nine of ten times.
    changes = {"steps": 120, "learning_rate": 5e-3, "levels_left_out": 0.0, "batch_size": 4, "validate_every": 1000}
    run = train_projector(settings_for(parts, data_folder, **changes), tmp_path)
    with torch.no_grad():
        own, other = 0.0, 0.0
        for video in run.train:
            captions = sorted({answer for each in run.train for _, answer in each.answers})
            losses = question_training.losses_of(run, [(video.views[0], "Describe the video.", c) for c in captions])
            right = captions.index(video.answers[0][1])
            own += float(losses[right])
            other += float((losses.sum() - losses[right]) / (len(captions) - 1))
    assert own + 0.2 < other
    found = [row for row in rows(tmp_path) if row["kind"] == "train"]
    assert ["loss" in row for row in found] == [False] * 60 + [True] * 60
    assert found[-1]["contrast"] < 0.2 * found[0]["contrast"]
    validation = [row["loss"] for row in rows(tmp_path) if row["kind"] == "validation"]
    assert validation[-1] < 0.9 * validation[0]


@pytest.mark.parametrize("stopped_at", [1, 3])
def test_a_stopped_run_goes_on_exactly(parts, data_folder, tmp_path, monkeypatch, stopped_at):
    changes = {"checkpoint_minutes": 0.0, "learning_rate": 1e-2}
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    train_projector(settings_for(parts, data_folder, **changes), whole)
    step = question_training.training_step

    def stopping(run):
        if run.step == stopped_at:
            raise KeyboardInterrupt
        return step(run)

    monkeypatch.setattr(question_training, "training_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        train_projector(settings_for(parts, data_folder, **changes), parted)
    monkeypatch.setattr(question_training, "training_step", step)
    torch.manual_seed(123)  # whatever has been drawn meanwhile
    train_projector(settings_for(parts, data_folder, **changes), parted)
    expected = weights(whole)
    assert all(torch.equal(value, expected[name]) for name, value in weights(parted).items())
    assert rows(parted) == rows(whole)
    first, last = (load_file(whole / "checkpoints" / f"step_0000000{n}" / "model.safetensors") for n in (3, 4))
    assert any(not torch.equal(first[name], last[name]) for name in first)


def test_tokens_are_made_once(settings, tmp_path, monkeypatch):
    train_projector(settings, tmp_path)
    before = weights(tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    made = []
    monkeypatch.setattr(question_training, "random_views", lambda *given: made.append(given))
    train_projector(settings, tmp_path)
    assert not made and all(torch.equal(value, before[name]) for name, value in weights(tmp_path).items())


def test_damaged_or_other_tokens_are_made_again(settings, parts, data_folder, tmp_path):
    train_projector(settings, tmp_path)
    before = weights(tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    path = tmp_path / "tokens_train.safetensors"
    path.write_bytes(path.read_bytes()[:-50])
    train_projector(settings, tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in weights(tmp_path).items())
    shutil.rmtree(tmp_path / "checkpoints")
    train_projector(settings_for(parts, data_folder, seed=1), tmp_path)
    assert not torch.equal(weights(tmp_path)["token.weight"], before["token.weight"])


def test_another_run_and_a_damaged_checkpoint_are_refused(settings, parts, data_folder, tmp_path, capsys):
    train_projector(settings, tmp_path)
    with pytest.raises(ValueError, match="learning_rate=0.001, now it is 0.5"):
        train_projector(settings_for(parts, data_folder, learning_rate=0.5), tmp_path)
    checkpoint = sorted((tmp_path / "checkpoints").iterdir())[-1]
    (checkpoint / "optimizer.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read.*delete it"):
        train_projector(settings, tmp_path)


def test_more_data_and_questions(parts, data_folder, tmp_path):
    stills = tmp_path / "stills"
    shutil.copytree(data_folder / "images" / "train", stills)
    lines = [{"file_name": f"{n}.jpg", "text": f"a picture to the left {n}"} for n in range(2)]
    (stills / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    questions = tmp_path / "questions"
    (questions / "json").mkdir(parents=True)
    shutil.copytree(data_folder / "video" / "train", questions / "video")
    entries = [
        {"video": "train_0.mp4", "question": q, "candidates": ["yes", "no"], "answer": a}
        for q, a in (("is it?", "yes"), ("is it not?", "no"))
    ]
    entries.append({"video": "train_1.mp4", "question": "when?", "answer": "now", "start": 0.0, "end": 0.1})
    (questions / "json" / "task.json").write_text(json.dumps(entries))
    changes = {"more_data": (str(stills),), "questions": (str(questions),)}
    run = train_projector(settings_for(parts, data_folder, **changes), tmp_path / "run")
    assert len(run.train) == 4 + 2 + 2
    still, asked, stretch = run.train[4], run.train[6], run.train[7]
    assert still.views[0][0].shape[1] == 1 and still.answers[0][1].startswith("a picture")
    assert asked.answers == (("is it?", "yes"), ("is it not?", "no")) and len(asked.views) == 2
    assert stretch.answers == (("when?", "now"),) and len(stretch.views) == 1


def test_the_command_line(parts, data_folder, tmp_path, capsys):
    arguments = [str(data_folder / "video"), str(tmp_path / "run"), "--model", parts["model"], "--side", "32"]
    arguments += [
        "--language-model",
        parts["language_model"],
        "--steps",
        "1",
        "--batch-size",
        "1",
        "--precision",
        "no",
    ]
    assert main([*arguments, "--views", "1"]) == 0
    assert (tmp_path / "run" / "projector" / "config.json").is_file()
    assert main([str(tmp_path / "nothing"), *arguments[1:]]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: there is nothing at")
