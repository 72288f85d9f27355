"""The dense CRF: time and memory against pixels, and how much it mends masks that went through token cells and noise.

    python benchmarks/crf.py path/to/mask_archives [--frames 48] [--tuned blackswan camel car-roundabout] [--search]

The folder is one that `read_mask_archives` reads. Its true masks are averaged over token cells of 4 frames x 16 x 16 pixels,
become logits from -2 to 2, get noise of several strengths, and are enlarged as scores of tokens would be. Without noise this is
the best that a perfect model of that token grid could do. Noise is either of each cell by itself, which is easy to average
away, or goes together over blobs of about 5 x 5 x 5 cells, as the mistakes of a model do.

The defaults of `DenseCrfSettings` were chosen on the clips of `--tuned`; they are reported apart from the others. `--search`
shows what half and twice each default would do there, at half the resolution. Times are CPU seconds of one thread, so that
other work on the machine does not count.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from measuring import in_own_process, print_table
from torch.nn.functional import avg_pool3d, interpolate, pad
from tqdm import tqdm

from pyratok.evaluation.mask_archives import read_mask_archives
from pyratok.evaluation.segmentation_data import SegmentationClip
from pyratok.evaluation.segmentation_metrics import jaccard_per_frame
from pyratok.modeling_pyratok.dense_crf import DenseCrfSettings, refine_masks
from pyratok.modeling_pyratok.grid_resampling import pool_to_grid, repeat_in_time
from pyratok.modeling_pyratok.token_grids import pad_space, padded_frames

CELL = (4, 16)
"""Frames and pixels per token."""

NOISES = ((0.0, False), (1.0, False), (2.0, False), (3.0, False), (1.0, True), (2.0, True), (3.0, True))
"""(standard deviation in units of a logit, whether it goes together over blobs) of the disturbed masks."""

SIZES = ((16, 60, 106), (32, 90, 160), (48, 120, 213), (48, 180, 320), (64, 240, 426))
"""(T, H, W) that are timed."""

SEARCHED = (
    "appearance_space",
    "appearance_time",
    "appearance_colour",
    "appearance_weight",
    "smoothness_space",
    "smoothness_time",
    "smoothness_weight",
    "iterations",
)


def token_scores(mask: torch.Tensor, noise: float, in_blobs: bool, seed: int = 0) -> torch.Tensor:
    """A bool mask (T, H, W) as probabilities (T, H, W) that a noisy model with cells of 4 x 16 x 16 would give."""
    frames, height, width = mask.shape
    padded = torch.cat([mask, mask[-1:].expand(padded_frames(frames) - frames, -1, -1)])
    cells = pool_to_grid(
        pad_space(padded, CELL[1])[None, None].float(), (1, 1), CELL, is_first=True
    )  # (1, 1, t, h, w)
    errors = torch.randn(cells.shape, generator=torch.Generator().manual_seed(seed))
    if in_blobs:
        errors = avg_pool3d(pad(errors, (2,) * 6, mode="replicate"), 5, stride=1)
        errors = errors / errors.std()
    logits = (4 * cells - 2 + noise * errors)[0]  # (1, t, h, w)
    enlarged = interpolate(logits, scale_factor=CELL[1], mode="bilinear")[None]
    return torch.sigmoid(repeat_in_time(enlarged, CELL[0], is_first=True)[0, 0, :frames, :height, :width])


def mean_jaccard(probability: torch.Tensor, truth: torch.Tensor) -> float:
    """Mean over frames of J of (T, H, W) at a threshold of one half."""
    return float(jaccard_per_frame((probability > 0.5).numpy(), truth.numpy()).mean())


def clip_jaccards(clip: SegmentationClip, frames: int, ways: Sequence[DenseCrfSettings | None]) -> torch.Tensor:
    """J (ways, noises), mean over the objects of the clip's first frames; None is no CRF."""
    pixels = clip.frames()[:frames]
    rows = []
    for thing in clip.objects:
        truth = torch.from_numpy(thing.masks()[:frames])
        scores = torch.stack([token_scores(truth, noise, in_blobs) for noise, in_blobs in NOISES])  # (noises, T, H, W)
        refined = [scores if way is None else refine_masks(scores, pixels, way) for way in ways]
        rows.append([[mean_jaccard(one, truth) for one in way] for way in refined])
    return torch.tensor(rows).mean(0)


