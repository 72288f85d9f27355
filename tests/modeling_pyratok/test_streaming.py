"""Streaming equals offline, chunk lengths agree, and nothing looks ahead."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyratok import PyraTokConfig, PyraTokModel

VIDEO = torch.rand(1, 38, 3, 50, 75, generator=torch.Generator().manual_seed(0)) * 2 - 1


def pieces_of(video: torch.Tensor, sizes: list[int]):
    """The frames of (T, C, H, W), handed over in pieces: 0 stands for one frame without a time axis."""
    position, index = 0, 0
    while position < video.shape[0]:
        size = sizes[index % len(sizes)]
        yield video[position] if size == 0 else video[position : position + size]
        position, index = position + max(size, 1), index + 1


WAN_2_2_RHYTHM = {
    "backbone_config": PyraTokConfig.tiny().backbone_config
    | {"patch_size": 2, "in_channels": 12, "out_channels": 12, "dim_mult": [1, 2, 2, 2]}
    | {"temperal_downsample": [False, True, True]},
    "level_stages": (1, 2, 3, 4),
    "level_strides": ((1, 8), (2, 8), (4, 16), (4, 32)),
}


@pytest.fixture(scope="module", params=[{}, WAN_2_2_RHYTHM], ids=["tiny", "rhythm of Wan 2.2"])
def model(request) -> PyraTokModel:
    torch.manual_seed(0)
    model = PyraTokModel(PyraTokConfig.tiny(**request.param)).eval()
    with torch.no_grad():  # as after training: LoRA and the laterals into the decoder say something
        for name, parameter in model.named_parameters():
            if "lora_B" in name or "laterals" in name:
                parameter.normal_(0, 0.1)
    return model


@pytest.mark.parametrize("chunk_frames", [4, 8, 16, None])
@pytest.mark.parametrize("sizes", [[0], [1], [7, 3], [100]])
def test_streaming_equals_offline(model, chunk_frames, sizes):
    offline = model.encode(VIDEO, chunk_frames=chunk_frames)
    decoded = model.decode(offline.video_codes, offline.video_size, chunk_frames=chunk_frames).video_values
    pieces = list(model.encode_stream(pieces_of(VIDEO[0], sizes), chunk_frames=chunk_frames))
    for level, codes in enumerate(offline.video_codes):
        assert torch.equal(torch.cat([piece.video_codes[level] for piece in pieces], dim=1), codes)
        features = torch.cat([piece.level_features[level] for piece in pieces], dim=2)
        assert torch.equal(features, offline.level_features[level])
    assert sum(piece.video_size[0] for piece in pieces) == 38
    assert torch.equal(torch.cat(list(model.decode_stream(pieces))), decoded[0])


@pytest.mark.parametrize("chunk_frames", [4, 8, 16])
def test_chunk_lengths_agree(model, chunk_frames):
    """At least 99.99% of the bits are equal, and the same codes decode to the same pixels within 1e-4."""
    whole = model.encode(VIDEO, chunk_frames=None)
    chunked = model.encode(VIDEO, chunk_frames=chunk_frames)
    different = bits = 0
    for level, (one, other) in enumerate(zip(whole.video_codes, chunked.video_codes, strict=True)):
        flips = (one ^ other).unsqueeze(-1) >> torch.arange(16) & 1  # (B, T, H, W, d)
        if not different:  # no flip at a lower level that could explain more
            to_logits = model.pyramid.blocks[level].to_logits
            logits, again = (
                to_logits(encoded.level_features[level].permute(0, 2, 3, 4, 1)) for encoded in (whole, chunked)
            )
            torch.testing.assert_close(again, logits, atol=1e-4, rtol=0)
            assert logits[flips.bool()].abs().lt(1e-4).all()
        different, bits = different + int(flips.sum()), bits + flips.numel()
    assert different <= 1e-4 * bits
    pixels = model.decode(whole.video_codes, whole.video_size, chunk_frames=None).video_values
    again = model.decode(whole.video_codes, whole.video_size, chunk_frames=chunk_frames).video_values
    torch.testing.assert_close(again, pixels, atol=1e-4, rtol=0)


@settings(max_examples=15, deadline=None)
@given(frames=st.integers(2, 14), data=st.data())
def test_codes_do_not_look_ahead(model, frames, data):
    """A change in frame t leaves every code of an earlier latent frame as it was, at every level."""
    changed = data.draw(st.integers(1, frames - 1))
    video = VIDEO[:, :frames, :, :32, :32]
    other = video.clone()
    other[:, changed] = -other[:, changed]
    codes = model.encode(video, chunk_frames=None).video_codes
    changed_codes = model.encode(other, chunk_frames=None).video_codes
    earlier_latents = (changed + 3) // 4  # frame 0 is latent 0; frames 4k - 3 .. 4k are latent k
    for (temporal, _), one, after in zip(model.config.level_strides, codes, changed_codes, strict=True):
        kept = 1 + (earlier_latents - 1) * (4 // temporal)
        assert torch.equal(one[:, :kept], after[:, :kept])
    assert any(not torch.equal(one, after) for one, after in zip(codes, changed_codes, strict=True))


def test_pixels_do_not_look_ahead(model):
    encoded = model.encode(VIDEO[:, :13, :, :32, :32])
    other = [codes.clone() for codes in encoded.video_codes]
    for codes, (temporal, _) in zip(other, model.config.level_strides, strict=True):
        codes[:, 1 + 4 // temporal :] ^= 0b1010  # tokens of frames 5 and later
    pixels = model.decode(encoded.video_codes, encoded.video_size).video_values
    changed = model.decode(other, encoded.video_size).video_values
    assert torch.equal(pixels[:, :5], changed[:, :5])
    assert not torch.equal(pixels[:, 5:], changed[:, 5:])


def test_a_stream_can_be_abandoned_and_two_can_run_together(model):
    alone = [piece.video_codes for piece in model.encode_stream(VIDEO[0], chunk_frames=4)]
    first, second = model.encode_stream(VIDEO[0], chunk_frames=4), model.encode_stream(-VIDEO[0], chunk_frames=4)
    next(second)
    for codes, piece in zip(alone, first, strict=True):
        next(second, None)
        for one, other in zip(codes, piece.video_codes, strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "no frames"),
        ([torch.zeros(3, 8, 8), torch.zeros(3, 8, 9)], "one size"),
        ([torch.zeros(1, 8, 8)], r"\(3, H, W\)"),
        ([torch.zeros(0, 3, 8, 8)], "no frames"),
        ([torch.zeros(3, 8, 8, dtype=torch.uint8)], "floating point"),
    ],
)
def test_bad_streams_are_refused(model, frames, message):
    with pytest.raises(ValueError, match=message):
        list(model.encode_stream(frames))


def test_pieces_that_are_no_video_are_refused(model):
    pieces = list(model.encode_stream(VIDEO[0, :14, :, :32, :32], chunk_frames=4))
    assert [piece.video_size[0] for piece in pieces] == [5, 4, 4, 1]
    with pytest.raises(ValueError, match="after 14 frames"):
        list(model.decode_stream([*pieces, pieces[1]]))
    with pytest.raises(ValueError, match="after 6 frames"):
        list(model.decode_stream([pieces[0], pieces[3], pieces[1]]))
    other = next(model.encode_stream(VIDEO[0, :5, :, :32, :48], chunk_frames=4))
    with pytest.raises(ValueError, match=r"\(32, 32\) after \(32, 48\)"):
        list(model.decode_stream([other, *pieces[1:]]))


@pytest.mark.parametrize("chunk_frames", [0, -4, 3, 10])
def test_bad_chunk_lengths_are_refused(model, chunk_frames):
    with pytest.raises(ValueError, match="multiple of 4"):
        model.encode(VIDEO[:, :1], chunk_frames=chunk_frames)
