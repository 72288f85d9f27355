"""The names of Wan's own checkpoints, `Wan2.1_VAE` and `Wan2.2_VAE`, as diffusers' names."""

import re
from collections.abc import Iterable

from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

from .errors import PyraTokError
from .weights_file import shown

MARK = "encoder.conv1.weight"
"""A tensor that every checkpoint with Wan's names has."""

NESTED = re.compile(r"(encoder\.down|decoder\.up)samples\.(\d+)\.(?:down|up)samples\.(\d+)\.(.+)")
"""In Wan 2.2 a stage is a list of its own, which diffusers' converter does not know."""

IN_BLOCK = {
    "residual.0.": "norm1.",
    "residual.2.": "conv1.",
    "residual.3.": "norm2.",
    "residual.6.": "conv2.",
    "shortcut.": "conv_shortcut.",
}


def diffusers_names(source: str, names: Iterable[str]) -> dict[str, str]:
    """Every name that diffusers has for the tensors, and theirs in the file. Raises PyraTokError if two are the same."""
    names = list(names)
    try:
        called = convert_wan_vae_to_diffusers({_unnested(name): name for name in names})
    except (ValueError, IndexError) as problem:  # of a block without a number
        raise PyraTokError(
            f"{source} has names like Wan's VAE, but not all of them: {shown(str(problem))}"
        ) from problem
    if len(called) < len(names):
        twice = sorted(set(names) - set(called.values()))
        raise PyraTokError(
            f"{source} holds two tensors for one: {shown(twice[0])} is what another name stands for too"
        )
    return called


def _unnested(name: str) -> str:
    """A block of Wan 2.2 by its name in diffusers; any other name as it is."""
    match = NESTED.fullmatch(name)
    if match is None:
        return name
    side, stage, block, rest = match.groups()
    for theirs, ours in IN_BLOCK.items():
        if rest.startswith(theirs):
            return f"{side}_blocks.{stage}.resnets.{block}.{ours}{rest.removeprefix(theirs)}"
    return f"{side}_blocks.{stage}.{side.split('.')[1]}sampler.{rest}"
