"""The bundled model on a folder of videos: PSNR both ways, SSIM, bits per pixel, code use, and previews from fewer levels.

    python benchmarks/reconstruction.py path/to/videos [--json figures.json] [--model folder]

The figures of the model card come from here, over the validation clips.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import torch
from measuring import print_table
from tqdm import tqdm

from pyratok import PyraTokVideoProcessor
from pyratok.modeling_pyratok.reconstruction_metrics import ClipMetrics, DatasetMetrics, psnr_of
from pyratok.pipelines.bundled_model import BUNDLED_ID
from pyratok.pipelines.model_loading import load_model


def preview_levels(num_levels: int) -> list[tuple[int, ...]]:
    """From the coarsest level alone to all but the finest: (4,), (3, 4), (2, 3, 4)."""
    return [tuple(range(first, num_levels + 1)) for first in range(num_levels, 1, -1)]


@torch.no_grad()
def evaluate(model, paths: list[Path], with_previews: bool) -> dict:
    """All figures over the clips, as plain numbers."""
    processor = PyraTokVideoProcessor()
    total = DatasetMetrics(model.config.num_levels, model.config.codebook_bits)
    previews = dict.fromkeys(preview_levels(model.config.num_levels), 0.0) if with_previews else {}
    for path in tqdm(paths, unit="clip"):
        video = processor(path)["pixel_values_videos"]
        encoded = model.encode(video)
        clip = ClipMetrics(model.config.num_levels, model.config.codebook_bits)
        clip.update_codes(encoded.video_codes)
        original = (video[0] + 1) / 2
        decoded = model.decode(encoded.video_codes, encoded.video_size).video_values[0]
        clip.update_frames(original, (decoded + 1) / 2)
        total.add(clip)
        for levels in previews:
            preview = model.decode(encoded.video_codes, encoded.video_size, levels=levels).video_values[0]
            previews[levels] += psnr_of(float(((preview + 1) / 2 - original).square().mean())) / len(paths)
    report = dataclasses.asdict(total.report())
    report["previews_psnr_clip"] = {", ".join(map(str, levels)): value for levels, value in previews.items()}
    return report


def main() -> None:
    """Measure, print, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder of videos")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--model", default=BUNDLED_ID)
    parser.add_argument("--no-previews", action="store_true", help="leave out decoding from fewer levels")
    given = parser.parse_args()
    figures = evaluate(load_model(given.model), sorted(given.folder.glob("*.mp4")), not given.no_previews)
    rows = [
        ["clips, frames", f"{figures['clips']}, {figures['frames']}"],
        ["PSNR, MSE of the clip", f"{figures['psnr_clip']:.2f} dB"],
        ["PSNR, mean over frames", f"{figures['psnr_frames']:.2f} dB"],
        ["SSIM", f"{figures['ssim']:.4f}"],
        ["bits per pixel", f"{figures['bits_per_pixel']:.4f}"],
        ["codes used per level", ", ".join(f"{100 * share:.1f}%" for share in figures["code_use"])],
        *([f"PSNR, levels {levels}", f"{value:.2f} dB"] for levels, value in figures["previews_psnr_clip"].items()),
    ]
    print_table(f"{given.model} on {given.folder.name}", ["", ""], rows)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
