"""Tokens as what a language model reads."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from pyratok.configuration.configuration_token_projector import PyraTokTokenProjectorConfig
from pyratok.modeling_pyratok import token_projector
from pyratok.modeling_pyratok.binary_codebook import BinaryCodebook, codes_to_bits
from pyratok.modeling_pyratok.token_grids import level_grids
from pyratok.modeling_pyratok.token_projector import PyraTokTokenProjector

SIZES = {"num_levels": 3, "codebook_bits": 6, "codebook_size": 8, "hidden_size": 16, "language_hidden_size": 12}
GRIDS = ((5, 7, 4), (3, 7, 4), (3, 2, 2))


@pytest.fixture(scope="module")
def projector() -> PyraTokTokenProjector:
    torch.manual_seed(0)
    return PyraTokTokenProjector(PyraTokTokenProjectorConfig(**SIZES, places=3, moments=2, embedding_rms=0.25)).eval()


def codes(batch: int = 2, grids=GRIDS) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(2**6, (batch, *grid), generator=generator) for grid in grids]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 90), st.integers(1, 90), st.sets(st.integers(1, 3), min_size=1))
def test_videos_of_any_length_and_size_give_a_bounded_prefix(projector, frames, height, width, levels):
    grids = level_grids((frames, height, width), ((2, 4), (4, 8), (4, 16)))
    given_codes = [c if level in levels else None for level, c in enumerate(codes(1, grids), start=1)]
    expected = sum(
        min(t, 2) * min(h, 3) * min(w, 3) for level, (t, h, w) in enumerate(grids, start=1) if level in levels
    )
    prefix = projector(given_codes)
    assert prefix.shape == (1, expected, 12) and expected <= 3 * 2 * 3 * 3
    assert prefix.isfinite().all()


def test_the_prefix_is_as_large_as_words_are(projector):
    rms = projector(codes()).square().mean(dim=-1).sqrt()
    torch.testing.assert_close(rms, torch.full_like(rms, 0.25), atol=1e-3, rtol=0)


def test_a_part_of_the_levels_is_a_part_of_the_prefix(projector):
    video = codes()
    whole = projector(video)
    parts = [projector(video, (level,)) for level in (1, 2, 3)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    torch.testing.assert_close(projector(video, (3, 1)), torch.cat([parts[0], parts[2]], dim=1))
    torch.testing.assert_close(projector([None, video[1], None]), parts[1])
    torch.testing.assert_close(projector([level[1:] for level in video]), whole[1:])


def test_a_cell_is_the_mean_of_its_tokens(projector):
    """Against a plain computation on a grid that divides evenly, of one level."""
    video = torch.randint(2**6, (1, 4, 6, 9), generator=torch.Generator().manual_seed(1))
    features = F.gelu(projector.token(projector.codebook(codes_to_bits(video, 6)) + projector.level.weight[1]))
    pooled = features.reshape(2, 2, 3, 2, 3, 3, 16).mean(dim=(1, 3, 5)).flatten(0, 2)  # (18, 16)
    found = projector._pooled(video, 2)[0].permute(1, 2, 3, 0).flatten(0, 2)
    torch.testing.assert_close(found, pooled)


@pytest.mark.parametrize("at_once", [1, 30, 10**6])
def test_memory_is_bounded_and_nothing_changes(projector, monkeypatch, at_once):
    video = codes()
    before = projector(video)
    seen = []
    forward = projector.token.forward
    monkeypatch.setattr(projector.token, "forward", lambda x: seen.append(x[..., 0].numel()) or forward(x))
    monkeypatch.setattr(token_projector, "TOKENS_AT_ONCE", at_once)
    torch.testing.assert_close(projector(video), before)
    frame = 2 * 7 * 4
    assert max(seen) <= max(at_once, frame)


def test_where_a_cell_lies_counts(projector):
    same = torch.full((1, 4, 6, 6), 5)
    prefix = projector([same, None, None])[0]  # every cell has the same tokens
    assert torch.cdist(prefix, prefix).add(10 * torch.eye(len(prefix))).min() > 1e-4
    moved = same.clone()
    moved[:, :, :, 0] = 60
    assert not torch.allclose(projector([moved, None, None])[0, 0], prefix[0])
    torch.testing.assert_close(projector([moved, None, None])[0, 2], prefix[2])


@pytest.mark.parametrize(
    ("video", "levels", "message"),
    [
        (codes()[:2], None, "one entry per level"),
        (codes(), (0,), "levels are numbers"),
        (codes(), (1, 1), "named once"),
        ([None, *codes()[1:]], (1,), "holds None"),
        ([None, None, None], None, "at least one level"),
        ([codes()[0].float(), None, None], None, "integers"),
        ([codes()[0] + 64, None, None], None, "codes lie in"),
        ([codes()[0][0], None, None], None, "must be"),
        ([codes()[0][:, :0], None, None], None, "must be"),
        ([codes(1)[0], *codes(2)[1:]], None, "one batch size"),
    ],
)
def test_what_are_no_codes_is_refused(projector, video, levels, message):
    with pytest.raises(ValueError, match=message):
        projector(video, levels)


def test_a_tokenizers_codebook(projector):
    torch.manual_seed(1)
    new = PyraTokTokenProjector(projector.config)
    codebook = BinaryCodebook(6, 8)
    new.share_codebook(codebook)
    assert new.codebook is codebook
    with pytest.raises(ValueError, match="codebook projection"):
        new.share_codebook(BinaryCodebook(6, 9))


def test_save_and_load(projector, tmp_path):
    projector.save_pretrained(tmp_path)
    loaded = PyraTokTokenProjector.from_pretrained(tmp_path).eval()
    assert torch.equal(loaded(codes()), projector(codes()))
    assert loaded.config.moments == 2 and loaded.config.embedding_rms == 0.25


@pytest.mark.parametrize(
    ("options", "message"),
    [({"places": 0}, "places"), ({"embedding_rms": 0.0}, "embedding_rms"), ({"plaecs": 3}, "plaecs")],
)
def test_wrong_configurations_are_refused(options, message):
    with pytest.raises(Exception, match=message):
        PyraTokTokenProjectorConfig(**options)
