"""A simulated benchmark: clips from VizDoom with exact masks, times, captions and answers, the same for everyone.

    python benchmarks/simulated_scenes.py FOLDER --clips 40 --seed 0 --split validation
    python benchmarks/simulated_scenes.py FOLDER --clips 150 --seed 0 --split train

It needs VizDoom (`pip install ".[simulate]"`) and no screen. The first command writes five parts of 40 clips to measure with
(captions/validation, segmentation, localization, classification and questions), the second three parts of 150 clips to train on
(captions/train, training/classification and training/questions); without --split both are written. The formats are those of
simulated_writing.py. Whatever the seeds, no clip of one part is a clip of another. Figures on these clips are to be called
simulated.
"""

import argparse
import sys
import time
from pathlib import Path

from simulated_building import TRAIN_PARTS, VALIDATION_PARTS
from simulated_recording import load_vizdoom
from simulated_writing import write_part

from pyratok import PyraTokError
from pyratok.commands.progress import progress_bar

SPLITS = {"train": TRAIN_PARTS, "validation": VALIDATION_PARTS, None: (*TRAIN_PARTS, *VALIDATION_PARTS)}


def main() -> None:
    """Write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "folder", type=Path, help="receives the parts; what it holds of them already is not overwritten"
    )
    parser.add_argument("--clips", type=int, required=True, help="of each part")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--split", choices=("train", "validation"), help="only these parts")
    given = parser.parse_args()
    if given.clips < 1:
        parser.error(f"--clips must be 1 or more, got {given.clips}")
    try:
        load_vizdoom()
        for part in SPLITS[given.split]:
            started = time.perf_counter()
            write_part(given.folder, part, given.clips, given.seed, progress_bar(part))
            print(f"{part}: {given.clips} clips in {time.perf_counter() - started:.0f} s")
    except PyraTokError as problem:
        sys.stderr.write(f"Error: {problem}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
