"""The benchmark of rate and distortion runs, and its figures are those of the metrics."""

import json
import math
import shutil

import pytest
import rate_distortion
import torch
import video_codecs
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pyratok import read_video
from pyratok.pipelines.model_loading import load_model
from pyratok.training.reconstruction_evaluation import evaluate_reconstruction


@pytest.fixture(scope="module")
def results(films, model_folder, tmp_path_factory):
    """What a run with few qualities has written: the figures, and the folder of the plot."""
    folder = tmp_path_factory.mktemp("results")
    options = [
        "--crf",
        "20",
        "45",
        "--jpeg-quality",
        "10",
        "60",
        "--json",
        folder / "rd.json",
        "--plot",
        folder / "rd.png",
    ]
    rate_distortion.main([str(argument) for argument in (films, "--model", model_folder, *options)])
    return json.loads((folder / "rd.json").read_text()), folder


def test_there_is_a_curve_for_each_and_a_plot(results):
    figures, folder = results
    assert figures["clips"] == ["city.mp4", "dog.mp4"]
    assert set(figures["curves"]) == {"PyraTok", "JPEG", *video_codecs.video_codecs()}
    for name, curve in figures["curves"].items():
        rates = [point["bits_per_pixel"] for point in curve]
        assert rates == sorted(rates) and len(curve) == (4 if name == "PyraTok" else 2)
        assert all(math.isfinite(point["psnr"]) and 0 < point["ssim"] <= 1 for point in curve)
    with Image.open(folder / "rd.png") as picture:
        assert picture.width > 1000 and len(picture.convert("RGB").getcolors(picture.width * picture.height)) > 20


def test_files_that_cannot_be_read_are_not_among_the_clips(films, model_folder, tmp_path, capsys):
    shutil.copytree(films, tmp_path / "films")
    (tmp_path / "films" / "text.mp4").write_text("no video")
    options = ["--crf", "45", "--jpeg-quality", "10", "--json", tmp_path / "rd.json"]
    rate_distortion.main([str(argument) for argument in (tmp_path / "films", "--model", model_folder, *options)])
    assert json.loads((tmp_path / "rd.json").read_text())["clips"] == ["city.mp4", "dog.mp4"]
    assert "on 2 clips of films, 1 unreadable left out" in " ".join(capsys.readouterr().out.split())


def test_the_tokenizers_points_are_those_of_the_evaluation(results, films, model_folder):
    sets = [(4,), (3, 4), (2, 3, 4), (1, 2, 3, 4)]
    evaluation = evaluate_reconstruction(load_model(model_folder), sorted(films.iterdir()), sets)
    for point, levels, report in zip(results[0]["curves"]["PyraTok"], sets, evaluation.reports, strict=True):
        assert point["setting"] == f"levels {', '.join(map(str, levels))}"
        assert point["bits_per_pixel"] == pytest.approx(report.bits_per_pixel)
        assert (point["psnr"], point["ssim"]) == pytest.approx((report.psnr_clip, report.ssim))


def test_a_codecs_point_is_the_mean_over_clips_at_the_rate_of_all_of_them(results, films):
    sizes, pixels, qualities = 0, 0, []
    for film in sorted(films.iterdir()):
        frames, _ = read_video(film)
        size, decoded = video_codecs.jpeg(frames, 10)
        sizes, pixels = sizes + size, pixels + frames[..., 0].numel()
        errors = (frames.double() - torch.stack(decoded).double()) / 255
        qualities.append(-10 * math.log10(errors.square().mean()))
    point = results[0]["curves"]["JPEG"][0]
    assert point["setting"] == "quality 10"
    assert point["bits_per_pixel"] == pytest.approx(8 * sizes / pixels)
    assert point["psnr"] == pytest.approx(sum(qualities) / 2, abs=1e-4)


def test_the_reference_at_a_rate_and_for_a_psnr():
    reference = [{"bits_per_pixel": rate, "psnr": psnr} for rate, psnr in ((0.4, 36.0), (0.1, 30.0), (0.025, 24.0))]
    assert rate_distortion.psnr_at(reference, 0.1) == pytest.approx(30)
    assert rate_distortion.psnr_at(reference, 0.2) == pytest.approx(33)
    assert rate_distortion.rate_for(reference, 27) == pytest.approx(0.05)
    point = rate_distortion.with_reference([{"bits_per_pixel": 0.2, "psnr": 27.0}], reference)[0]
    assert (point["reference_psnr"], point["reference_bits_per_pixel"]) == pytest.approx((33, 0.05))
    assert math.isnan(rate_distortion.psnr_at(reference, 0.5)) and math.isnan(rate_distortion.rate_for(reference, 23))


@given(st.floats(0.05, 0.3))
def test_rate_and_psnr_of_the_reference_are_inverse(rate):
    reference = [{"bits_per_pixel": bits, "psnr": psnr} for bits, psnr in ((0.05, 22.0), (0.11, 28.5), (0.3, 31.0))]
    assert rate_distortion.rate_for(reference, rate_distortion.psnr_at(reference, rate)) == pytest.approx(rate)
