"""The full-size model: Wan 2.2's shapes with random weights, the paper's configuration."""

import pytest
import torch
from diffusers import AutoencoderKLWan

from pyratok import PyraTokConfig, PyraTokModel
from pyratok.modeling_pyratok.lora import plain_state_dict


@pytest.mark.slow
@torch.no_grad()
def test_full_size_model_keeps_the_vae_and_makes_the_whole_way(tmp_path):
    vae = AutoencoderKLWan(**PyraTokConfig().backbone_config).eval()
    model = PyraTokModel.from_backbone(vae)
    assert model.config.to_diff_dict() == PyraTokConfig().to_diff_dict() | {
        key: value for key, value in model.config.to_diff_dict().items() if key == "backbone_config"
    }
    kept = plain_state_dict(model.backbone)
    for name, tensor in vae.state_dict().items():
        assert torch.equal(kept[name], tensor), name
    del vae, kept
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert all("lora_" in name for name in trainable if name.startswith("backbone."))

    model.save_pretrained(tmp_path)
    fingerprint = model.weights_fingerprint()
    del model
    model = PyraTokModel.from_pretrained(tmp_path)
    assert model.weights_fingerprint() == fingerprint
    model.merge_lora()

    video = torch.rand(1, 17, 3, 128, 128) * 2 - 1
    encoded = model.encode(video)
    assert [tuple(codes.shape[1:]) for codes in encoded.video_codes] == [(5, 16, 16)] * 2 + [(5, 8, 8)] * 2
    decoded = model.decode(encoded.video_codes, encoded.video_size).video_values
    assert decoded.shape == video.shape and decoded.isfinite().all()
