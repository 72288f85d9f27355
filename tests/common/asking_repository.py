"""A tiny tokenizer with a projector and a language model: what the commands that answer questions need."""

from pathlib import Path

import torch
from tiny_causal_language import CHAT_TEMPLATE, WIDTH, save_language_model

from pyratok import PyraTokConfig, PyraTokModel, PyraTokReconstructionPipeline
from pyratok.configuration.configuration_token_projector import PyraTokTokenProjectorConfig
from pyratok.modeling_pyratok.token_projector import PyraTokTokenProjector


def save_asking_repository(folder: Path) -> Path:
    """Save it with random weights of one seed; returns `folder`."""
    torch.manual_seed(0)
    model = PyraTokModel(PyraTokConfig.tiny()).eval()
    PyraTokReconstructionPipeline(model).save_pretrained(folder)
    config = PyraTokTokenProjectorConfig(
        num_levels=model.config.num_levels,
        codebook_bits=model.config.codebook_bits,
        codebook_size=model.config.hidden_size,
        language_hidden_size=WIDTH,
        language_model=str(save_language_model(folder / "words", chat_template=CHAT_TEMPLATE)),
    )
    PyraTokTokenProjector(config).save_pretrained(folder / "projector")
    return folder
