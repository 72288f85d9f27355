"""Which weights figures were measured of: those of another tokenizer are not this model's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.modeling_pyratok import PyraTokModel

WEIGHTS = "weights_fingerprint"
"""In a file of figures: `PyraTokModel.weights_fingerprint` of the tokenizer that they are of."""

WITHOUT_TOKENIZER = ("text_encoder",)
"""Figures that no tokenizer has a part in."""


def own_figures(folder: Path, figures: Mapping[str, Any]) -> dict[str, Any]:
    """What `read_figures` found in the folder of a model, without the fingerprints.

    Raises PyraTokError if a file is of other weights, or does not say of which, or if the model cannot be loaded.
    """
    measured = {name: found for name, found in figures.items() if found is not None and name not in WITHOUT_TOKENIZER}
    if not measured:
        return dict(figures)
    try:
        model = PyraTokModel.from_pretrained(folder, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError) as problem:
        raise PyraTokError(f"the model {str(folder)!r} cannot be loaded: {problem}") from problem
    for name, found in measured.items():
        file = str(folder / f"{name}.json")
        if WEIGHTS not in found:
            raise PyraTokError(
                f"{file!r} does not say which weights it was measured of, with {WEIGHTS!r}: measure anew with the command "
                "that writes it, or remove the file"
            )
        if not model.has_fingerprint(found[WEIGHTS]):
            raise PyraTokError(
                f"{file!r} was measured of other weights than those beside it; measure these, with the command that writes "
                "it, or remove the file"
            )
    return {
        name: {key: value for key, value in found.items() if key != WEIGHTS} if name in measured else found
        for name, found in figures.items()
    }
