"""`pyratok reconstruct`: the files, the figures, and all or nothing."""

import re
import types

import pytest
import torch
from PIL import Image

import pyratok
from pyratok.modeling_pyratok.pixel_values import frames_to_values, values_to_frames
from pyratok.modeling_pyratok.reconstruction_metrics import ClipMetrics
from pyratok.modeling_pyratok.video_reading import VideoReader, read_video
from pyratok.pipelines.pictures import GAP


def reconstructed(model_folder, film, levels=None):
    """The codes and frames (T, 3, H, W) in [-1, 1] that the model's own methods give, and the original likewise."""
    model = pyratok.PyraTokModel.from_pretrained(model_folder).eval()
    original = frames_to_values(read_video(film)[0])
    out = model.encode(original[None])
    values = model.decode(out.video_codes, video_size=out.video_size, levels=levels).video_values[0]
    return out.video_codes, values, original


def luma(frames):
    """Brightness (T, H, W) of uint8 frames (T, H, W, 3)."""
    return frames.float() @ torch.tensor([0.2126, 0.7152, 0.0722])


def row(text: str, name: str) -> str:
    """The value of one row of the table, lines joined."""
    lines = [line.split("│")[1:3] for line in text.splitlines() if line.count("│") == 3]
    names = [line[0].strip() for line in lines]
    start = names.index(name)
    rest = next((i for i in range(start + 1, len(names)) if names[i]), len(names))
    return " ".join(line[1].strip() for line in lines[start:rest])


def test_three_files_and_a_table_that_agrees_with_the_models_own_methods(run, film, model_folder, work_folder):
    result = run("reconstruct", film, "--output", "a/b", "--model", model_folder)
    names = ["contact_sheet.png", "reconstruction.mp4", "side_by_side.mp4"]
    assert sorted(path.name for path in (work_folder / "a" / "b").iterdir()) == names
    assert all(f"wrote a/b/{name}" in result.stdout for name in names)

    codes, copy, original = reconstructed(model_folder, film)
    metrics = ClipMetrics(4, 16)
    metrics.update_codes(codes)
    metrics.update_frames((original + 1) / 2, (copy + 1) / 2)
    report = metrics.report()
    assert row(result.stdout, "frames") == "7"
    assert row(result.stdout, "size") == "52 x 38, 10 frames per second"
    assert row(result.stdout, "sound") == "copied"
    assert re.findall(r"\d: ([\d,]+),", row(result.stdout, "tokens per level")) == [
        f"{count:,}" for count in report.tokens_per_level
    ]
    assert row(result.stdout, "bits per pixel") == f"{report.bits_per_pixel:.4f}"
    assert row(result.stdout, "PSNR, whole clip") == f"{report.psnr_clip:.2f} dB"
    assert row(result.stdout, "PSNR, mean of frames") == f"{report.psnr_frames:.2f} dB"
    assert row(result.stdout, "SSIM") == f"{report.ssim:.4f}"
    assert re.findall(r"\d: ([\d.]+)%", row(result.stdout, "share of codes used")) == [
        f"{share:.1%}"[:-1] for share in report.code_use
    ]
    assert "encoding and decoding" in row(result.stdout, "frames per second")


def test_the_files_show_what_they_are_named_after(run, film, model_folder, work_folder):
    run("reconstruct", film, "-o", "out", "-m", model_folder)
    expected = values_to_frames(reconstructed(model_folder, film)[1])
    with VideoReader(work_folder / "out" / "reconstruction.mp4") as reader:
        assert reader.info.has_audio
        frames = torch.stack(list(reader))
    assert frames.shape == (7, 38, 52, 3)
    assert (luma(frames) - luma(expected)).abs().mean() < 8  # chroma is stored at half the resolution
    both, _ = read_video(work_folder / "out" / "side_by_side.mp4")
    assert both.shape == (7, 38, 2 * 52 + GAP, 3)
    original, _ = read_video(film)
    assert (both[:, :, :52].float() - original.float()).abs().mean() < 4
    with Image.open(work_folder / "out" / "contact_sheet.png") as sheet:
        assert sheet.size[0] == 6 * (52 + GAP) + GAP


