"""Compute what the examples of the first tab show, so that they load at once: `python make_examples.py CLIP_FOLDER`.

To be run again when the model's weights change; a test notices if it was not.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from clip_reading import read_clip
from clip_reconstruction import reconstruct
from reconstruction_tab import EXAMPLE_NAMES, EXAMPLES
from shared_models import shared_models


def main(clips: Path) -> None:
    """Write `examples/NAME/` for each of the names, of the clip in `clips` whose name starts with it."""
    for name in EXAMPLE_NAMES:
        path = next(clips.glob(f"{name}_*.mp4"))
        folder = EXAMPLES / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        result = reconstruct(shared_models().tokenizer, read_clip(str(path)), name, folder, lambda share, what: None)
        replace(result, timing="Computed beforehand.").save(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
