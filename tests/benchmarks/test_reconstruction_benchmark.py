"""The benchmark behind the model card runs, and writes what the card needs."""

import json

import pytest
import reconstruction

from pyratok.pipelines.model_loading import load_model
from pyratok.training.reconstruction_evaluation import evaluate_reconstruction


def test_figures_and_previews(films, model_folder, tmp_path, capsys):
    reconstruction.main([str(films), "--model", str(model_folder), "--json", str(tmp_path / "figures.json")])
    figures = json.loads((tmp_path / "figures.json").read_text())
    model = load_model(model_folder)
    whole, coarse = evaluate_reconstruction(model, sorted(films.iterdir()), [None, (3, 4)]).reports
    assert (figures["clips"], figures["frames"]) == (2, 14)
    for name in ("psnr_clip", "psnr_frames", "ssim", "bits_per_pixel", "tokens_per_level", "code_use", "perplexity"):
        value = getattr(whole, name)
        assert figures[name] == pytest.approx(list(value) if isinstance(value, tuple) else value), name
    assert list(figures["previews_psnr_clip"]) == ["4", "3, 4", "2, 3, 4"]
    assert figures["previews_psnr_clip"]["3, 4"] == pytest.approx(coarse.psnr_clip)
    assert figures["weights_fingerprint"] == model.weights_fingerprint()
    assert f"{whole.psnr_clip:.2f} dB" in capsys.readouterr().out


def test_previews_can_be_left_out(films, model_folder, tmp_path):
    options = ["--no-previews", "--json", tmp_path / "figures.json"]
    reconstruction.main([str(argument) for argument in (films, "--model", model_folder, *options)])
    assert json.loads((tmp_path / "figures.json").read_text())["previews_psnr_clip"] == {}
