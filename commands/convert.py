"""`pyratok convert`: checkpoints of others into a model folder."""

import os
from pathlib import Path
from typing import Annotated

import torch
import typer
from transformers.utils import CONFIG_NAME, IMAGE_PROCESSOR_NAME, SAFE_WEIGHTS_NAME

from ..configuration.configuration_pyratok import PyraTokConfig
from ..modeling_pyratok.backbone_loading import backbone_of, is_residual_checkpoint
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.residual_checkpoint import load_residual_checkpoint
from ..modeling_pyratok.wan_names import MARK
from ..modeling_pyratok.weights_file import WeightsFile, read_settings, some_of
from ..pipelines.reconstruction_pipeline import PyraTokReconstructionPipeline
from .errors_for_people import argument_errors, memory_errors
from .model_use import be_quiet
from .output_folder import output_folder
from .progress import progress_bar
from .tables import add_model, show, two_columns

FILES = (CONFIG_NAME, SAFE_WEIGHTS_NAME, IMAGE_PROCESSOR_NAME, PyraTokReconstructionPipeline.config_name)


def convert(
    source: Annotated[str, typer.Argument(help="A .safetensors file, or the folder that diffusers wrote.")],
    output: Annotated[str, typer.Argument(help="The model folder to write.")],
    seed: Annotated[
        int,
        typer.Option(
            "--seed", min=0, max=2**63 - 1, help="For the new layers around a VAE, which are not trained yet."
        ),
    ] = 0,
) -> None:
    """Make a model folder of a checkpoint of others. What SOURCE is shows in its tensors:

    the released checkpoint of PyraTok's authors, which gives a tokenizer with the same codes and the same pictures; or the VAE
    of Wan 2.1 or 2.2 (`Wan2.1_VAE` or `Wan2.2_VAE` as safetensors, or diffusers' files), which gives a tokenizer to train.

    Example: `pyratok convert authors/vae my_model`
    """
    be_quiet()
    _check_output(source, Path(output))
    with WeightsFile(source) as weights, output_folder(output, FILES) as stage:
        with argument_errors(), memory_errors("this checkpoint needs more than there is"):
            kind, model = _converted(weights, seed)
        PyraTokReconstructionPipeline(model).save_pretrained(stage)
        table = two_columns(Path(output).name or output)
        table.add_row("made of", kind)
        table.add_row("tensors read", f"{len(weights.shapes):,}, all that {os.path.basename(source) or source} holds")
        add_model(table, model)
    show(table)
    typer.echo(f"wrote {output}")


def _check_output(source: str, output: Path) -> None:
    """Raise PyraTokError if the output would take the place of anything but a tokenizer of PyraTok that lies there alone."""
    present = [name for name in FILES if (output / name).exists()]
    for name in present:
        if Path(source).is_file() and os.path.samefile(output / name, source):
            raise PyraTokError(f"{str(output / name)!r} is what is to be converted; give another output folder")
    if not present:
        return
    if read_settings(output).get("model_type") != PyraTokConfig.model_type:
        raise PyraTokError(
            f"the folder {str(output)!r} holds another model, going by its {present[0]}; give another one"
        )
    beside = sorted(path.name for path in output.iterdir() if path.name not in FILES and not path.name.startswith("."))
    if beside:
        raise PyraTokError(
            f"the folder {str(output)!r} holds more than a tokenizer ({some_of(beside)}), which would not fit another one; "
            "give another folder"
        )


def _converted(weights: WeightsFile, seed: int) -> tuple[str, PyraTokModel]:
    """What the checkpoint is, and the model."""
    progress = progress_bar("reading")
    if is_residual_checkpoint(weights):
        model = load_residual_checkpoint(weights, progress)
        return "the authors' checkpoint: same codes, same pictures; text has no effect, as in their code", model
    vae = backbone_of(weights, progress)
    torch.manual_seed(seed)
    layout = "Wan's own layout" if MARK in weights.shapes else "diffusers' layout"
    version = "2.2" if vae.config.is_residual else "2.1"
    model = PyraTokModel.from_backbone(vae)
    return f"a VAE like Wan {version} in {layout}; the layers around it are new: train them before use", model
