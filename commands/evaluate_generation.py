"""`pyratok evaluate generation`."""

from typing import Annotated, Literal

import typer

from .evaluation_output import Data, Fold, JsonFile, absent, figures_table, json_target, report, write_record
from .progress import progress_bar

OFFLINE_FEATURES = "efficientnet-lite0"


def generation(
    data: Data,
    generated: Annotated[str, typer.Option("--generated", help="A folder of generated videos.")],
    features: Annotated[
        str,
        typer.Option(
            help="efficientnet-lite0, whose distance is no FVD; or an I3D network as a TorchScript file, which is a program "
            "that you have to trust."
        ),
    ] = OFFLINE_FEATURES,
    frames: Annotated[int, typer.Option("--frames", min=1, help="So many first frames of each video.")] = 16,
    resolution: Annotated[int, typer.Option("--resolution", min=1, help="Side of the square in pixels.")] = 128,
    benchmark: Annotated[
        Literal["ucf-101"] | None, typer.Option(help="Print the paper's figure beside, which is an FVD.")
    ] = None,
    annotations: Annotated[
        str | None,
        typer.Option(
            "--annotations", help="ucf-101: the folder ucfTrainTestlist, to take one part of the videos alone."
        ),
    ] = None,
    split: Annotated[
        Literal["train", "test"] | None,
        typer.Option("--split", help="ucf-101, with --annotations: which part. Default: train."),
    ] = None,
    fold: Fold = None,
    json_file: JsonFile = None,
) -> None:
    """How far generated videos are from real ones: the Frechet distance of their features, over whole folders.

    Example: `pyratok evaluate generation --data UCF-101 --generated samples --features i3d_torchscript.pt`
    """
    from ..evaluation.frechet_distance import frechet_distance
    from ..evaluation.paper_figures import paper_table
    from ..evaluation.ucf101 import read_ucf101
    from ..evaluation.video_features import EfficientNetFeatures, I3DFeatures
    from ..modeling_pyratok.errors import PyraTokError
    from ..training.evaluation_files import evaluation_files

    if annotations is None:
        for option, value in (("--split", split), ("--fold", fold)):
            if value is not None:
                raise PyraTokError(f"{option} {value} takes a part of ucf-101: it needs --annotations")
        real, missing, compared = evaluation_files(data), (), {}
    elif benchmark is None:
        raise PyraTokError("--annotations are the lists of a benchmark: it needs --benchmark ucf-101")
    else:
        compared = {"split": split or "train", "fold": fold or 1}
        part = read_ucf101(data, annotations, **compared)
        real, missing = [labelled.video for labelled in part.videos], part.missing
    made = evaluation_files(generated)
    is_offline = features == OFFLINE_FEATURES
    with json_target(json_file) as target:
        network = EfficientNetFeatures() if is_offline else I3DFeatures(features, frames)
        found = frechet_distance(network, real, made, frames, resolution, progress=progress_bar("looking"))
        record = {"benchmark": benchmark, **compared, **found.record(), "missing_videos": list(missing)}
        write_record(target, record, generated, data)
    figures = {
        found.name: f"{found.value:.2f}",
        "real, generated videos": f"{found.real_videos:,}, {found.generated_videos:,}",
        "frames, side": f"{found.num_frames}, {found.resolution}",
    }
    if found.is_singular:
        figures["note"] = (
            f"no more videos than the {found.num_features} features: the figure is too large by an unknown amount"
        )
    tables = [figures_table(f"{generated} against {data}", figures)]
    if benchmark is not None:
        measured = {} if is_offline else {"gFVD": found.value}
        tables.append(paper_table(benchmark, measured, f"{found.generated_videos} videos", generated))
    report(tables, {**absent(missing), **found.left_out}, json_file)
