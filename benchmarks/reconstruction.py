"""The bundled model on a folder of videos: PSNR both ways, SSIM, bits per pixel, code use, and previews from fewer levels.

    python benchmarks/reconstruction.py path/to/videos [--json figures.json] [--model folder]

The figures of the model card come from here, over the validation clips. `pyratok evaluate reconstruction` measures the
same without the previews.
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from measuring import print_table
from tqdm import tqdm

from pyratok import PyraTokModel
from pyratok.modeling_pyratok.atomic_writing import atomic_path
from pyratok.pipelines.bundled_model import BUNDLED_ID
from pyratok.pipelines.model_loading import load_model
from pyratok.training.evaluation_files import evaluation_files
from pyratok.training.reconstruction_evaluation import (
    evaluate_reconstruction,
    evaluation_record,
    json_values,
    previews,
)


def measure(model: PyraTokModel, folder: Path, with_previews: bool) -> dict:
    """All figures over the folder's clips, as `evaluation_record` gives them, with those of previews."""
    level_sets = [None, *(previews(model.config.num_levels) if with_previews else [])]
    evaluation = evaluate_reconstruction(
        model, evaluation_files(folder), level_sets, progress=partial(tqdm, unit="clip")
    )
    shown = zip(evaluation.level_sets[1:], evaluation.reports[1:], strict=True)
    return {
        **evaluation_record(evaluation, folder, model.name_or_path, model.weights_fingerprint()),
        "previews_psnr_clip": json_values({", ".join(map(str, levels)): report.psnr_clip for levels, report in shown}),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder of videos")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--model", default=BUNDLED_ID)
    parser.add_argument("--no-previews", action="store_true", help="leave out decoding from fewer levels")
    given = parser.parse_args(arguments)
    figures = measure(load_model(given.model), given.folder, not given.no_previews)
    rows = [
        ["clips, frames", f"{figures['clips']}, {figures['frames']}"],
        ["PSNR, MSE of the clip", f"{figures['psnr_clip']:.2f} dB"],
        ["PSNR, mean over frames", f"{figures['psnr_frames']:.2f} dB"],
        ["SSIM", f"{figures['ssim']:.4f}"],
        ["bits per pixel", f"{figures['bits_per_pixel']:.4f}"],
        ["codes used per level", ", ".join(f"{100 * share:.1f}%" for share in figures["code_use"])],
        ["perplexity per level", ", ".join(f"{value:,.0f}" for value in figures["perplexity"])],
        *([f"PSNR, levels {levels}", f"{value:.2f} dB"] for levels, value in figures["previews_psnr_clip"].items()),
    ]
    print_table(f"{given.model} on {given.folder.name}", ["", ""], rows)
    if given.json:
        with atomic_path(given.json) as path:
            path.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
