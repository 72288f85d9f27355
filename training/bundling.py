"""Writes the bundled model: `python -m pyratok.training.bundling runs/default/model [figures.json] [--curves curves.png]`.

What belongs to the model and lies beside it goes with it: a prior and a text alignment, as stages 2 and 3 leave them, and a
token projector. The weights are stored in float16, half the bytes; the configuration says float32, so they are computed with in
float32.
"""

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file, save_file

from ..modeling_pyratok.errors import PyraTokError, system_reason
from ..modeling_pyratok.text_alignment import PyraTokTextAlignment
from ..modeling_pyratok.token_projector import PyraTokTokenProjector
from ..pipelines.bundled_model import BUNDLED_FOLDER, BUNDLED_ID
from ..pipelines.model_loading import load_component, load_model
from ..pipelines.question_answering_pipeline import PROJECTOR
from ..pipelines.reconstruction_pipeline import PyraTokReconstructionPipeline
from ..pipelines.text_encoder_loading import ENCODER_FOLDER, TOKENIZER_FOLDER
from ..pipelines.text_to_video_loading import ALIGNMENT, PRIOR, assembled_text_to_video, component_folder
from .checkpoints import write_folder

CARD = "README.md"
FIGURES = "evaluation.json"
CURVES = "curves.png"
WEIGHTS = "model.safetensors"
KEPT_FOLDERS = (ENCODER_FOLDER, TOKENIZER_FOLDER)
"""Components beside the tokenizer, which do not change with it; all others do, and old ones go."""

BESIDE = {ALIGNMENT: PyraTokTextAlignment, PROJECTOR: PyraTokTokenProjector}
"""What no pipeline saves that is bundled with the tokenizer, by folder."""

MAX_BYTES = 20_000_000
"""Of the tokenizer with its card, and again of what lies beside it but for the text encoder."""

LINK = re.compile(r"\]\(([^)\s#]+)")
"""The target of a link or picture in Markdown, without what it points to within a file."""


def bundle(
    source: Path, target: Path = BUNDLED_FOLDER, figures: Path | None = None, curves: Path | None = None
) -> None:
    """Put the model of folder `source` in the place of that in `target`.

    Its measured `figures` (JSON) and the `curves` of its training (PNG) go with it. The card in `target` stays, and so do
    the text encoder and what the card links to, where that is not new. Raises PyraTokError, and leaves `target` as it was,
    if the source is not a complete model, a weight does not fit into float16, the card links to a file that is not there, or
    the tokenizer, or what lies beside it but for the text encoder, would be larger than 20 MB.
    """
    prior = component_folder(source, PRIOR)
    if prior is None:
        pipeline = PyraTokReconstructionPipeline(load_model(source))
    else:
        pipeline = assembled_text_to_video(source, prior)
        if (encoder := pipeline.prior.config.text_encoder) != BUNDLED_ID:
            raise PyraTokError(
                f"the prior was trained with the text encoder {encoder!r}, and {BUNDLED_ID!r} is the bundled one"
            )
    found = {name: component_folder(source, name) for name in BESIDE}
    beside = {name: load_component(BESIDE[name], folder) for name, folder in found.items() if folder is not None}

    def write(folder: Path) -> None:
        pipeline.save_pretrained(folder)
        for name, component in beside.items():
            component.save_pretrained(folder / name)
        for name in (".", PRIOR, *BESIDE):
            if (folder / name / WEIGHTS).is_file():
                _halve(folder / name / WEIGHTS)
        for file, name in ((figures, FIGURES), (curves, CURVES)):
            if file is not None:
                _copy(file, folder / name)
        if (target / CARD).is_file():
            _copy(target / CARD, folder / CARD)
            _keep_linked(target, folder)
        load_model(folder)  # refuses what is not complete
        for name in KEPT_FOLDERS:
            if (target / name).is_dir():
                # What the pipeline saved is the same but for how it was saved.
                shutil.rmtree(folder / name, ignore_errors=True)
                shutil.copytree(target / name, folder / name)
        others = [path for name in (PRIOR, *BESIDE) for path in (folder / name).glob("*")]
        for what, paths in (("model", folder.glob("*.*")), ("prior with what lies beside", others)):
            if (size := sum(path.stat().st_size for path in paths)) > MAX_BYTES:
                raise PyraTokError(f"the bundled {what} takes {size / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:.0f} MB")

    write_folder(target, write)


def _copy(file: Path, copy: Path) -> None:
    try:
        shutil.copyfile(file, copy)
    except OSError as error:
        raise PyraTokError(f"{str(file)!r} cannot be copied: {system_reason(error)}") from error


def _keep_linked(old: Path, folder: Path) -> None:
    """Copy the files beside the card that it links to from `old`, where they are not new. Raises PyraTokError."""
    links = LINK.findall((folder / CARD).read_text("utf-8"))
    for name in (link for link in links if ":" not in link):  # others have an address
        if not (folder / name).is_file() and Path(name).name == name and (old / name).is_file():
            _copy(old / name, folder / name)
        if not (folder / name).is_file():
            raise PyraTokError(
                f"the card links to {name!r}, which is not beside it; add the file, or mend {old / CARD}"
            )


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
    parser.add_argument("--curves", type=Path, help="a PNG of the curves of its training")
    given = parser.parse_args(arguments)
    try:
        bundle(given.source, figures=given.figures, curves=given.curves)
    except PyraTokError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
