"""What `attention_maps` says is what the model does."""

import pytest
import torch

from pyratok import PyraTokConfig, PyraTokModel
from pyratok.modeling_pyratok.lapq import TextAttention
from pyratok.pipelines.attention_pictures import attention_picture

VIDEO = torch.rand(2, 9, 3, 32, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
TEXT = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(1))
MASK = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])


def test_weights_are_those_that_forward_uses():
    torch.manual_seed(0)
    attention = TextAttention(8, 12, 1).eval()
    torch.nn.init.eye_(attention.output.weight)
    tokens, text = torch.randn(2, 7, 8), torch.randn(2, 5, 12)
    weights = attention.weights(tokens, text, MASK.bool())
    expected = attention(tokens, text, MASK.bool()) - attention.output.bias
    torch.testing.assert_close(weights.transpose(1, 2) @ attention.value(text), expected)


@pytest.mark.parametrize("chunk_frames", [4, None])
def test_maps_lie_on_the_grids_and_sum_to_one(chunk_frames):
    torch.manual_seed(0)
    model = PyraTokModel(PyraTokConfig.tiny()).eval()
    maps = model.attention_maps(VIDEO, TEXT, MASK, chunk_frames=chunk_frames)
    codes = model.encode(VIDEO, TEXT, MASK, chunk_frames=chunk_frames).video_codes
    for level, entry in zip(maps, codes, strict=True):
        assert level.shape == (2, 5, *entry.shape[1:])
        torch.testing.assert_close(level.sum(1), torch.ones_like(level[:, 0]))
        assert not level[0, 3:].any()
    whole = model.attention_maps(VIDEO, TEXT, MASK, chunk_frames=None)
    assert all((one - other).abs().max() < 1e-3 for one, other in zip(maps, whole, strict=True))
    assert not model.pyramid.blocks[0].attention._forward_pre_hooks


def test_a_picture_of_them():
    frame = torch.randint(0, 256, (30, 40, 3), dtype=torch.uint8)
    maps = [torch.rand(3, 4, 5), torch.rand(3, 2, 3), torch.zeros(3, 1, 1)]
    picture = attention_picture(frame, maps, ["a", "red", "dog"])
    assert picture.width > 3 * 128 and picture.height > 3 * 96
    with pytest.raises(ValueError, match="2 words"):
        attention_picture(frame, maps, ["a", "dog"])
