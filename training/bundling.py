"""Writes the bundled model: `python -m pyratok.training.bundling runs/default/model [figures.json]`.

The weights are stored in float16, half the bytes; the configuration says float32, so they are computed with in float32.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file, save_file

from ..modeling_pyratok.errors import PyraTokError
from ..pipelines.bundled_model import BUNDLED_FOLDER
from ..pipelines.model_loading import load_model
from ..pipelines.reconstruction_pipeline import PyraTokReconstructionPipeline
from .checkpoints import write_folder

CARD = "README.md"
FIGURES = "evaluation.json"
WEIGHTS = "model.safetensors"
MAX_BYTES = 20_000_000


def bundle(source: Path, target: Path = BUNDLED_FOLDER, figures: Path | None = None) -> None:
    """Put the model of folder `source` in the place of that in `target`, with its measured `figures` (JSON).

    The card in `target` stays. Raises PyraTokError, and leaves `target` as it was, if the source is not a complete
    model, a weight does not fit into float16, or the folder would be larger than 20 MB.
    """
    model = load_model(source)

    def write(folder: Path) -> None:
        PyraTokReconstructionPipeline(model).save_pretrained(folder)
        _halve(folder / WEIGHTS)
        if figures is not None:
            shutil.copyfile(figures, folder / FIGURES)
        if (target / CARD).is_file():
            shutil.copyfile(target / CARD, folder / CARD)
        load_model(folder)  # refuses what is not complete
        size = sum(path.stat().st_size for path in folder.iterdir())
        if size > MAX_BYTES:
            raise PyraTokError(f"the bundled model takes {size / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:.0f} MB")

    write_folder(target, write)


def _halve(path: Path) -> None:
    """Rewrite the floats of a weights file as float16. Raises PyraTokError if one does not fit."""
    weights = {name: value.half() if value.is_floating_point() else value for name, value in load_file(path).items()}
    broken = [name for name, value in weights.items() if not value.isfinite().all()]
    if broken:
        raise PyraTokError(f"the weights {', '.join(broken[:3])} do not fit into float16")
    path.unlink()  # the tensors may still be mapped from it
    save_file(weights, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors lets nobody but the owner read


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code, 2 for a clear error."""
    parser = argparse.ArgumentParser(prog="python -m pyratok.training.bundling", description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the folder of a saved model")
    parser.add_argument("figures", type=Path, nargs="?", help="a JSON file with what was measured of it")
    given = parser.parse_args(arguments)
    try:
        bundle(given.source, figures=given.figures)
    except PyraTokError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
