"""Bad input at the command line: one clear sentence, exit code 2, nothing left behind."""

import errno
import itertools
import json
import os
import shutil
import stat

import pytest
import safetensors.torch
import torch
from PIL import Image

from pyratok.modeling_pyratok.errors import VideoReadError, VideoWriteError
from pyratok.modeling_pyratok.video_reading import VideoReader
from pyratok.pipelines import bundled_model
from pyratok.pipelines.pictures import ContactSheet

COMMANDS = {"reconstruct": ("reconstruct",), "encode": ("encode", "out.safetensors")}


@pytest.fixture(params=COMMANDS)
def refused_clip(request, refused, model_folder):
    """Give a clip to a command that reads one; it has to be refused."""
    command, *rest = COMMANDS[request.param]
    return lambda clip: refused(command, clip, *rest, "--model", model_folder)


def test_a_clip_that_is_missing_empty_or_a_folder(refused_clip, tmp_path):
    assert "'nothing.mp4' does not exist" in refused_clip("nothing.mp4")
    (tmp_path / "empty.mp4").touch()
    assert "empty" in refused_clip(tmp_path / "empty.mp4")
    assert "folder" in refused_clip(tmp_path)


def test_a_clip_that_is_cut_short_or_text_or_sound(refused_clip, tmp_path, films):
    whole = (films / "square.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    assert "cut short" in refused_clip(tmp_path / "cut.mp4")
    (tmp_path / "text.mp4").write_text("This is no video.\n" * 100)
    refused_clip(tmp_path / "text.mp4")
    assert "sound" in refused_clip(films / "sound.m4a")


def test_a_clip_that_breaks_in_the_middle(refused_clip, film, monkeypatch):
    whole = VideoReader.timed_frames

    def broken(reader: VideoReader):
        yield from itertools.islice(whole(reader), 3)
        raise VideoReadError("'square.mp4' is damaged after frame 3: invalid data.")

    monkeypatch.setattr(VideoReader, "timed_frames", broken)
    assert "damaged after frame 3" in refused_clip(film)


def test_a_device_or_pipe_as_clip(refused_clip, tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "regular file" in refused_clip(tmp_path / "pipe.mp4")
    refused_clip("/dev/null")


def test_no_permission_to_read_or_to_write(refused, film, model_folder, work_folder, tmp_path, unprivileged_after):
    """Root may read and write everything, so the commands run as somebody else; modules are loaded before that."""
    secret, closed = tmp_path / "secret.mp4", tmp_path / "closed"
    shutil.copy(film, secret)
    closed.mkdir()
    shutil.copytree(model_folder, tmp_path / "model")
    unprivileged_after(secret, closed)
    assert "no permission" in refused("reconstruct", secret, "-m", tmp_path / "model")
    assert "no permission" in refused("encode", secret, "out.safetensors", "-m", tmp_path / "model")
    assert "permission denied" in refused("encode", film, closed / "out.safetensors", "-m", tmp_path / "model")
    assert "permission denied" in refused("reconstruct", film, "-o", closed / "out", "-m", tmp_path / "model")
    assert not any(closed.iterdir())


@pytest.mark.parametrize(
    ("levels", "sentence"),
    [
        ("0", "1 to 4"),
        ("5", "1 to 4"),
        ("-1", "1 to 4"),
        ("3,3", "once"),
        ("deep", "3,4"),
        ("", "3,4"),
        ("1.5", "3,4"),
    ],
)
def test_wrong_levels(refused, film, model_folder, levels, sentence):
    assert sentence in refused("reconstruct", film, "-m", model_folder, f"--levels={levels}")


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (("--chunk-frames", "6"), "multiple of 4"),
        (("--chunk-frames", "0"), "multiple of 4"),
        (("--tile-size", "40"), "tile_size"),
        (("--tile-overlap", "32"), "needs --tile-size"),
        (("--device", "abacus"), "abacus"),
        (("--device", "meta"), "takes cpu, cuda"),
        (("--device", "cuda:99"), "'cuda:99' cannot be used"),
    ],
)
def test_wrong_numbers_and_devices(refused, film, model_folder, option, sentence):
    assert sentence in refused("encode", film, "out.safetensors", "-m", model_folder, *option)


def test_an_output_that_is_no_regular_file(refused, run, film, model_folder, work_folder):
    run("encode", film, "good.safetensors", "-m", model_folder, "--max-frames", "2")
    (work_folder / "folder.safetensors").mkdir()
    (work_folder / "folder.mp4").mkdir()
    os.mkfifo(work_folder / "pipe.safetensors")
    os.mkfifo(work_folder / "pipe.mp4")
    (work_folder / "null.safetensors").symlink_to("/dev/null")
    for name in ("folder", "pipe", "null"):
        refused("encode", film, f"{name}.safetensors", "-m", model_folder)
    for name in ("folder.mp4", "pipe.mp4"):
        refused("decode", "good.safetensors", name, "-m", model_folder)
    assert stat.S_ISFIFO((work_folder / "pipe.mp4").stat().st_mode)


def test_a_folder_of_results_that_cannot_be(refused, film, model_folder, work_folder):
    (work_folder / "file").write_text("mine")
    assert "'file' is a file" in refused("reconstruct", film, "-m", model_folder, "-o", "file")
    refused("reconstruct", film, "-m", model_folder, "-o", "file/below")
    (work_folder / "out" / "contact_sheet.png").mkdir(parents=True)
    assert "contact_sheet.png" in refused("reconstruct", film, "-m", model_folder, "-o", "out")
    shutil.copy(film, work_folder / "reconstruction.mp4")
    assert "the clip itself" in refused("reconstruct", "reconstruction.mp4", "-m", model_folder, "-o", ".")


