"""Training runs of a few steps with the smallest model, on the data of `tests/training/conftest.py`."""

import json
from pathlib import Path

from pyratok.configuration.configuration_pyratok import TINY_VAE
from pyratok.training.settings import TrainingSettings

TINY_MODEL = {
    "backbone_config": dict(TINY_VAE),
    "level_stages": [1, 3],
    "level_strides": [[4, 8], [4, 16]],
    "codebook_bits": 6,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "text_hidden_size": 4,
    "text_encoder": None,
    "lora_rank": 0,
    "freeze_backbone": False,
    "level_dropout": 0.5,
}

PRIOR = {
    "body_config": {
        "model_type": "qwen2",
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
    },
    "head_size": 4,
    "group_bits": 3,
}
LANGUAGE = {
    "prior_loss_weight": 1.5,
    "prior_config": PRIOR,
    "contrastive_loss_weight": 0.5,
    "text_conditioned_loss_weight": 0.01,
    "text_codebook_loss_weight": 0.1,
    "caption_dropout": 0.3,
    "validation_split": None,
}

TIMINGS = ("samples_per_second", "data_share")


def settings_for(data_folder: Path, output: Path, **changes) -> TrainingSettings:
    values = {
        "output_folder": str(output),
        "data": str(data_folder / "video"),
        "image_data": str(data_folder / "images"),
        "image_share": 0.3,
        "model_config": TINY_MODEL,
        "frame_counts": [5],
        "sides": [32],
        "batch_pixels": 2 * 5 * 32 * 32,
        "workers": 0,
        "max_steps": 4,
        "warmup_steps": 2,
        "log_every": 1,
        "validate_every": 3,
        "validation_clips": 2,
        "sheet_clips": 2,
    }
    return TrainingSettings(**{**values, **changes})


def rows_of(output: Path) -> list[dict]:
    rows = [json.loads(line) for line in (output / "stage_1" / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in TIMINGS} for row in rows]
