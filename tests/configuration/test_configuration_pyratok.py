"""The configuration: the paper's defaults, derived sizes, round trips, and refusals that say what would be right."""

import pytest
from diffusers import AutoencoderKLWan
from transformers import AutoConfig

from pyratok import PyraTokConfig


def test_defaults_are_the_full_size_model():
    config = PyraTokConfig()
    assert (config.codebook_bits, config.num_levels, config.lora_rank, config.lora_alpha) == (16, 4, 16, 32)
    assert (config.text_hidden_size, config.text_encoder) == (2048, "Qwen/Qwen2.5-VL-3B-Instruct")
    assert config.stage_channels == (160, 320, 640, 640)
    assert config.stage_strides == ((1, 4), (2, 8), (4, 16), (4, 16))
    assert (config.backbone_stride, config.spatial_multiple, config.freeze_backbone) == (16, 16, True)


@pytest.mark.parametrize("config", [PyraTokConfig.tiny(), PyraTokConfig.tiny(lora_rank=0, freeze_backbone=False)])
def test_derived_sizes_are_those_of_the_vae(config):
    vae = AutoencoderKLWan(**config.backbone_config)
    assert config.stage_channels[-1] == vae.encoder.conv_out.in_channels
    widths = [vae.decoder.conv_in.out_channels, *(block.resnets[-1].out_dim for block in vae.decoder.up_blocks)]
    assert config.decoder_stage_channels == tuple(widths)
    assert config.decoder_stage_strides == ((4, 16), (2, 8), (1, 4), (1, 4))


def test_round_trip_through_a_file(tmp_path):
    config = PyraTokConfig.tiny(level_strides=[[2, 8], [4, 8], [4, 16], [4, 16]])
    config.save_pretrained(tmp_path)
    for loaded in (PyraTokConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert type(loaded) is PyraTokConfig and loaded.to_diff_dict() == config.to_diff_dict()
        assert loaded.level_strides == ((2, 8), (4, 8), (4, 16), (4, 16)) and loaded.level_stages == (1, 1, 2, 3)


def change_backbone(**changes) -> dict:
    return {"backbone_config": {**PyraTokConfig.tiny().backbone_config, **changes}}


NARROW_DECODER = {"dim_mult": [1, 1, 8, 8], "temperal_downsample": [False, True, True]}
NARROW_DECODER |= {"patch_size": 2, "in_channels": 12, "out_channels": 12}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"level_stages": (1, 2, 3)}, "one entry per level"),
        ({"level_stages": (2, 1, 2, 3)}, "must not decrease"),
        ({"level_stages": (1, 1, 2, 4)}, r"stages 1\.\.3"),
        ({"level_stages": (), "level_strides": ()}, "at least one"),
        ({"level_strides": ((1, 8), (4, 8), (4, 16), (4, 32))}, "finer than"),
        ({"level_strides": ((2, 4), (4, 8), (4, 16), (4, 32))}, "finer than"),
        ({"level_strides": ((3, 8), (4, 8), (4, 16), (4, 32))}, "1, 2 or 4"),
        ({"level_strides": ((2, 8), (4, 12), (4, 16), (4, 32))}, "divide the backbone's stride 16"),
        ({"level_strides": ((2, 8), (4, 8), (4, 16), (4,))}, "level_strides"),
        ({"codebook_bits": 0}, r"1\.\.24"),
        ({"hidden_size": 15}, "multiple of num_attention_heads"),
        ({"num_attention_heads": 0}, "positive"),
        ({"lora_rank": -1}, "lora_rank"),
        ({"lora_alpha": 0}, "lora_alpha"),
        ({"freeze_backbone": False}, "lora_rank=0"),
        ({"level_dropout": 1.5}, "between 0 and 1"),
        ({"temperature": 0}, "positive"),
        ({"entropy_loss_weight": float("nan")}, "finite"),
        (change_backbone(temperal_downsample=[True, False]), "exactly two"),
        (change_backbone(temperal_downsample=[True, True, True]), "one entry per downsampling"),
        (change_backbone(in_channels=3), r"3 \* patch_size"),
        (change_backbone(dim_mult=[1]), "at least two"),
        (change_backbone(dim_mult=[1, 2, 4]), "keeps its width"),
        (change_backbone(dim_mult=[1, 3, 3]), "must be a multiple of 3"),
        (change_backbone(base_dim=0), "positive whole number"),
        (change_backbone(num_res_blocks=0), "positive whole number"),
        (change_backbone(patch_size=-4), "'patch_size'.* positive whole number"),
        (change_backbone(dim_mult=[1, 0, 2]), "positive whole numbers"),
        (change_backbone(dim_mult=[1, 2.0, 2.0]), "positive whole numbers"),
        (change_backbone(dim_mult=4), "positive whole numbers"),
        (change_backbone(temperal_downsample=True), "list of True and False"),
        (change_backbone(**NARROW_DECODER), r"from multiplier 8 back to 1 in the decoder, 1 \* 4 must be"),
        ({"level_strides": ((2, 8), (4, 8), (4, 32), (4, 48))}, "one must divide the other"),
        ({"lora_alpha": float("nan")}, "lora_alpha"),
        ({"temperature": float("inf")}, "temperature"),
        ({"entropy_diversity": float("nan")}, "entropy_diversity"),
        ({"codebook_bits": "16"}, "codebook_bits"),
    ],
)
def test_wrong_combinations_are_refused_with_a_sentence(overrides, message):
    with pytest.raises(Exception, match=message):
        PyraTokConfig.tiny(**overrides)


def test_unknown_options_are_refused():
    with pytest.raises(TypeError, match="hiden_size"):
        PyraTokConfig(hiden_size=3)
    with pytest.raises(Exception, match="base_dims"):
        PyraTokConfig.tiny(**change_backbone(base_dims=3))


@pytest.mark.parametrize(
    "multipliers",
    [[1, 4, 4], [2, 8, 8], [4, 2, 2], [3, 1, 1], [2, 2, 4], [1, 1, 4, 4], [1, 1, 8, 8], [1, 8, 8, 8], [8, 1, 8, 8]],
)
def test_the_widths_that_pass_are_those_that_build_a_vae(multipliers):
    halvings = [False] * (len(multipliers) - 3) + [True, True]
    patch = 16 >> len(halvings)  # so that the levels fit
    channels = {"patch_size": patch, "in_channels": 3 * patch**2, "out_channels": 3 * patch**2}
    changes = change_backbone(dim_mult=multipliers, temperal_downsample=halvings, **channels)
    try:
        AutoencoderKLWan(**changes["backbone_config"])
    except (ValueError, AssertionError):
        with pytest.raises(Exception, match="residual blocks"):
            PyraTokConfig.tiny(**changes)
    else:
        PyraTokConfig.tiny(**changes)
