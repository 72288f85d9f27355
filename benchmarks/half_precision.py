"""The share of bits that bfloat16 and float16 flip against float32, per level, and the PSNR that is lost, on real clips.

python benchmarks/half_precision.py path/to/videos
"""

import argparse
from pathlib import Path

import torch
from measuring import print_table
from models import small_model

from pyratok import PyraTokVideoProcessor
from pyratok.modeling_pyratok.reconstruction_metrics import psnr_of

CLIPS, FRAMES, SIDE = 4, 9, 96
"""Small, because a CPU takes many times as long in half precision."""


@torch.no_grad()
def compare(dtype: torch.dtype, videos: list[torch.Tensor]) -> list[str]:
    """A row of the table: flips per level, PSNR in float32 and in `dtype`."""
    reference, half = small_model(), small_model().to(dtype)
    flips, bits = [0] * reference.config.num_levels, [0] * reference.config.num_levels
    psnr = {"float32": 0.0, "half": 0.0}  # mean over the clips
    for video in videos:
        one, other = reference.encode(video), half.encode(video)
        for level, (a, b) in enumerate(zip(one.video_codes, other.video_codes, strict=True)):
            different = (a ^ b).unsqueeze(-1) >> torch.arange(reference.config.codebook_bits) & 1
            flips[level] += int(different.sum())
            bits[level] += different.numel()
        for name, model, encoded in (("float32", reference, one), ("half", half, other)):
            decoded = model.decode(encoded.video_codes, encoded.video_size).video_values.float()
            psnr[name] += psnr_of(float(((decoded - video) / 2).square().mean())) / len(videos)
    return [
        str(dtype).removeprefix("torch."),
        *(f"{100 * f / b:.3f}%" for f, b in zip(flips, bits, strict=True)),
        *(f"{value:.3f}" for value in psnr.values()),
    ]


def middle(video: torch.Tensor) -> torch.Tensor:
    """The middle of every frame, at most SIDE pixels high and wide."""
    height, width = video.shape[-2:]
    top, left = max(height - SIDE, 0) // 2, max(width - SIDE, 0) // 2
    return video[..., top : top + SIDE, left : left + SIDE]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder of videos")
    paths = sorted(parser.parse_args().folder.glob("*.mp4"))
    paths = paths[:: max(len(paths) // CLIPS, 1)][:CLIPS]
    processor = PyraTokVideoProcessor()
    videos = [middle(processor(path).pixel_values_videos[:, :FRAMES]) for path in paths]
    rows = [compare(dtype, videos) for dtype in (torch.bfloat16, torch.float16)]
    levels = [f"level {level}" for level in range(1, len(rows[0]) - 2)]
    title = f"share of bits that flip against float32; {len(videos)} clips of {FRAMES} x {SIDE} x {SIDE}"
    print_table(title, ["", *levels, "PSNR float32", "PSNR half"], rows)


if __name__ == "__main__":
    main()
