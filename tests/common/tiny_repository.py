"""A repository with every part that PyraTok has, tiny and of the same random weights every time."""

from pathlib import Path
from typing import Any

import torch
from tiny_causal_language import CHAT_TEMPLATE, WIDTH, language_tokenizer, tiny_language_model
from tiny_language import tiny_alignment
from tiny_text import byte_tokenizer, tiny_text_model

from pyratok import (
    PyraTokConfig,
    PyraTokModel,
    PyraTokPrior,
    PyraTokPriorConfig,
    PyraTokTextToVideoPipeline,
    PyraTokTokenProjector,
    PyraTokTokenProjectorConfig,
)
from pyratok.modeling_pyratok.lora import lora_layers
from pyratok.modeling_pyratok.packed_weights import PackedWeightsConfig, pack_weights


def tiny_text_to_video(seed: int = 0) -> PyraTokTextToVideoPipeline:
    """A pipeline whose text encoder has packed weights, as the bundled one."""
    torch.manual_seed(seed)
    model = PyraTokModel(PyraTokConfig.tiny()).eval()
    prior = PyraTokPrior(PyraTokPriorConfig.tiny()).eval()
    packing = PackedWeightsConfig(linear_bits=6, linear_group=12, embedding_bits=4, embedding_group=12)
    encoder = pack_weights(tiny_text_model(), packing)
    return PyraTokTextToVideoPipeline(model, prior, encoder, byte_tokenizer())


def save_tiny_repository(folder: Path, language_model: str, **options: Any) -> None:
    """All of it: what draws videos, what compares them with texts, and what hands them to a language model."""
    pipeline = tiny_text_to_video()
    pipeline.save_pretrained(folder, **options)
    tiny_alignment().save_pretrained(folder / "alignment")
    config = pipeline.vq_model.config
    sizes = {
        "num_levels": config.num_levels,
        "codebook_bits": config.codebook_bits,
        "codebook_size": config.hidden_size,
    }
    settings = {"hidden_size": 16, "language_hidden_size": WIDTH, "embedding_rms": 0.3, "places": 2, "moments": 2}
    owner = {"language_model": language_model, "weights_fingerprint": pipeline.vq_model.weights_fingerprint()}
    torch.manual_seed(0)
    PyraTokTokenProjector(PyraTokTokenProjectorConfig(**sizes, **settings, **owner)).save_pretrained(
        folder / "projector"
    )


def adapted(seed: int, **options: Any) -> PyraTokModel:
    """The same tiny model every time, but for its LoRA."""
    torch.manual_seed(0)
    model = PyraTokModel(PyraTokConfig.tiny(**options)).eval()
    torch.manual_seed(seed)
    with torch.no_grad():
        for _, layer in lora_layers(model):
            layer.lora_A["default"].weight.normal_()
            layer.lora_B["default"].weight.normal_(0, 0.1)
    return model


def push_language_model(repo_id: str) -> None:
    """A causal language model that sees tokens through the projector."""
    tiny_language_model().push_to_hub(repo_id)
    language_tokenizer(CHAT_TEMPLATE).push_to_hub(repo_id)
