"""`pyratok encode`, `decode` and `info`."""

from fractions import Fraction

import pytest
import torch
from clip_examples import smooth_frames, write_clip

import pyratok
from pyratok.modeling_pyratok.pixel_values import frames_to_values, values_to_frames
from pyratok.modeling_pyratok.video_reading import read_video


def values_of(film: str) -> torch.Tensor:
    """The clip as (1, T, 3, H, W) in [-1, 1]."""
    return frames_to_values(read_video(film)[0])[None]


def test_the_token_file_holds_what_the_model_encodes(run, film, model_folder, work_folder):
    result = run("encode", film, "out.safetensors", "--model", model_folder, "--chunk-frames", "4")
    model = pyratok.PyraTokModel.from_pretrained(model_folder).eval()
    expected = model.encode(values_of(film), chunk_frames=4)
    tokens = pyratok.VideoTokens.load("out.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(tokens.video_codes, expected.video_codes, strict=True))
    assert tokens.video_size == (7, 38, 52) and tokens.fps == 10 and tokens.model_id == str(model_folder)
    assert tokens.weights_fingerprint == model.weights_fingerprint()
    assert f"{tokens.bits_per_pixel:.4f}" in result.stdout
    assert [path.name for path in work_folder.iterdir()] == ["out.safetensors"]


def luma(frames: torch.Tensor) -> torch.Tensor:
    """Brightness (T, H, W) of uint8 frames (T, H, W, 3)."""
    return frames.float() @ torch.tensor([0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("levels", [None, (2, 4)])
def test_decoding_gives_the_frames_that_the_model_decodes(run, film, model_folder, levels):
    run("encode", film, "out.safetensors", "-m", model_folder, "--max-frames", "6", "--chunk-frames", "4")
    asked = () if levels is None else ("--levels", ",".join(map(str, levels)))
    result = run("decode", "out.safetensors", "out.mkv", "-m", model_folder, "--chunk-frames", "4", *asked)
    assert result.stdout == "wrote out.mkv: 6 frames of 52 x 38\n"
    model = pyratok.PyraTokModel.from_pretrained(model_folder).eval()
    codes = pyratok.VideoTokens.load("out.safetensors").video_codes
    decoded = model.decode(codes, video_size=(6, 38, 52), chunk_frames=4, levels=levels).video_values
    expected = values_to_frames(decoded[0])
    frames, info = read_video("out.mkv")
    assert info.fps == 10 and frames.shape == expected.shape
    assert (luma(frames) - luma(expected)).abs().mean() < 8  # chroma is stored at half the resolution


def test_a_picture_decodes_to_exactly_the_models_pixels(run, films, model_folder):
    run("encode", films / "still.png", "out.safetensors", "-m", model_folder)
    run("decode", "out.safetensors", "out.png", "-m", model_folder)
    model = pyratok.PyraTokModel.from_pretrained(model_folder).eval()
    codes = pyratok.VideoTokens.load("out.safetensors").video_codes
    values = model.decode(codes, video_size=(1, 38, 52)).video_values
    assert torch.equal(read_video("out.png")[0][0], values_to_frames(values[0, 0]))


def test_tokens_of_short_number_formats_decode_with_the_stored_weights(run, film, model_folder):
    run("encode", film, "out.safetensors", "-m", model_folder, "--dtype", "bfloat16", "--max-frames", "2")
    run("decode", "out.safetensors", "out.gif", "-m", model_folder, "--dtype", "bfloat16")


def test_levels_that_are_left_out_are_not_stored(run, film, model_folder):
    run("encode", film, "out.safetensors", "-m", model_folder, "--levels", "3,4")
    tokens = pyratok.VideoTokens.load("out.safetensors")
    assert tokens.levels == (3, 4)
    assert "1: left out" in run("info", "out.safetensors").stdout
    run("decode", "out.safetensors", "out.mp4", "-m", model_folder)


def test_tokens_of_other_weights_decode_only_when_forced(run, refused, film, model_folder):
    run("encode", film, "out.safetensors", "-m", model_folder, "--max-frames", "2")
    other = pyratok.PyraTokModel.from_pretrained(model_folder)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    other.save_pretrained("other")
    assert "other weights" in refused("decode", "out.safetensors", "out.mp4", "-m", "other")
    run("decode", "out.safetensors", "out.mp4", "-m", "other", "--force")


def test_of_a_variable_rate_the_average_is_kept_and_that_is_said(run, film, model_folder, work_folder):
    assert run("encode", film, "even.safetensors", "-m", model_folder).stderr == ""
    times = (0, 0.04, 0.4, 0.44, 1, 1.04)
    write_clip(work_folder / "uneven.mkv", smooth_frames(6, 16, 16), times=times)
    result = run("encode", "uneven.mkv", "out.safetensors", "-m", model_folder)
    assert result.stderr.startswith("Warning: ") and "25 per second" in result.stderr and "4.80769" in result.stderr
    assert pyratok.VideoTokens.load("out.safetensors").fps == Fraction(125, 26)
    run("decode", "out.safetensors", "out.mkv", "-m", model_folder)
    with pyratok.VideoReader("out.mkv") as reader:
        assert [seconds for seconds, _ in reader.timed_frames()][-1] == pytest.approx(1.04, abs=0.002)
    run("encode", "uneven.mkv", "out.safetensors", "-m", model_folder, "--max-frames", "2")
    assert pyratok.VideoTokens.load("out.safetensors").fps == 25


def test_info_says_what_a_file_or_folder_holds(run, film, films, model_folder):
    run("encode", film, "out.safetensors", "-m", model_folder, "--max-frames", "2")
    assert "token file" in run("info", "out.safetensors").stdout
    video = run("info", film).stdout
    assert "52 x 38" in video and "sound" in video and "10" in video
    assert "picture" in run("info", films / "still.png").stdout
    model = run("info", model_folder).stdout
    assert "one token for 4 frames of 16 x 16 pixels" in model and "parameters" in model


def test_the_bundled_model_is_the_default_even_beside_a_folder_of_its_name(run, bundle, film, work_folder):
    (work_folder / "pyratok").mkdir()
    run("encode", film, "out.safetensors", "--max-frames", "2")
    assert pyratok.VideoTokens.load("out.safetensors").model_id == "pyratok"
    run("decode", "out.safetensors", "out.mp4")
    assert "parameters" in run("info", "pyratok").stdout
