"""`pyratok evaluate segmentation`."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import torch
import typer

from ..modeling_pyratok.video_tokens import VideoTokens
from ..pipelines.segmentation_pipeline import PyraTokSegmentationPipeline
from ..pipelines.text_aligned_loading import load_text_aligned
from .errors_for_people import argument_errors, memory_errors
from .evaluation_output import (
    Data,
    JsonFile,
    MaxClips,
    figures_table,
    json_target,
    needed,
    not_needed,
    report,
    spread,
    write_record,
)
from .model_use import be_quiet, place
from .options import ChunkFrames, Device, Model, parse_levels
from .progress import progress_bar

if TYPE_CHECKING:
    from ..evaluation.segmentation_data import SegmentationData

Benchmark = Literal["masks", "davis-2016", "davis-2017", "youtube-vis-2021", "ovis"]


def segmentation(
    data: Data,
    benchmark: Annotated[
        Benchmark,
        typer.Option(
            help="masks: a folder with metadata.jsonl, videos and NAME.masks.npz. davis: the folder DAVIS. youtube-vis-2021, "
            "ovis: the frames' folder, with --annotations."
        ),
    ] = "masks",
    annotations: Annotated[
        str | None,
        typer.Option(
            help="YouTube-VIS and OVIS: the JSON file. DAVIS 2017: a file of referring expressions, if there is one."
        ),
    ] = None,
    ask: Annotated[
        Literal["all", "clip"],
        typer.Option(
            help="Ask every clip for all categories, as the benchmarks do, or only for those that are in it."
        ),
    ] = "all",
    same_name: Annotated[
        Literal["apart", "together"],
        typer.Option(help="Measure objects of one name each for itself, as the benchmarks do, or as one region."),
    ] = "apart",
    model: Model = "pyratok",
    levels: Annotated[str, typer.Option("--levels", "-l", help="Levels whose tokens are looked at.")] = "4",
    crf: Annotated[bool, typer.Option("--crf/--no-crf", help="Fit the masks to edges in the pictures.")] = False,
    max_clips: MaxClips = None,
    json_file: JsonFile = None,
    chunk_frames: ChunkFrames = 16,
    device: Device = None,
) -> None:
    """Ask for the names of objects and compare the masks with the true ones: J, F, and for instances mAP.

    Example: `pyratok evaluate segmentation --data DAVIS --benchmark davis-2017`
    """
    from ..evaluation.paper_figures import PAPER_ROWS, paper_table
    from ..evaluation.segmentation_evaluation import evaluate_segmentation

    chosen = parse_levels(levels)
    found = _read(benchmark, data, annotations)
    found = dataclasses.replace(found, clips=spread(found.clips, max_clips))
    with json_target(json_file) as target:
        be_quiet()
        pipeline = place(load_text_aligned(PyraTokSegmentationPipeline, model), None, device)

        segment = SegmentedOnce(pipeline, chosen, crf, chunk_frames)
        with argument_errors(), memory_errors("leave --crf out, or measure smaller or shorter clips"):
            evaluation = evaluate_segmentation(
                segment, found, ask, same_name=same_name, progress=progress_bar("segmenting")
            )
        write_record(
            target, {"benchmark": benchmark, "levels": levels, "crf": crf, **evaluation.record()}, model, data
        )
    figures = {
        "clips, frames, objects": f"{evaluation.clips:,}, {evaluation.frames:,}, {len(evaluation.objects):,}",
        "J, mean over frames": f"{evaluation.jaccard:.2%}",
        "J, whole clips": f"{evaluation.jaccard_pooled:.2%}",
        "F, boundaries": f"{evaluation.boundary:.2%}",
        "J to expect by chance": f"{evaluation.chance_jaccard:.2%}",
        **{f"J, {name}": f"{value:.2%}" for name, value in evaluation.baseline_jaccards.items()},
    }
    measured = {"J": 100 * evaluation.jaccard}
    if evaluation.average_precision is not None:
        precision = evaluation.average_precision
        measured["mAP"] = 100 * precision.ap
        figures["mAP, AP50, AP75"] = f"{precision.ap:.2%}, {precision.ap50:.2%}, {precision.ap75:.2%}"
    tables = [figures_table(f"{model} on {data}", figures)]
    if benchmark in PAPER_ROWS:
        tables.append(paper_table(benchmark, measured, f"{evaluation.clips} clips of {data}", model))
    report(tables, evaluation.left_out, json_file)


class SegmentedOnce:
    """The pipeline on frames whose tokens are made once: a clip is asked for many names, a few at a time."""

    def __init__(
        self, pipeline: PyraTokSegmentationPipeline, levels: Sequence[int], crf: bool, chunk_frames: int
    ) -> None:
        self._pipeline, self._levels, self._crf, self._chunk_frames = pipeline, levels, crf, chunk_frames
        self._frames: torch.Tensor | None = None
        self._tokens: VideoTokens | None = None

    def __call__(self, frames: torch.Tensor, names: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """uint8 (T, H, W, 3) and K names -> masks and scores (K, T, H, W)."""
        if frames is not self._frames:
            self._frames, self._tokens = frames, self._pipeline.video_tokens(frames.numpy(), self._chunk_frames)
        maps = self._pipeline.maps_of_tokens(self._tokens, list(names), self._levels)
        if not self._crf:
            scores = maps.scores()
            return maps.masks(scores), scores
        likely = self._pipeline.refine(maps, frames.numpy())
        return likely >= 0.5, likely


def _read(benchmark: str, data: str, annotations: str | None) -> "SegmentationData":
    from ..evaluation.davis import read_davis
    from ..evaluation.mask_archives import read_mask_archives
    from ..evaluation.youtube_vis import read_youtube_vis

    if benchmark == "masks":
        not_needed(annotations, benchmark, ("davis-2016", "davis-2017", "youtube-vis-2021", "ovis"))
        return read_mask_archives(data)
    if benchmark.startswith("davis"):
        return read_davis(data, year=int(benchmark[-4:]), expressions=annotations)
    return read_youtube_vis(needed(annotations, benchmark), data)
