"""`pyratok evaluate classification`."""

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
    check_targets,
    figures_table,
    json_target,
    needed,
    report,
    spread,
    write_record,
)
from .model_use import be_quiet, place
from .options import ChunkFrames, Device, Model, parse_levels
from .progress import progress_bar

if TYPE_CHECKING:
    from ..evaluation.classification_data import ClassificationData

KINETICS = ("kinetics-400", "kinetics-600", "kinetics-700")
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
    if fold is not None and benchmark != "ucf-101":
        raise PyraTokError(f"--fold {fold} is for --benchmark ucf-101")
    if training_annotations is not None and benchmark == "ucf-101":
        raise PyraTokError("the lists of ucf-101 say what a probe is fitted on: leave --training-annotations out")
    check_targets(json=json_file, save_probe=save_probe)
    chosen, found = parse_levels(levels), _read(benchmark, data, annotations, fold or 1, "test")
    missing = list(found.missing)
    if training_annotations is not None or (probe and benchmark == "ucf-101"):
        fitted_on = _read(benchmark, data, training_annotations or annotations, fold or 1, "train")
        missing += fitted_on.missing
        training, test = fitted_on.videos, found.videos
    else:
        training, test = _splits(found, probe)
    test = spread(test, max_clips)
    split = {"fold": fold or 1} if benchmark == "ucf-101" else {}
    with json_target(json_file) as target, json_target(save_probe) as probe_target:
        be_quiet()
        pipeline = place(load_text_aligned(PyraTokClassificationPipeline, model), None, device)
        options = {"levels": chosen, "chunk_frames": chunk_frames}
        with argument_errors():
            if probe:
                fitted = evaluate_linear_probe(
                    lambda video: pipeline.features(video, **options),
                    training,
                    test,
                    seed,
                    progress_bar("classifying"),
                )
                evaluation, record, unfitted = fitted.test, fitted.record(), fitted.unreadable_training
                if probe_target is not None:
                    fitted.probe.save(probe_target)
            else:
                evaluation = evaluate_classification(
                    lambda video, labels: pipeline(video, list(labels), template=template, **options).scores,
                    test,
                    found.labels,
                    progress_bar("classifying"),
                )
                record, unfitted = evaluation.record(), {}
        write_record(
            target,
            {"benchmark": benchmark, **split, "probe": probe, "levels": levels, "missing_videos": missing, **record},
            model,
            data,
        )
    figures = {
        "videos, classes": f"{len(evaluation.predictions):,}, {len(evaluation.labels):,}",
        "top-1": f"{evaluation.figures.top_1:.2%} (chance {evaluation.chance.top_1:.2%}, most frequent class "
        f"{evaluation.most_frequent.top_1:.2%})",
    }
    if evaluation.figures.top_5 is not None:
        figures["top-5"] = f"{evaluation.figures.top_5:.2%} (chance {evaluation.chance.top_5:.2%})"
    figures["mean over classes"] = f"{evaluation.figures.mean_per_class:.2%}"
    tables = [figures_table(f"{model} on {data}", figures)]
    if benchmark in KINETICS:
        measured_on = f"{len(evaluation.predictions)} videos of {data}, {'linear probe' if probe else 'zero-shot'}"
        tables.append(paper_table(benchmark, {"top-1": 100 * evaluation.figures.top_1}, measured_on, model))
    left_out = {**dict.fromkeys(missing, "its file is not there"), **evaluation.unreadable, **unfitted}
    report(tables, left_out, json_file)


def _read(benchmark: str, data: str, annotations: str | None, fold: int, ucf_split: str) -> "ClassificationData":
    from ..evaluation.class_folders import read_class_folders
    from ..evaluation.kinetics import read_kinetics
    from ..evaluation.ucf101 import read_ucf101

    if benchmark == "folders":
        return read_class_folders(data)
    if benchmark == "ucf-101":
        return read_ucf101(data, needed(annotations, benchmark), ucf_split, fold)
    return read_kinetics(needed(annotations, benchmark), data)


def _splits(found: "ClassificationData", probe: bool) -> tuple[tuple, tuple]:
    """The videos to fit a probe on, none without one, and those to measure: the split that is not train/, or all."""
    held_out = [split for split in found.splits if split != "train"]
    test = found.of_split(held_out[0]) if held_out else found.videos
    if not probe:
        return (), test
    if "train" not in found.splits or not held_out:
        raise PyraTokError(
            "a probe is fitted on train/ and measured on validation/ or test/: the data need both, or --training-annotations"
        )
    return found.of_split("train"), test
