"""The benchmark of the dense CRF: what it makes of true masks, and its tables on a folder of mask archives."""

from collections.abc import Iterator
from pathlib import Path

import crf
import numpy as np
import pytest
import torch
from segmentation_examples import write_archives


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The benchmark takes one thread; the tests after it get back what they had."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    """Two clips of 5 x 32 x 48 with a box each."""
    masks = np.zeros((5, 32, 48), bool)
    masks[:, 8:24, 16:40] = True
    lines = [{"file_name": f"{name}.mp4", "expression": "a box", "masks": masks} for name in ("one", "two")]
    return write_archives(tmp_path / "archives", lines)


def test_scores_are_means_of_cells():
    mask = torch.zeros(6, 40, 70, dtype=torch.bool)
    mask[1:3] = True  # two of the four frames of the second cell in time
    scores = crf.token_scores(mask, 0, False)
    assert scores.shape == mask.shape
    for frames, logit in ((slice(0, 1), -2), (slice(1, 5), 0), (slice(5, 6), -2)):
        torch.testing.assert_close(torch.logit(scores[frames]), torch.full_like(scores[frames], logit))


@pytest.mark.parametrize("in_blobs", [False, True])
def test_noise_has_its_strength_and_a_seed(in_blobs):
    mask = torch.zeros(97, 320, 320, dtype=torch.bool)
    logits = torch.logit(crf.token_scores(mask, 0.5, in_blobs))[::4, 8::16, 8::16]  # near the middles of cells
    assert 0.3 < logits.std() < 0.6 and abs(logits.mean() + 2) < 0.1
    beside = torch.corrcoef(torch.stack([logits[:, :, :-1].flatten(), logits[:, :, 1:].flatten()]))[0, 1]
    assert beside > 0.7 if in_blobs else beside < 0.2
    assert torch.equal(crf.token_scores(mask[:5], 1, in_blobs), crf.token_scores(mask[:5], 1, in_blobs))
    assert not torch.equal(crf.token_scores(mask[:5], 1, in_blobs), crf.token_scores(mask[:5], 1, in_blobs, seed=1))


def test_tables(archives, monkeypatch, capsys):
    monkeypatch.setattr(crf, "SIZES", ((2, 8, 12),))
    monkeypatch.setattr(crf, "in_own_process", lambda function, *arguments: (function(*arguments), 0.0))
    monkeypatch.setattr(crf, "NOISES", ((0.0, False), (2.0, True)))
    crf.main([str(archives), "--frames", "3", "--tuned", "two"])
    shown = capsys.readouterr().out
    assert "2 x 8 x 12" in shown and "192" in shown
    chosen, others = shown.split("Jaccard, ")[1:]
    assert "two.mp4" in chosen and "one.mp4" not in chosen
    assert "one.mp4" in others and "noise 2, in blobs" in others


def test_search(archives, monkeypatch, capsys):
    monkeypatch.setattr(crf, "NOISES", ((1.0, False),))
    monkeypatch.setattr(crf, "SEARCHED", ("appearance_weight", "iterations"))
    crf.main([str(archives), "--frames", "2", "--tuned", "one", "--search"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("defaults", "appearance_weight 4", "appearance_weight 16", "iterations 10"))
