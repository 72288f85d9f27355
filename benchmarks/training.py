"""Training of the bundled model's shape: clips per second, share of the time spent waiting for data, and peak memory.

    python benchmarks/training.py path/to/video [--steps 40]

Each row is a run of its own process; the first steps, in which workers start, are not counted.
"""

import argparse
import json
import tempfile
from pathlib import Path

from measuring import in_own_process, print_table

from pyratok.training.recipe_reading import load_settings
from pyratok.training.trainer import train

WARMUP = 10
"""Steps that are not counted."""


def run(source: str, steps: int, changes: tuple[str, ...]) -> dict[str, float]:
    """The last line of metrics of a run: that of the steps after the first ones."""
    with tempfile.TemporaryDirectory() as folder:
        fixed = [f"data={source}", f"output_folder={folder}", "validation_split=null", "compile_model=false"]
        lengths = [f"max_steps={WARMUP + steps}", f"log_every={WARMUP}", "warmup_steps=1"]
        train(load_settings("default", [*fixed, *lengths, *changes]))
        lines = (Path(folder) / "stage_1" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines][1:]
    return {name: sum(row[name] for row in rows) / len(rows) for name in ("samples_per_second", "data_share")}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="a folder of videos with train/ inside, or shards")
    parser.add_argument("--steps", type=int, default=40)
    given = parser.parse_args()
    if given.steps % WARMUP:
        parser.error(f"--steps is a multiple of {WARMUP}, got {given.steps}")
    runs = {
        "no worker": ("workers=0",),
        "1 worker": ("workers=1",),
        "2 workers": ("workers=2",),
        "1 worker, float32": ("workers=1", "mixed_precision=no"),
        "1 worker, gradient checkpointing": ("workers=1", "gradient_checkpointing=true"),
        "1 worker, clips of 33 frames": ("workers=1", "frame_counts=[33]"),
    }
    rows = []
    for name, changes in runs.items():
        figures, megabytes = in_own_process(run, given.source, given.steps, changes)
        rows.append(
            [name, f"{figures['samples_per_second']:.2f}", f"{figures['data_share']:.1%}", f"{megabytes:,.0f}"]
        )
    print_table(
        "the bundled model's shape, 295,000 pixels a step", ["", "clips/s", "waiting for data", "peak MB"], rows
    )


if __name__ == "__main__":
    main()
