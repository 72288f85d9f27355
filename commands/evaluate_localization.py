"""`pyratok evaluate localization`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..pipelines.action_localization_pipeline import PyraTokActionLocalizationPipeline, Segment
from ..pipelines.text_aligned_loading import load_text_aligned
from .errors_for_people import argument_errors
from .evaluation_output import (
    Data,
    JsonFile,
    MaxClips,
    absent,
    figures_table,
    json_target,
    report,
    spread,
    write_record,
)
from .model_use import be_quiet, place
from .options import ChunkFrames, Device, Model
from .progress import progress_bar

CHANCE_SEED = 0


def localization(
    data: Data,
    annotations: Annotated[
        str,
        typer.Option(
            "--annotations", help="activitynet: the JSON file. thumos14: the folder of CLASS_test.txt files."
        ),
    ],
    benchmark: Annotated[Literal["activitynet", "thumos14"], typer.Option(help="Whose format it is.")] = "activitynet",
    subset: Annotated[
        str | None,
        typer.Option(help="Default: validation of ActivityNet, whose test set is not published; test of THUMOS14."),
    ] = None,
    model: Model = "pyratok",
    level: Annotated[int, typer.Option("--level", "-l", help="Level whose tokens are compared with the text.")] = 1,
    window: Annotated[int, typer.Option("--window", min=1, help="Features over which scores are averaged.")] = 25,
    segments: Annotated[
        int, typer.Option("--segments", min=1, help="So many of the longest segments of each class.")
    ] = 1,
    max_clips: MaxClips = None,
    json_file: JsonFile = None,
    chunk_frames: ChunkFrames = 16,
    device: Device = None,
) -> None:
    """Look for every class of action in every video and compare with the true times: mAP at the published overlaps.

    Example: `pyratok evaluate localization --data videos --annotations activity_net.v1-3.min.json`
    """
    from ..evaluation.activitynet import read_activitynet
    from ..evaluation.localization_baselines import RandomSegments, WholeVideo
    from ..evaluation.localization_evaluation import evaluate_localization
    from ..evaluation.localization_metrics import ACTIVITYNET_THRESHOLDS, THUMOS14_THRESHOLDS
    from ..evaluation.paper_figures import paper_table
    from ..evaluation.thumos14 import read_thumos14

    with argument_errors():
        if benchmark == "activitynet":
            found, thresholds = read_activitynet(annotations, data, subset or "validation"), ACTIVITYNET_THRESHOLDS
        else:
            found, thresholds = read_thumos14(annotations, data, subset or "test"), THUMOS14_THRESHOLDS
    found = dataclasses.replace(found, videos=spread(found.videos, max_clips))
    with json_target(json_file) as target:
        be_quiet()
        pipeline = place(load_text_aligned(PyraTokActionLocalizationPipeline, model), None, device)

        def localize(video: Path, texts: Sequence[str]) -> list[list[Segment]]:
            options = {"max_segments": segments, "chunk_frames": chunk_frames}
            return pipeline(video, list(texts), level, window, **options).segments

        with argument_errors():
            evaluation = evaluate_localization(localize, found, thresholds, progress_bar("localizing"))
            readable = [video for video in found.videos if video.name not in evaluation.unreadable]
            same = dataclasses.replace(found, videos=tuple(readable))
            chance, whole = (
                evaluate_localization(baseline, same, thresholds)
                for baseline in (RandomSegments(CHANCE_SEED, segments), WholeVideo(CHANCE_SEED))
            )
        record = evaluation.record()
        for name, baseline in (("chance", chance), ("whole_video", whole)):
            record |= {name: baseline.mean_average_precision, f"{name}_by_threshold": baseline.mean_average_precisions}
        write_record(target, {"benchmark": benchmark, "level": level, "window": window, **record}, model, data)
    figures = {
        "videos, actions": f"{evaluation.num_videos:,}, {sum(evaluation.num_actions.values()):,}",
        "mAP": f"{evaluation.mean_average_precision:.2%} (random segments {chance.mean_average_precision:.2%}, the whole video "
        f"{whole.mean_average_precision:.2%})",
    }
    every = zip(evaluation.thresholds, evaluation.mean_average_precisions, chance.mean_average_precisions, strict=True)
    for threshold, value, by_chance in every:
        figures[f"mAP at tIoU {threshold:g}"] = f"{value:.2%} (random segments {by_chance:.2%})"
    measured = {"mAP": 100 * evaluation.mean_average_precision}
    paper = paper_table(benchmark, measured, f"{evaluation.num_videos} videos of {data}", model)
    left_out = {**absent(evaluation.missing), **evaluation.unreadable}
    left_out |= dict.fromkeys(evaluation.repeated, "it is annotated more than once, and counts once")
    report([figures_table(f"{model} on {data}", figures), paper], left_out, json_file)