def test_an_extension_that_is_not_known(refused, run, film, model_folder):
    assert ".safetensors" in refused("encode", film, "out.mp4", "-m", model_folder)
    run("encode", film, "good.safetensors", "-m", model_folder, "--max-frames", "2")
    assert "'.xyz'" in refused("decode", "good.safetensors", "out.xyz", "-m", model_folder)
    refused("decode", "good.safetensors", "out", "-m", model_folder)
    assert "one frame" in refused("decode", "good.safetensors", "out.png", "-m", model_folder)
    assert "folder" in refused("decode", "good.safetensors", "nowhere/out.mp4", "-m", model_folder)


def test_a_target_that_is_no_token_file_is_kept(refused, run, film, model_folder, work_folder):
    shutil.copytree(model_folder, work_folder / "m")
    assert "no token file" in refused("encode", film, "m/model.safetensors", "-m", "m")
    (work_folder / "good.safetensors").touch()
    for _ in range(2):  # an empty file and a token file are replaced
        run("encode", film, "good.safetensors", "-m", "m", "--max-frames", "2")


def test_a_file_that_holds_no_tokens(refused, run, film, model_folder, work_folder):
    run("encode", film, "good.safetensors", "-m", model_folder, "--max-frames", "2")
    good = (work_folder / "good.safetensors").read_bytes()
    (work_folder / "cut.safetensors").write_bytes(good[:-100])
    (work_folder / "flipped.safetensors").write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    (work_folder / "empty.safetensors").touch()
    safetensors.torch.save_file({"a": torch.zeros(3)}, work_folder / "other.safetensors")
    for name in ("cut", "flipped", "empty", "other", "missing"):
        refused("decode", f"{name}.safetensors", "out.mp4", "-m", model_folder)
        refused("info", f"{name}.safetensors")
    refused("decode", film, "out.mp4", "-m", model_folder)
    refused("decode", model_folder / "model.safetensors", "out.mp4", "-m", model_folder)


def test_a_level_that_the_tokens_do_not_have(refused, run, film, model_folder):
    run("encode", film, "good.safetensors", "-m", model_folder, "--max-frames", "2", "--levels", "3,4")
    assert "level 1" in refused("decode", "good.safetensors", "out.mp4", "-m", model_folder, "--levels", "1,3")


def test_a_model_that_is_none(refused, film, model_folder, tmp_path):
    def refused_model(model: object) -> str:
        assert refused("info", model) if os.path.isdir(model) else True
        return refused("encode", film, "out.safetensors", "--model", model)

    assert "there is no model 'nowhere'" in refused_model("nowhere")
    assert "no model" in refused_model("models/of/mine")
    assert "is a file" in refused_model(film)
    (tmp_path / "empty").mkdir()
    assert "config.json" in refused_model(tmp_path / "empty")
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    assert "'bert'" in refused_model(tmp_path / "bert")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    refused_model(tmp_path / "broken")
    shutil.copytree(model_folder, tmp_path / "weightless")
    (tmp_path / "weightless" / "model.safetensors").unlink()
    assert "no weights" in refused_model(tmp_path / "weightless")


def test_a_model_with_weights_that_are_damaged_missing_or_of_another_shape(refused, film, model_folder, tmp_path):
    good = safetensors.torch.load_file(model_folder / "model.safetensors")
    name = next(iter(good))
    changed = {
        "missing": {key: value for key, value in good.items() if key != name},
        "other_shape": {**good, name: torch.zeros(3, 3)},
        "unknown": {**good, "left_over": torch.zeros(1)},
    }
    for kind, tensors in changed.items():
        shutil.copytree(model_folder, tmp_path / kind)
        safetensors.torch.save_file(tensors, tmp_path / kind / "model.safetensors", metadata={"format": "pt"})
        refused("encode", film, "out.safetensors", "--model", tmp_path / kind)
    shutil.copytree(model_folder, tmp_path / "cut")
    with (tmp_path / "cut" / "model.safetensors").open("r+b") as file:
        file.truncate(5000)
    refused("encode", film, "out.safetensors", "--model", tmp_path / "cut")
    shutil.copytree(model_folder, tmp_path / "wrong_config")
    config = json.loads((tmp_path / "wrong_config" / "config.json").read_text())
    (tmp_path / "wrong_config" / "config.json").write_text(json.dumps({**config, "codebook_bits": 0}))
    sentence = refused("encode", film, "out.safetensors", "--model", tmp_path / "wrong_config")
    assert "cannot be loaded: codebook_bits must lie in 1..24, got 0" in sentence
    (tmp_path / "wrong_config" / "config.json").write_text(json.dumps({**config, "codebook_bits": "16"}))
    sentence = refused("encode", film, "out.safetensors", "--model", tmp_path / "wrong_config")
    assert "codebook_bits" in sentence and "int" in sentence and "Validation error" not in sentence


def test_a_package_without_its_model(refused, film, tmp_path, monkeypatch):
    monkeypatch.setattr(bundled_model, "BUNDLED_FOLDER", tmp_path / "gone")
    assert "no model" in refused("reconstruct", film)
    assert "no model" in refused("install")


def test_files_that_were_there_before_a_failure_stay(refused, film, model_folder, work_folder, monkeypatch):
    (work_folder / "out").mkdir()
    (work_folder / "out" / "reconstruction.mp4").write_text("of an earlier run")

    def fail(sheet: ContactSheet) -> None:
        raise VideoWriteError("the last of the three files fails")

    monkeypatch.setattr(ContactSheet, "picture", fail)
    assert "the last of" in refused("reconstruct", film, "-m", model_folder, "-o", "out")


def test_a_disk_that_is_full_for_the_contact_sheet(refused, film, model_folder, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    assert "'out/contact_sheet.png': no space left" in refused("reconstruct", film, "-m", model_folder, "-o", "out")
