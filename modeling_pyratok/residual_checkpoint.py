"""The authors' released checkpoint as a `PyraTokModel` with the residual quantizer.

Its tensors are those of a Wan 2.1 VAE by diffusers' names, a map for text embeddings (`lapq_text_mlp`), and for every level
(`lapq_quantizer.layers.I`) the layers of the attention to the text and two tables that follow from the number of bits.
"""

import re
from collections.abc import Mapping

import torch
from huggingface_hub.errors import StrictDataclassError

from ..configuration.configuration_pyratok import PyraTokConfig
from .backbone_loading import QUANTIZER
from .backbone_shape import backbone_shape
from .binary_codebook import codes_to_bits
from .errors import PyraTokError
from .modeling_pyratok import PyraTokModel
from .weights_file import DTYPES, Progress, Shape, WeightsFile, check_shapes

TEXT_MAP, LEVELS = f"{QUANTIZER}text_mlp.", f"{QUANTIZER}quantizer.layers."
LEVEL = re.compile(re.escape(LEVELS) + r"(\d{1,4})\.")

OUR_LEVEL = re.compile(r"pyramid\.attentions\.(\d+)\.(\w+)\.(.+)")
THEIR_LAYERS = {
    "query_norm": "query_norm",
    "text_norm": "text_context_norm",
    "text_projection": "text_proj",
    "attention": "cross_attn",
}

TABLE_TYPES = {*DTYPES, "I64", "I32"}
"""As safetensors calls them: types that a table may be stored in."""

HEADS = 2
"""Of the attention, where no config.json says how many: what the authors' code for inference sets."""


def their_name(name: str) -> str | None:
    """What a tensor of the model is called in the checkpoint; None for the codebook, which follows from the bits."""
    match = OUR_LEVEL.fullmatch(name)
    if match is not None:
        return f"{LEVELS}{match[1]}.{THEIR_LAYERS[match[2]]}.{match[3]}"
    if name.startswith("codebook."):
        return None
    return name.removeprefix("backbone.").replace("pyramid.text_map.", TEXT_MAP)


def load_residual_checkpoint(weights: WeightsFile, progress: Progress = iter) -> PyraTokModel:
    """The model that encodes and decodes as the checkpoint does, its weights bit for bit; codes are its indices.

    Raises:
        PyraTokError: if tensors are missing, not known or of another shape, if a table is not what it has to be, or if no
            model can have these sizes.
    """
    config = _configuration(weights)
    names = _checked_names(weights, config)
    tables = _tables(config.codebook_bits)
    model = PyraTokModel(config).to(weights.dtype_of(names))
    parameters = model.state_dict(keep_vars=True)
    with torch.no_grad():
        for name in progress(list(weights.shapes)):
            if name in names:
                parameters[names[name]].copy_(weights.tensor(name))
            elif not _is_table(weights, name, tables[name.rpartition(".")[2]]):
                raise PyraTokError(
                    f"{weights.name} has another code than signs: {name}, of type {weights.types[name]}, is not the table for "
                    f"{config.codebook_bits} bits"
                )
    return model.eval()


def _checked_names(weights: WeightsFile, config: PyraTokConfig) -> dict[str, str]:
    """Ours of every tensor but the tables, by theirs. Raises PyraTokError unless the model's tensors, and no others, are there.

    Nothing of the model's size is allocated: a size that one tensor claims may be far beyond what the file holds.
    """
    with torch.device("meta"):
        wanted = PyraTokModel(config).state_dict()
    names = {theirs: ours for ours in wanted if (theirs := their_name(ours)) is not None}
    shapes = {theirs: tuple(wanted[ours].shape) for theirs, ours in names.items()}
    bits = config.codebook_bits
    for level in range(config.num_levels):
        shapes |= {f"{LEVELS}{level}.bitmask": (bits,), f"{LEVELS}{level}.codebook": (2**bits, bits)}
    check_shapes(weights.name, weights.shapes, shapes)
    return names


def _tables(num_bits: int) -> dict[str, torch.Tensor]:
    """The two tables that every level has: what a channel weighs in an index, (d,), and the signs of an index, (2^d, d)."""
    weights = 2.0 ** torch.arange(num_bits).flip(0)
    return {"bitmask": weights, "codebook": codes_to_bits(torch.arange(2**num_bits), num_bits).flip(-1)}


def _is_table(weights: WeightsFile, name: str, table: torch.Tensor) -> bool:
    return weights.types[name] in TABLE_TYPES and torch.equal(weights.tensor(name).float(), table)


def _configuration(weights: WeightsFile) -> PyraTokConfig:
    shapes = weights.shapes
    backbone = {name: shape for name, shape in shapes.items() if not name.startswith(QUANTIZER)}
    settings = backbone_shape(weights.name, backbone)
    levels = {match[1] for match in map(LEVEL.match, shapes) if match}
    hidden, text_width = _matrix(weights, f"{TEXT_MAP}0.weight")
    width, _ = _matrix(weights, f"{TEXT_MAP}2.weight")
    try:
        return PyraTokConfig.residual(
            settings,
            num_levels=len(levels),
            text_hidden_size=text_width,
            residual_text_sizes=(hidden, width),
            num_attention_heads=_num_heads(weights.settings, settings["z_dim"]),
        )
    except StrictDataclassError as problem:
        raise PyraTokError(f"{weights.name} cannot be used: {problem.__cause__ or problem}") from problem


def _matrix(weights: WeightsFile, name: str) -> Shape:
    shape = weights.shapes.get(name, ())
    if len(shape) != 2:
        raise PyraTokError(
            f"{weights.name} has no matrix {name}, which the authors' checkpoint has; got {shape or 'nothing'}"
        )
    return shape


def _num_heads(settings: Mapping[str, object], channels: int) -> object:
    """Heads of the attention, which its tensors do not show: the authors' code takes the largest divisor up to 8 for None."""
    if "lapq_text_condition_heads" not in settings:
        return HEADS if channels % HEADS == 0 else 1
    heads = settings["lapq_text_condition_heads"]
    return next(n for n in range(8, 0, -1) if channels % n == 0) if heads is None else heads
