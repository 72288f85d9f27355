"""Loading a text encoder: the bundled one, a folder, or a Hub id."""

import os
from pathlib import Path

from transformers import AutoConfig, AutoModel, AutoTokenizer

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.text_encoding import MAX_TEXT_TOKENS, TextEncoder
from .bundled_model import BUNDLED_FOLDER, BUNDLED_ID
from .model_loading import CANNOT_LOAD, complete_model, reason_of

ENCODER_FOLDER, TOKENIZER_FOLDER = "text_encoder", "tokenizer"
"""Where a PyraTok repository has them; any other repository has both at its root."""


def load_text_encoder(
    id_or_folder: str | os.PathLike[str] = BUNDLED_ID, max_tokens: int = MAX_TEXT_TOKENS
) -> TextEncoder:
    """A frozen text encoder with its tokenizer; of a multimodal model the text model alone, of T5 the encoder.

    Args:
        id_or_folder: `pyratok` for the bundled one; a folder or Hub id of a transformers model with its tokenizer; or the
            folder of a PyraTok repository that has `text_encoder/` and `tokenizer/`.
        max_tokens: longer texts are cut.

    Raises PyraTokError with one sentence if it cannot be loaded.
    """
    name = os.fspath(id_or_folder)
    source = BUNDLED_FOLDER if name == BUNDLED_ID else Path(name).expanduser()
    encoder = tokenizer = str(source) if source.is_dir() else name
    if (source / ENCODER_FOLDER).is_dir():
        encoder, tokenizer = str(source / ENCODER_FOLDER), str(source / TOKENIZER_FOLDER)
    try:
        config = AutoConfig.from_pretrained(encoder).get_text_config(encoder=True)
        loaded = AutoTokenizer.from_pretrained(tokenizer)
    except CANNOT_LOAD as problem:
        raise PyraTokError(f"the text encoder {name!r} cannot be loaded: {reason_of(problem)}") from problem
    model = complete_model(AutoModel, name, encoder, config=config)
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    return TextEncoder(model.requires_grad_(False), loaded, max_tokens)
