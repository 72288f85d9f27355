"""Loading a text encoder: the bundled one, a folder, or a Hub id."""

import os
from pathlib import Path

from transformers import AutoConfig, AutoModel, AutoTokenizer

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.text_encoding import MAX_TEXT_TOKENS, TextEncoder
from .bundled_model import BUNDLED_FOLDER, BUNDLED_ID
from .model_loading import CANNOT_LOAD

ENCODER_FOLDER, TOKENIZER_FOLDER = "text_encoder", "tokenizer"
"""Where a PyraTok repository has them; any other repository has both at its root."""

WITHOUT_USE = "pooler."
"""Weights behind the last hidden state, which some repositories leave out."""


def load_text_encoder(
    id_or_folder: str | os.PathLike[str] = BUNDLED_ID, max_tokens: int = MAX_TEXT_TOKENS
) -> TextEncoder:
    """A frozen text encoder with its tokenizer; of a multimodal model the text model alone.

    Args:
        id_or_folder: `pyratok` for the bundled one; a folder or Hub id of a transformers model with its tokenizer; or the
            folder of a PyraTok repository that has `text_encoder/` and `tokenizer/`.
        max_tokens: longer texts are cut.

    Raises PyraTokError with one sentence if it cannot be loaded.
    """
    name = os.fspath(id_or_folder)
    source = BUNDLED_FOLDER if name == BUNDLED_ID else Path(name).expanduser()
    encoder = tokenizer = name
    if (source / ENCODER_FOLDER).is_dir():
        encoder, tokenizer = str(source / ENCODER_FOLDER), str(source / TOKENIZER_FOLDER)
    try:
        config = AutoConfig.from_pretrained(encoder)
        model, loading = AutoModel.from_pretrained(encoder, config=config.get_text_config(), output_loading_info=True)
        missing = sorted(name for name in loading["missing_keys"] if not name.startswith(WITHOUT_USE))
        if missing:
            raise PyraTokError(f"the text encoder {name!r} is not complete: it lacks {', '.join(missing[:3])}")
        return TextEncoder(model.requires_grad_(False), AutoTokenizer.from_pretrained(tokenizer), max_tokens)
    except CANNOT_LOAD as problem:
        reason = str(problem).strip().splitlines() or [type(problem).__name__]
        raise PyraTokError(f"the text encoder {name!r} cannot be loaded: {reason[0]}") from problem
