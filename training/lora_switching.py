"""Running a model as it was before its LoRA, without a second copy of the weights."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.lora import lora_layers


@contextmanager
def lora_switched_off(module: nn.Module) -> Iterator[None]:
    """Inside the block every LoRA layer of `module` acts as the layer that it wraps.

    Raises:
        PyraTokError: if LoRA is merged into the weights: then what was there before is not what is computed with.
    """
    layers = [layer for _, layer in lora_layers(module)]
    if any(layer.merged for layer in layers):
        raise PyraTokError("LoRA is merged into the weights, so it cannot be switched off; call unmerge_lora() first")
    before = [layer.disable_adapters for layer in layers]
    try:
        for layer in layers:
            # peft's own enable_adapters would also change which parameters are trained, in the middle of a step.
            layer._disable_adapters = True
        yield
    finally:
        for layer, was_off in zip(layers, before, strict=True):
            layer._disable_adapters = was_off
