"""`pyratok evaluate classification`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..modeling_pyratok.errors import PyraTokError
from ..pipelines.classification_pipeline import PLACE, PyraTokClassificationPipeline
from ..pipelines.text_aligned_loading import load_text_aligned
from .errors_for_people import argument_errors
from .evaluation_output import (
    Data,
    Fold,
    JsonFile,
    MaxClips,
    absent,
    check_targets,
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
from .probe_use import all_levels, write_probe
from .progress import progress_bar

if TYPE_CHECKING:
    from ..evaluation.classification_data import ClassificationData, LabelledVideo
    from ..evaluation.classification_evaluation import ClassificationEvaluation

KINETICS = ("kinetics-400", "kinetics-600", "kinetics-700")
UCF = "ucf-101"
Benchmark = Literal["folders", "kinetics-400", "kinetics-600", "kinetics-700", "ucf-101"]


def classification(
    data: Data,
    benchmark: Annotated[
        Benchmark,
        typer.Option(
            help="folders: CLASS/clip.mp4, with or without train/ and validation/ above. The others: with --annotations."
        ),
    ] = "folders",
    annotations: Annotated[
        str | None,
        typer.Option("--annotations", help="kinetics: the CSV file. ucf-101: the folder ucfTrainTestlist."),
    ] = None,
    fold: Fold = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Fit a linear probe on the videos of train/ rather than ask for names.")
    ] = False,
    training_annotations: Annotated[
        str | None,
        typer.Option("--training-annotations", help="kinetics, with --probe: the CSV file of the training clips."),
    ] = None,
    save_probe: Annotated[
        str | None, typer.Option("--save-probe", help="Write the probe into this file, NAME.safetensors.")
    ] = None,
    model: Model = "pyratok",
    levels: Annotated[
        str | None, typer.Option("--levels", "-l", help="Levels whose tokens count. Default: all.")
    ] = None,
    template: Annotated[str, typer.Option("--template", help="Where a class name goes.")] = PLACE,
    seed: Annotated[int, typer.Option("--seed", help="Of the probe's cross-validation.")] = 0,
    max_clips: MaxClips = None,
    json_file: JsonFile = None,
    chunk_frames: ChunkFrames = 16,
    device: Device = None,
) -> None:
    """Classify videos by the names of classes, or by a linear probe: top-1, top-5, and the mean over classes.

    Example: `pyratok evaluate classification --data videos --benchmark kinetics-400 --annotations val.csv`
    """
    from ..evaluation.classification_evaluation import evaluate_classification, evaluate_linear_probe
    from ..evaluation.paper_figures import paper_table

    for option, given in (("--save-probe", save_probe), ("--training-annotations", training_annotations)):
        if given is not None and not probe:
            raise PyraTokError(f"{option} needs --probe")
    if fold is not None and benchmark != UCF:
        raise PyraTokError(f"--fold {fold} is for --benchmark {UCF}")
    if training_annotations is not None and benchmark not in KINETICS:
        raise PyraTokError(
            f"--training-annotations needs --benchmark {', '.join(KINETICS[:-1])} or {KINETICS[-1]}; {benchmark} says itself "
            "what a probe is fitted on: leave it out"
        )
    check_targets(json=json_file, save_probe=save_probe)
    chosen = parse_levels(levels)
    videos = _videos(benchmark, data, annotations, training_annotations, fold or 1, probe)
    test = spread(videos.test, max_clips)
    with json_target(json_file) as target, json_target(save_probe) as probe_target:
        be_quiet()
        pipeline = place(load_text_aligned(PyraTokClassificationPipeline, model), None, device)
        with argument_errors():
            if probe:
                fitted_levels = chosen or all_levels(pipeline)
                fitted = evaluate_linear_probe(
                    lambda video: pipeline.features(video, fitted_levels, chunk_frames),
                    videos.training,
                    test,
                    seed,
                    progress_bar("classifying"),
                )
                evaluation, record, unfitted = fitted.test, fitted.record(), fitted.unreadable_training
                if probe_target is not None:
                    write_probe(fitted.probe, probe_target, pipeline, fitted_levels)
            else:
                evaluation = evaluate_classification(
                    lambda video, labels: pipeline(video, list(labels), chosen, template, chunk_frames).scores,
                    test,
                    videos.labels,
                    progress_bar("classifying"),
                )
                record, unfitted = evaluation.record(), {}
        measured = {"benchmark": benchmark, **videos.part, "probe": probe, "levels": levels}
        write_record(target, {**measured, "missing_videos": videos.missing, **record}, model, data)
    tables = [figures_table(f"{model} on {data}", _figures(evaluation, videos.part))]
    if benchmark in KINETICS:
        measured_on = f"{len(evaluation.predictions)} videos of {data}, {'linear probe' if probe else 'zero-shot'}"
        tables.append(paper_table(benchmark, {"top-1": 100 * evaluation.figures.top_1}, measured_on, model))
    report(
        tables, {**videos.unused, **absent(videos.missing), **evaluation.unreadable, **unfitted}, json_file, save_probe
    )


@dataclass(frozen=True)
class _Videos:
    """What is measured, and of a probe what it is fitted on."""

    labels: tuple[str, ...]
    training: "tuple[LabelledVideo, ...]"
    test: "tuple[LabelledVideo, ...]"
    part: dict[str, str | int | None]
    """Which part of the data is measured, for JSON."""
    unused: dict[str, str]
    """A split that is neither measured nor fitted on -> how many videos it has."""
    missing: list[str]


def _videos(
    benchmark: str, data: str, annotations: str | None, training_annotations: str | None, fold: int, probe: bool
) -> _Videos:
    found = _read(benchmark, data, annotations, fold, "test")
    split, missing, used = found.measured_split, list(found.missing), {found.measured_split}
    training: tuple[LabelledVideo, ...] = ()
    if probe and (training_annotations is not None or benchmark == UCF):
        fitted_on = _read(benchmark, data, training_annotations or annotations, fold, "train")
        training, missing = fitted_on.videos, [*missing, *fitted_on.missing]
    elif probe:
        if "train" not in found.splits or split == "train":
            raise PyraTokError(
                "a probe is fitted on train/ and measured on validation/ or test/: the data need both, or, of Kinetics, "
                "--training-annotations"
            )
        training, used = found.of_split("train"), {split, "train"}
    unused = {
        f"the split {other}": f"{len(found.of_split(other)):,} videos; the figures are those of {split}"
        for other in found.splits
        if other not in used
    }
    part = {"split": split, **({"fold": fold} if benchmark == UCF else {})}
    return _Videos(found.labels, training, found.measured, part, unused, missing)


def _read(benchmark: str, data: str, annotations: str | None, fold: int, ucf_split: str) -> "ClassificationData":
    from ..evaluation.class_folders import read_class_folders
    from ..evaluation.kinetics import read_kinetics
    from ..evaluation.ucf101 import read_ucf101

    if benchmark == "folders":
        not_needed(annotations, benchmark, (*KINETICS, UCF))
        return read_class_folders(data)
    if benchmark == UCF:
        return read_ucf101(data, needed(annotations, benchmark), ucf_split, fold)
    return read_kinetics(needed(annotations, benchmark), data)


def _figures(evaluation: "ClassificationEvaluation", part: Mapping[str, str | int | None]) -> dict[str, str]:
    """The lines of the table."""
    figures = {name: str(value) for name, value in part.items() if value is not None}
    figures["videos, classes"] = f"{len(evaluation.predictions):,}, {len(evaluation.labels):,}"
    figures["top-1"] = (
        f"{evaluation.figures.top_1:.2%} (chance {evaluation.chance.top_1:.2%}, most frequent class "
        f"{evaluation.most_frequent.top_1:.2%})"
    )
    if evaluation.figures.top_5 is not None:
        figures["top-5"] = f"{evaluation.figures.top_5:.2%} (chance {evaluation.chance.top_5:.2%})"
    return figures | {"mean over classes": f"{evaluation.figures.mean_per_class:.2%}"}
