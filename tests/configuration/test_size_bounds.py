"""A config.json that asks for absurd sizes is refused before anything is made of it."""

import pytest
from huggingface_hub.errors import StrictDataclassError

from pyratok import PyraTokConfig, PyraTokPriorConfig, PyraTokTextAlignmentConfig, PyraTokTokenProjectorConfig

HUGE = 10**12


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (PyraTokConfig, {"hidden_size": HUGE}, "hidden_size is at most 65,536, got 1000000000000"),
        (PyraTokConfig, {"hidden_size": 10**5000}, "hidden_size is at most 65,536, got a larger one"),
        (PyraTokConfig, {"text_hidden_size": HUGE}, "text_hidden_size is at most"),
        (PyraTokConfig, {"lora_rank": HUGE}, "lora_rank is at most"),
        (PyraTokConfig, {"level_strides": ((4, 8), (4, 8), (4, 16), (4, HUGE))}, "level_strides is at most 4,096"),
        (PyraTokConfig, {"backbone_config": {"base_dim": HUGE}}, r"backbone_config\['base_dim'\] is at most"),
        (PyraTokConfig, {"backbone_config": {"num_res_blocks": HUGE}}, "'num_res_blocks'. is at most"),
        (PyraTokConfig, {"backbone_config": {"dim_mult": [1] * 10**6}}, "'dim_mult'. has at most 16 entries"),
        (
            PyraTokConfig,
            {"backbone_config": {"dim_mult": [1, HUGE]}},
            "'dim_mult'. has at most 16 entries, each at most",
        ),
        (PyraTokPriorConfig, {"codebook_bits": HUGE}, "codebook_bits is at most 24"),
        (PyraTokPriorConfig, {"level_strides": [[4, 8]] * 1000}, "num_levels is at most 16"),
        (PyraTokPriorConfig, {"body_config": {"model_type": "qwen2", "num_hidden_layers": HUGE}}, "is at most 512"),
        (PyraTokPriorConfig, {"body_config": {"model_type": "qwen2", "hidden_size": HUGE}}, "is at most 16,777,216"),
        (
            PyraTokPriorConfig,
            {"body_config": {"model_type": "qwen2", "layer_types": ["full_attention"] * 10**5}},
            "entries",
        ),
        (
            PyraTokPriorConfig,
            {"body_config": {"model_type": "qwen2_5_vl", "text_config": {"num_hidden_layers": HUGE}}},
            "is at most 512",
        ),
        (PyraTokTextAlignmentConfig, {"context_layers": HUGE}, "context_layers is at most 512"),
        (PyraTokTextAlignmentConfig, {"vocabulary_size": HUGE}, "vocabulary_size is at most"),
        (PyraTokTokenProjectorConfig, {"places": HUGE}, "places is at most"),
        (PyraTokTokenProjectorConfig, {"language_hidden_size": HUGE}, "language_hidden_size is at most"),
    ],
)
def test_absurd_sizes_are_refused(kind, settings, said):
    with pytest.raises((ValueError, StrictDataclassError), match=said) as refused:
        kind(**settings)
    assert len(str(refused.value)) < 400


def test_what_large_models_have_is_taken():
    body = {"model_type": "qwen2", "num_hidden_layers": 80, "rope_theta": 10**9, "max_position_embeddings": 2**20}
    body["id2label"] = {0: "zero"}
    assert PyraTokPriorConfig(body_config=body).body_config["rope_theta"] == 10**9
    assert PyraTokConfig(hidden_size=8192, lora_rank=256).hidden_size == 8192
