"""Whether the pipeline can learn at all: a recipe on 20 short clips, measured on these same clips.

    python benchmarks/overfit.py path/to/video run_folder [--steps 1500]

The centre clips of 20 training files, cut to what the recipe trains on, so that every epoch is these pixels and no others. The
run begins with the bundled model, and goes on where it was stopped. This figure says nothing about other videos.
"""

import argparse
import json
from pathlib import Path

from measuring import print_table

from pyratok import write_video
from pyratok.training.checkpoints import write_folder
from pyratok.training.clip_buckets import ClipBucket
from pyratok.training.data_sources import open_rows
from pyratok.training.fixed_clips import fixed_clips
from pyratok.training.recipe_reading import load_settings
from pyratok.training.trainer import train

CLIPS, SIZE = 20, (9, 64, 64)

CHANGES = (
    "model_folder=pyratok",
    "optimizer=muon",
    "learning_rate=7e-4",
    "warmup_steps=50",
    "resized_share=0",
    "flip_share=0",
    "validation_split=train",
    f"validation_clips={CLIPS}",
    f"validation_frames={SIZE[0]}",
    f"validation_side={SIZE[1]}",
    "validate_every=250",
    "average_decay=0.99",
    "model_config.l1_loss_weight=0",
    "model_config.l2_loss_weight=0",
    "model_config.log_l2_loss_weight=0.02",
    "model_config.ssim_loss_weight=0",
    "model_config.level_dropout=0",
)


def cut_clips(source: str, folder: Path) -> None:
    """Write the clips as videos, once."""
    if folder.is_dir():
        return
    clips = fixed_clips(open_rows(source, "train"), CLIPS, ClipBucket(*SIZE, 1))  # uint8 (N, T, H, W, 3)

    def write(unfinished: Path) -> None:
        (unfinished / "train").mkdir()
        for number, clip in enumerate(clips):
            write_video(unfinished / "train" / f"clip_{number:02}.mkv", clip, 24)

    write_folder(folder, write)


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="a folder of videos with train/ inside, or shards")
    parser.add_argument("folder", type=Path, help="receives the clips and the run")
    parser.add_argument("--steps", type=int, default=1500)
    given = parser.parse_args()
    cut_clips(given.source, given.folder / "clips")
    places = (f"data={given.folder / 'clips'}", f"output_folder={given.folder / 'run'}", f"max_steps={given.steps}")
    train(load_settings("default", [*places, *CHANGES]))
    lines = (given.folder / "run" / "stage_1" / "metrics.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["kind"] == "validation"]
    title = f"the default recipe on {CLIPS} clips of {' x '.join(map(str, SIZE))}, measured on these clips"
    print_table(title, ["step", "PSNR, dB"], [[str(row["step"]), f"{row['psnr']:.2f}"] for row in rows])


if __name__ == "__main__":
    main()
