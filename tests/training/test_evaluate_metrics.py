"""The metrics of `evaluate`: loaded without a network, and equal to the direct computation."""

import socket
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean

import evaluate
import numpy as np
import pytest
import torch

from pyratok.modeling_pyratok.reconstruction_metrics import ClipMetrics, CodeUse
from pyratok.training import metrics


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("a metric reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def pairs() -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Clips of different lengths and sizes, and noisy copies."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(5, 3, 20, 24), (1, 3, 16, 16), (8, 3, 12, 30)]
    clips = [torch.rand(shape, generator=generator) for shape in shapes]
    noise = [torch.randn(shape, generator=generator) for shape in shapes]
    spread = (torch.linspace(0.05, 0.3, len(clip)).view(-1, 1, 1, 1) for clip in clips)
    return clips, [(clip + n * scale).clamp(0, 1) for clip, n, scale in zip(clips, noise, spread, strict=True)]


def directly(clips: list[torch.Tensor], copies: list[torch.Tensor]) -> dict[str, float]:
    reports = []
    for clip, copy in zip(clips, copies, strict=True):
        clip_metrics = ClipMetrics(0, 1)
        clip_metrics.update_frames(clip, copy)
        reports.append(clip_metrics.report())
    return {name: fmean(getattr(report, name) for report in reports) for name in ("psnr_clip", "psnr_frames", "ssim")}


@pytest.mark.parametrize(("script", "figures"), [("PSNR", ("psnr_clip", "psnr_frames")), ("SSIM", ("ssim",))])
def test_clips_in_batches_or_one_by_one_or_at_once_give_the_direct_figures(script, figures, pairs):
    clips, copies = pairs
    expected = {name: value for name, value in directly(clips, copies).items() if name in figures}
    metric = evaluate.load(getattr(metrics, script))
    metric.add_batch(predictions=copies[:2], references=clips[:2])
    metric.add(prediction=copies[2].numpy(), reference=clips[2].numpy())
    assert metric.compute() == pytest.approx(expected, rel=1e-6)
    assert metric.compute(predictions=copies, references=clips) == pytest.approx(expected, rel=1e-6)
    assert metric.compute(predictions=clips[:1], references=clips[:1]).keys() == expected.keys()


def test_two_processes_share_the_clips(pairs, tmp_path):
    """As `evaluate` does it: all but the first hand their figures over in a file."""
    clips, copies = pairs
    shared = dict(num_process=2, experiment_id="shared", cache_dir=str(tmp_path))

    def work(rank: int) -> dict[str, float] | None:
        metric = evaluate.load(metrics.PSNR, process_id=rank, **shared)
        metric.add_batch(predictions=copies[rank::2], references=clips[rank::2])
        return metric.compute()

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(work, (0, 1))
    assert second is None
    assert first["psnr_clip"] == pytest.approx(directly(clips, copies)["psnr_clip"], rel=1e-6)


def test_what_is_no_clip_is_refused(pairs):
    (clip, other, _), (copy, _, _) = pairs
    metric = evaluate.load(metrics.PSNR)
    for prediction, reference, sentence in (
        (other, clip, "one shape"),
        (copy[0], clip[0], r"\(T, C, H, W\)"),
        (copy[:0], clip[:0], "one shape"),
        ((copy * 255).byte(), clip, "uint8"),
        (copy * 2 - 1, clip, r"\[0, 1\]"),
        (torch.full_like(copy, float("nan")), clip, "nan"),
        (copy, clip.masked_fill(clip > 0.9, float("nan")), "nan"),
    ):
        with pytest.raises(ValueError, match=sentence):
            metric.add(prediction=prediction, reference=reference)
    with pytest.raises(ValueError, match="shorter"):
        metric.add_batch(predictions=[copy, copy], references=[clip])


def test_use_and_perplexity_of_codes(pairs):
    codes = torch.randint(0, 2**10, (2, 3, 4, 5), generator=torch.Generator().manual_seed(1)) % 37
    use = CodeUse(1, 5)
    use.update((codes,))
    metric = evaluate.load(metrics.CODEBOOK_USE)
    for part in codes:
        metric.add_batch(predictions=part.flatten())
    expected = {"code_use": use.shares[0], "perplexity": use.perplexities[0], "tokens": 120}
    assert metric.compute(codebook_bits=5) == pytest.approx(expected)
    assert metric.compute(predictions=np.array([2**62 - 1, 0, 0, 2**62 - 1]), codebook_bits=62) == pytest.approx(
        {"code_use": 0.5, "perplexity": 2, "tokens": 4}
    )
