"""The benchmark of half precision, on the tiny model."""

import half_precision
import pytest
import torch

from pyratok import PyraTokConfig, PyraTokModel
from pyratok.modeling_pyratok.reconstruction_metrics import psnr_of


def test_psnr_is_the_mean_over_clips(monkeypatch):
    def tiny_model() -> PyraTokModel:
        torch.manual_seed(0)
        return PyraTokModel(PyraTokConfig.tiny()).eval()

    monkeypatch.setattr(half_precision, "small_model", tiny_model)
    videos = [torch.zeros(1, 1, 3, 32, 32), torch.ones(1, 1, 3, 32, 32)]
    row = half_precision.compare(torch.bfloat16, videos)
    expected = 0.0
    for video in videos:
        decoded = tiny_model()(video).video_values
        expected += psnr_of(float(((decoded - video) / 2).square().mean())) / 2
    assert len(row) == 7 and float(row[5]) == pytest.approx(expected, abs=0.002)