def timed(size: tuple[int, int, int], folder: Path) -> float:
    """CPU seconds for one mask on the folder's first clip, looped and averaged down to `size`, worked on as it is."""
    frames, height, width = size
    pixels = read_mask_archives(folder).clips[0].frames()
    pixels = pixels[torch.arange(frames) % len(pixels)].permute(0, 3, 1, 2)
    pixels = torch.cat([interpolate(frame[None].float(), (height, width), mode="area") for frame in pixels])
    pixels = pixels.permute(0, 2, 3, 1).to(torch.uint8)
    probability = torch.rand(1, *size, generator=torch.Generator().manual_seed(0))
    started = time.process_time()
    refine_masks(probability, pixels, DenseCrfSettings(frame_pixels=height * width, window_frames=frames))
    return time.process_time() - started


def show_times(folder: Path) -> None:
    """Print seconds and the memory of a process of its own for each size."""
    rows = []
    for size in tqdm(SIZES, unit="size"):
        seconds, megabytes = in_own_process(timed, size, folder)
        pixels = size[0] * size[1] * size[2]
        cells = [f"{pixels:,}", f"{seconds:.2f}", f"{1e6 * seconds / pixels:.2f}", f"{megabytes:.0f}"]
        rows.append([" x ".join(map(str, size)), *cells])
    print_table("One mask", ["size", "pixels", "seconds", "microseconds per pixel", "peak MB"], rows)


def show_jaccards(title: str, clips: Sequence[SegmentationClip], frames: int) -> None:
    """Print J before and after, for each strength of noise and, over all of them, for each clip."""
    ways = (None, DenseCrfSettings(appearance_weight=0), DenseCrfSettings())
    figures = torch.stack(
        [clip_jaccards(clip, frames, ways) for clip in tqdm(clips, unit="clip")]
    )  # (clips, ways, noises)
    columns = ["", "without CRF", "smoothness alone", "with CRF"]
    kinds = [f"noise {noise:g}, {'in blobs' if in_blobs else 'by cell'}" for noise, in_blobs in NOISES]
    rows = [[kind, *_percent(figures[..., at].mean(0))] for at, kind in enumerate(kinds)]
    rows += [[clip.name, *_percent(figures[at].mean(1))] for at, clip in enumerate(clips)]
    print_table(f"Jaccard, {title}", columns, [*rows, ["mean", *_percent(figures.mean((0, 2)))]])


def show_search(clips: Sequence[SegmentationClip], frames: int) -> None:
    """Print J with each setting at half and at twice its default, over the clips at half the resolution."""
    default = DenseCrfSettings(frame_pixels=2**14)
    ways, names = [default], ["defaults"]
    for name in SEARCHED:
        for factor in (0.5, 2):
            value = type(getattr(default, name))(getattr(default, name) * factor)
            ways.append(replace(default, **{name: value}))
            names.append(f"{name} {value:g}")
    figures = torch.stack([clip_jaccards(clip, frames, ways) for clip in tqdm(clips, unit="clip")]).mean(0)
    columns = ["", "mean", *(f"{noise:g} {'blobs' if in_blobs else 'cells'}" for noise, in_blobs in NOISES)]
    rows = [[name, *_percent(figures[at].mean()[None]), *_percent(figures[at])] for at, name in enumerate(names)]
    print_table("Jaccard around the defaults", columns, rows)


def _percent(shares: torch.Tensor) -> list[str]:
    return [f"{100 * share:.1f}" for share in shares.tolist()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder of mask archives")
    parser.add_argument("--frames", type=int, default=48, help="of each clip, from its start")
    parser.add_argument("--tuned", nargs="*", default=["blackswan", "camel", "car-roundabout"], help="reported apart")
    parser.add_argument("--search", action="store_true", help="show what other settings do on the tuned clips instead")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    clips = read_mask_archives(given.folder).clips
    tuned = [clip for clip in clips if clip.name.split(".")[0] in given.tuned]
    others = [clip for clip in clips if clip not in tuned]
    if given.search:
        show_search(tuned, given.frames)
        return
    show_times(given.folder)
    for title, some in (("clips that the defaults were chosen on", tuned), ("other clips", others)):
        if some:
            show_jaccards(title, some, given.frames)


if __name__ == "__main__":
    main()