def test_levels_that_are_left_out_are_neither_decoded_nor_counted(run, film, model_folder):
    result = run("reconstruct", film, "-m", model_folder, "--levels", "4,3")
    codes, copy, original = reconstructed(model_folder, film, levels=(3, 4))
    metrics = ClipMetrics(4, 16)
    metrics.update_codes((None, None, *codes[2:]))
    metrics.update_frames((original + 1) / 2, (copy + 1) / 2)
    assert row(result.stdout, "bits per pixel") == f"{metrics.report().bits_per_pixel:.4f}"
    assert row(result.stdout, "PSNR, whole clip") == f"{metrics.report().psnr_clip:.2f} dB"
    assert row(result.stdout, "tokens per level").startswith("1: left out 2: left out 3: ")


def test_the_speed_counts_what_is_waited_for_on_the_device(run, film, model_folder, monkeypatch):
    """A GPU computes on until its result is asked for; here asking takes 7 s by a clock that only asking moves."""
    clock = types.SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)
    from pyratok.commands import reconstruction_run

    def slow_copy(values: torch.Tensor) -> torch.Tensor:
        clock.now += 7 * (values.ndim == 4 and values.shape[1:] == (3, 38, 52))
        return copy(values)

    copy = torch.Tensor.cpu
    monkeypatch.setattr(reconstruction_run, "time", clock)
    monkeypatch.setattr(torch.Tensor, "cpu", slow_copy)
    result = run("reconstruct", film, "-m", model_folder)  # 7 frames in one piece
    assert row(result.stdout, "frames per second").startswith("1.0 encoding and decoding")


def test_first_frames_only_and_tiles_and_short_numbers(run, film, model_folder, work_folder):
    result = run("reconstruct", film, "-m", model_folder, "--max-frames", "5", "--chunk-frames", "4")
    assert row(result.stdout, "frames") == "5"
    assert len(read_video(work_folder / "square_reconstruction" / "reconstruction.mp4")[0]) == 5
    result = run("reconstruct", film, "-m", model_folder, "--dtype", "bfloat16", "--tile-size", "64")
    assert row(result.stdout, "frames") == "7"


def test_a_picture_gives_pictures(run, films, model_folder, work_folder):
    result = run("reconstruct", films / "still.png", "-m", model_folder, "-o", "out")
    assert row(result.stdout, "frames") == "1"
    names = sorted(path.name for path in (work_folder / "out").iterdir())
    assert names == ["contact_sheet.png", "reconstruction.png", "side_by_side.png"]


def test_results_of_an_earlier_run_are_replaced_and_other_files_stay(run, film, model_folder, work_folder):
    folder = work_folder / "out"
    folder.mkdir()
    for name in ("reconstruction.mp4", "side_by_side.mp4", "contact_sheet.png", "notes.txt"):
        (folder / name).write_text("old")
    run("reconstruct", film, "-m", model_folder, "-o", "out")
    assert (folder / "notes.txt").read_text() == "old"
    assert len(list(folder.iterdir())) == 4
    assert len(read_video(folder / "reconstruction.mp4")[0]) == 7


@pytest.mark.parametrize("extension", ["mkv", "avi", "gif"])
def test_other_containers(run, film, model_folder, work_folder, extension):
    from pyratok.modeling_pyratok.video_writing import write_video

    frames, _ = read_video(film)
    write_video(f"in.{extension}", frames[:2], 10)
    run("reconstruct", f"in.{extension}", "-m", model_folder, "-o", "out")
    kept = "mp4" if extension == "gif" else extension
    assert (work_folder / "out" / f"reconstruction.{kept}").is_file()
