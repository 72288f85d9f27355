"""`pyratok encode FOLDER OUT`: all videos and pictures of a folder, resumed, with captions, and what is left out."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from clip_examples import smooth_frames, write_clip
from typer.testing import CliRunner

import pyratok
from pyratok.commands import folder_encoding
from pyratok.commands.app import app
from pyratok.commands.clip_encoding import ClipEncoder
from pyratok.modeling_pyratok.pixel_values import frames_to_values
from pyratok.modeling_pyratok.video_reading import read_video

NAMES = ["pictures/still.png", "square.mp4"]


@pytest.fixture
def data(films: Path, tmp_path: Path) -> Path:
    """A video and, in a subfolder, a picture."""
    folder = tmp_path / "data"
    (folder / "pictures").mkdir(parents=True)
    shutil.copy(films / "square.mp4", folder)
    shutil.copy(films / "still.png", folder / "pictures")
    return folder


@pytest.fixture
def made(monkeypatch) -> list[str]:
    """The captions of the clips that are encoded, one for each, "-" for none."""
    encoded, encode = [], ClipEncoder.encode

    def count(self: ClipEncoder, reader: object, caption: str | None = None) -> pyratok.VideoTokens:
        encoded.append(caption or "-")
        return encode(self, reader, caption)

    monkeypatch.setattr(ClipEncoder, "encode", count)
    return encoded


def captioned(folder: Path, captions: dict[str, object]) -> None:
    lines = [json.dumps({"file_name": name, "text": text}) for name, text in captions.items()]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")


def load(name: str) -> pyratok.VideoTokens:
    return pyratok.VideoTokens.load(f"out/{name}.safetensors")


def test_every_file_has_the_tokens_that_the_model_encodes(run, data, model_folder, work_folder):
    result = run("encode", data, "out", "--model", model_folder, "--chunk-frames", "4")
    files = sorted(path.relative_to("out").as_posix() for path in Path("out").rglob("*") if path.is_file())
    assert files == [folder_encoding.RECORD, *(f"{name}.safetensors" for name in NAMES)]
    model = pyratok.PyraTokModel.from_pretrained(model_folder).eval()
    for name in NAMES:
        expected = model.encode(frames_to_values(read_video(data / name)[0])[None], chunk_frames=4)
        tokens = load(name)
        assert all(torch.equal(a, b) for a, b in zip(tokens.video_codes, expected.video_codes, strict=True))
        assert tokens.weights_fingerprint == model.weights_fingerprint() and tokens.caption is None
    assert "wrote 2 token files into out, 0 were up to date: 8 frames" in result.stdout
    assert "0 of 2 files with a caption" in result.stdout and result.stderr == ""
    run("encode", data / "square.mp4", "one.safetensors", "--model", model_folder, "--chunk-frames", "4")
    assert (work_folder / "one.safetensors").read_bytes() == (work_folder / "out/square.mp4.safetensors").read_bytes()


def test_a_second_run_goes_on_where_the_first_was_stopped(run, data, model_folder, made):
    run("encode", data, "out", "-m", model_folder)
    Path("out/square.mp4.safetensors").unlink()
    made.clear()
    assert (
        "wrote 1 token files into out, 1 were up to date: 8 frames"
        in run("encode", data, "out", "-m", model_folder).stdout
    )
    assert len(made) == 1
    assert "wrote 0 token files" in run("encode", data, "out", "-m", model_folder).stdout and len(made) == 1
    assert "wrote 2 token files" in run("encode", data, "out", "-m", model_folder, "--force").stdout
    run("encode", data, "out", "-m", model_folder)
    assert len(made) == 3


def test_interrupted_it_keeps_what_is_done(data, run, model_folder, work_folder, monkeypatch, made):
    encode = ClipEncoder.encode

    def interrupt(self: ClipEncoder, *arguments: object) -> pyratok.VideoTokens:
        if made:
            raise KeyboardInterrupt
        return encode(self, *arguments)

    with monkeypatch.context() as stopped:
        stopped.setattr(ClipEncoder, "encode", interrupt)
        assert CliRunner().invoke(app, ["encode", str(data), "out", "-m", str(model_folder)]).exit_code == 130
    assert sorted(path.name for path in Path("out").rglob("*.safetensors")) == ["still.png.safetensors"]
    run("encode", data, "out", "-m", model_folder)
    assert len(made) == 2


def test_what_is_not_up_to_date_is_encoded_again(run, data, model_folder, work_folder, made):
    def again(*options: str, model: Path = model_folder) -> int:
        made.clear()
        run("encode", data, "out", "-m", model, *options)
        return len(made)

    assert again() == 2 and again() == 0
    later = Path("out/square.mp4.safetensors").stat().st_mtime_ns + 1_000_000
    os.utime(data / "square.mp4", ns=(later, later))
    assert again() == 1
    target = Path("out/square.mp4.safetensors")
    target.write_bytes(target.read_bytes()[:-7])
    assert again() == 1
    assert again("--levels", "3,4") == 2 and again("--levels", "4,3") == 0 and load("square.mp4").levels == (3, 4)
    assert again("--max-frames", "3") == 2 and load("square.mp4").video_size[0] == 3
    assert again() == 2 and load("square.mp4").video_size[0] == 7
    assert again("--tile-size", "64") == 2 and again("--dtype", "bfloat16") == 2
    other = pyratok.PyraTokModel.from_pretrained(model_folder)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    other.save_pretrained("other")
    assert again(model=work_folder / "other") == 2 and again(model=work_folder / "other") == 0


def test_tokens_of_unknown_options_are_made_anew(run, data, model_folder, made):
    (data / "square.mp4").unlink()
    run("encode", data, "out", "-m", model_folder)
    for record in ("", "{", "[]", '{"options": {}, "since": 0}', "[" * 100_000):
        Path("out", folder_encoding.RECORD).write_text(record)
        made.clear()
        run("encode", data, "out", "-m", model_folder)
        assert made == ["-"], record


def test_captions_are_stored_with_the_tokens_and_change_none(run, data, model_folder, made):
    run("encode", data, "plain", "-m", model_folder)
    captioned(data, {"square.mp4": " a square ", "./pictures/still.png": "overruled", "gone.mp4": "not there"})
    captioned(data / "pictures", {"still.png": "a still"})
    result = run("encode", data, "out", "-m", model_folder)
    assert "2 of 2 files with a caption" in result.stdout
    assert [load(name).caption for name in NAMES] == ["a still", "a square"]
    for name in NAMES:
        plain = pyratok.VideoTokens.load(f"plain/{name}.safetensors")
        assert all(torch.equal(a, b) for a, b in zip(plain.video_codes, load(name).video_codes, strict=True))
    made.clear()
    captioned(data, {"square.mp4": "another square"})
    (data / "pictures/metadata.jsonl").unlink()
    result = run("encode", data, "out", "-m", model_folder)
    assert [load(name).caption for name in NAMES] == [None, "another square"] and made == []
    assert "2 were up to date" in result.stdout and "1 of 2 files with a caption" in result.stdout


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "Expecting"),
        ("[]", "no object"),
        ('{"text": "a"}', "no 'file_name'"),
        ('{"file_name": 3}', "no 'file_name'"),
        ('{"file_name": "square.mp4", "text": 3}', "'text' is of the type int"),
        ('{"file_name": "still.png", "text": "again"}', "named before"),
        (json.dumps({"file_name": "a", "text": "a" * 70_000}), "65536 bytes"),
        ("[" * 100_000, "cannot be used"),
    ],
)
def test_captions_that_cannot_be_used_name_the_file_and_the_line(refused, data, model_folder, line, reason):
    (data / "metadata.jsonl").write_text('{"file_name": "still.png", "text": null}\n\n' + line)
    said = refused("encode", data, "out", "-m", model_folder)
    assert f"line 3 of '{data / 'metadata.jsonl'}'" in said and reason in said
    (data / "metadata.jsonl").write_bytes(b"\xff")
    assert "is not UTF-8" in refused("encode", data, "out", "-m", model_folder)


def test_files_that_cannot_be_read_are_named_and_the_rest_is_encoded(run, data, model_folder):
    whole = (data / "square.mp4").read_bytes()
    (data / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    write_clip(data / "uneven.mkv", smooth_frames(6, 16, 16), times=(0, 0.04, 0.4, 0.44, 1, 1.04))
    result = run("encode", data, "out", "-m", model_folder)
    assert "wrote 3 token files" in result.stdout
    warning, left_out = result.stderr.splitlines()
    assert warning.startswith("Warning: ") and "uneven.mkv" in warning and "25 per second" in warning
    assert left_out.startswith("left out: ") and "cut.mp4" in left_out
    assert not Path("out/cut.mp4.safetensors").exists()


def test_bad_input_is_refused_in_one_sentence(refused, run, data, film, model_folder, tmp_path, work_folder):
    assert "is a folder" in refused("encode", data, "out.safetensors", "-m", model_folder)
    (work_folder / "file").write_text("mine")
    assert "is none" in refused("encode", data, "file", "-m", model_folder)
    (tmp_path / "empty").mkdir()
    assert "no videos or pictures" in refused("encode", tmp_path / "empty", "out", "-m", model_folder)
    assert "there is no model" in refused("encode", data, "out", "-m", "nowhere")
    for option, sentence in (
        (("--levels", "5"), "1 to 4"),
        (("--chunk-frames", "6"), "multiple of 4"),
        (("--tile-overlap", "32"), "needs --tile-size"),
        (("--device", "abacus"), "abacus"),
    ):
        assert sentence in refused("encode", data, "out", "-m", model_folder, *option)
    for path in (data / "square.mp4", data / "pictures/still.png"):
        path.write_bytes(b"no video")
    assert "none of the 2 files can be read" in refused("encode", data, "out", "-m", model_folder)


def test_a_target_that_is_no_token_file_is_kept(refused, data, model_folder, work_folder):
    shutil.copytree(model_folder, work_folder / "out")
    (work_folder / "out/model.safetensors").rename(work_folder / "out/square.mp4.safetensors")
    assert "is no token file" in refused("encode", data, "out", "-m", model_folder)


def test_a_folder_that_cannot_be_written(refused, data, model_folder, tmp_path, unprivileged_after):
    shutil.copytree(model_folder, tmp_path / "model")
    for path in (tmp_path / "model").rglob("*.safetensors"):
        path.chmod(0o644)
    (tmp_path / "closed").mkdir()
    unprivileged_after(tmp_path / "closed")
    assert "permission denied" in refused("encode", data, tmp_path / "closed", "-m", tmp_path / "model")
    assert "ermission denied" in refused("encode", data, tmp_path / "closed/out", "-m", tmp_path / "model")
