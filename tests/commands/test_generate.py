"""`pyratok generate`, with an untrained prior."""

import pytest
import torch
from tiny_text import byte_tokenizer, save_text_encoder, tiny_text_model
from typer.testing import CliRunner

from pyratok import (
    PyraTokConfig,
    PyraTokModel,
    PyraTokPrior,
    PyraTokPriorConfig,
    PyraTokTextToVideoPipeline,
    VideoTokens,
    read_video,
)
from pyratok.commands.app import app


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("repository")
    parts = (PyraTokModel(PyraTokConfig.tiny()).eval(), PyraTokPrior(PyraTokPriorConfig.tiny()).eval())
    PyraTokTextToVideoPipeline(*parts, tiny_text_model(), byte_tokenizer()).save_pretrained(folder)
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["generate", *map(str, arguments)])


def test_a_video_and_its_tokens(repository, tmp_path):
    options = ("--model", repository, "--frames", 5, "--height", 32, "--width", 48, "--fps", 12)
    result = run("a rabbit", tmp_path / "a.mkv", *options, "--tokens", tmp_path / "a.safetensors")
    assert result.exit_code == 0, result.stderr
    assert "5 frames of 48 x 32" in result.stdout
    frames, info = read_video(tmp_path / "a.mkv")
    assert frames.shape == (5, 32, 48, 3) and info.fps == 12
    tokens = VideoTokens.load(tmp_path / "a.safetensors")
    assert tokens.caption == "a rabbit" and tokens.fps == 12
    assert run("a rabbit", tmp_path / "b.mkv", *options, "--tokens", tmp_path / "b.safetensors").exit_code == 0
    assert VideoTokens.load(tmp_path / "b.safetensors") == tokens
    run("a rabbit", tmp_path / "c.mkv", *options, "--seed", 1, "--tokens", tmp_path / "c.safetensors")
    assert VideoTokens.load(tmp_path / "c.safetensors") != tokens


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there(repository, tmp_path):
    result = run("a", tmp_path / "a.mkv", "--model", repository, "--frames", 1, "--device", "cuda")
    assert result.exit_code == 2 and "'cuda' cannot be used" in result.stderr


def test_a_home_folder(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(repository.parent))
    model = f"~/{repository.name}"
    result = run("a", tmp_path / "a.mkv", "--model", model, "--frames", 1, "--height", 16, "--width", 16)
    assert result.exit_code == 0, result.stderr


def test_going_on_from_a_picture(repository, tmp_path):
    options = ("--model", repository, "--frames", 5)
    assert run("a", tmp_path / "a.png", "--model", repository, "--frames", 1, "--height", 16).exit_code == 0
    result = run("a", tmp_path / "b.mkv", *options, "--start", tmp_path / "a.png")
    assert result.exit_code == 0, result.stderr
    assert read_video(tmp_path / "b.mkv")[0].shape == (5, 16, 64, 3)


def test_the_folder_of_a_stage_of_training(tmp_path):
    encoder = save_text_encoder(tmp_path / "encoder")
    PyraTokModel(PyraTokConfig.tiny()).save_pretrained(tmp_path / "stage_2/model")
    PyraTokPrior(PyraTokPriorConfig.tiny(text_encoder=str(encoder))).save_pretrained(tmp_path / "stage_2/prior")
    result = run(
        "a", tmp_path / "a.mkv", "--model", tmp_path / "stage_2", "--frames", 1, "--height", 16, "--width", 16
    )
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--temperature", -1), "temperature is at least 0"),
        (("--top-p", 2), "top_p lies above 0"),
        (("--tokens", "a.txt"), "NAME.safetensors"),
        (("--device", "tpu"), "--device takes"),
        (("--guidance", "nan"), "guidance_scale"),
        (("--start", "nothing.mp4"), "nothing.mp4"),
        (("--model", "nothing"), "nothing"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_no_file(repository, tmp_path, options, message):
    result = run("a", tmp_path / "a.mkv", "--model", repository, "--frames", 1, *options)
    assert result.exit_code == 2 and message in result.stderr and result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_model_without_a_prior_says_how_to_get_one(tmp_path):
    PyraTokModel(PyraTokConfig.tiny()).save_pretrained(tmp_path / "model")
    result = run("a", tmp_path / "a.mkv", "--model", tmp_path / "model")
    assert result.exit_code == 2 and "has no prior" in result.stderr
