"""Writes the bundled model: `python -m pyratok.hub_cards.bundling runs/default/model [figures.json]`.

The weights are stored in float16, half the bytes; the configuration says float32, so they are computed with in float32.
"""

import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..pipelines.bundled_model import BUNDLED_FOLDER
from ..pipelines.reconstruction_pipeline import PyraTokReconstructionPipeline

WEIGHTS = "model.safetensors"
MAX_BYTES = 20_000_000


def bundle(source: Path, target: Path = BUNDLED_FOLDER, figures: Path | None = None) -> None:
    """Write the model of folder `source` into `target`, beside the card that is there, with its measured figures.

    Raises PyraTokError if a weight does not fit into float16, or the folder would be larger than 20 MB.
    """
    model = PyraTokModel.from_pretrained(source, dtype=torch.float32).eval()
    PyraTokReconstructionPipeline(model).save_pretrained(target)
    weights = {name: tensor.half() for name, tensor in load_file(target / WEIGHTS).items()}
    broken = [name for name, tensor in weights.items() if not tensor.isfinite().all()]
    if broken:
        raise PyraTokError(f"the weights {', '.join(broken[:3])} do not fit into float16")
    save_file(weights, target / WEIGHTS, metadata={"format": "pt"})
    if figures is not None:
        shutil.copyfile(figures, target / "evaluation.json")
    size = sum(path.stat().st_size for path in target.iterdir())
    if size > MAX_BYTES:
        raise PyraTokError(f"the bundled model takes {size / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:.0f} MB")


if __name__ == "__main__":
    bundle(Path(sys.argv[1]), figures=Path(sys.argv[2]) if len(sys.argv) > 2 else None)
