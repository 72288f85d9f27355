"""The tokenizers that the ablation compares have as many bits, and all of their parts are in use."""

import statistics

import ablation
import pytest
import torch
from ablation_models import VARIANTS, OneLatentTokenizer
from short_training import CLIP

import pyratok
from pyratok.modeling_pyratok.pixel_values import frames_to_values


@pytest.fixture(scope="module")
def video(clips) -> torch.Tensor:
    """Two pieces of a real clip, (2, 3, T, H, W) in [-1, 1]."""
    frames, height, width = CLIP
    pixels = pyratok.read_video(clips["city"])[0][:frames]
    pieces = [pixels[:, 16 : 16 + height, left : left + width] for left in (0, 96)]
    return frames_to_values(torch.stack(pieces))


def test_bits_are_equal():
    """To 2%: a pyramid's grids give steps, not any number."""
    bits = [variant.bits_per_clip for variant in VARIANTS.values()]
    assert max(bits) / min(bits) < 1.02
    assert statistics.median(bits) == 7680


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_clips_come_back_and_every_part_has_a_gradient(variant, video):
    torch.manual_seed(0)
    model = variant.build().train()
    reconstruction, loss = model(video)
    assert reconstruction.shape == video.shape
    ((reconstruction - video).abs().mean() + loss).backward()
    tokenizer = model if isinstance(model, OneLatentTokenizer) else model.model
    parts = dict(tokenizer.named_children()) | {
        "encoder": tokenizer.backbone.encoder,
        "decoder": tokenizer.backbone.decoder,
    }
    for name, part in parts.items():
        weights = list(part.parameters())
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        assert not weights or sum(float(gradient.abs().sum()) for gradient in gradients) > 0, name


def test_the_table_has_the_best_first():
    names = list(VARIANTS)[:3]
    runs = {
        f"{name} | 20 steps | seed {seed}": {"psnr": psnr + seed, "parameters": 2_500_000}
        for name, psnr in zip(names, (20.0, 22.0, 21.0), strict=True)
        for seed in (0, 1)
    }
    rows = ablation.table(runs, 20, names)
    assert [row[0] for row in rows] == [names[1], names[2], names[0]]
    assert rows[0][2:] == ["2.50 M", "22.50", "1.00", "2"]
    assert ablation.table(runs, 30, names) == []
