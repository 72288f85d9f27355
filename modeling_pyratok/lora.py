"""LoRA on the convolutions of a frozen encoder, through peft.

peft's layer for Conv3d calls lora_A on the unpadded input, which a causal convolution with a cache does not have. A convolution
is linear in its weight, so for the causal convolutions the low-rank update is added to the weight instead of to the output,
W + (alpha / r) B A. That is the same function, needs no second pass over the pixels, and makes merged and unmerged weights
agree. The few two-dimensional convolutions (resampling, attention) keep peft's own layer.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora.layer import Conv3d as LoraConv3d
from peft.tuners.lora.layer import LoraLayer
from torch import nn

ADAPTER = "default"


class LoraCausalConv3d(LoraConv3d):
    """peft's Conv3d layer around diffusers' `WanCausalConv3d`; callable like the layer that it replaces."""

    def update_layer(self, *args, **kwargs) -> None:
        """Create the low-rank factors: peft builds lora_A with the type of the base layer, which has to be a plain Conv3d."""
        causal = self.base_layer
        with torch.device("meta"):
            plain = nn.Conv3d(causal.in_channels, causal.out_channels, causal.kernel_size, causal.stride)
        plain.weight, plain.bias = causal.weight, causal.bias
        self.base_layer = plain
        super().update_layer(*args, **kwargs)
        self.base_layer = causal

    def get_delta_weight(self, adapter: str) -> torch.Tensor:
        """(alpha / r) B A in the shape of the base weight (out, in, t, h, w)."""
        factor_a, factor_b = self.lora_A[adapter].weight, self.lora_B[adapter].weight
        delta = factor_b.flatten(1) @ factor_a.flatten(1)
        return delta.view(self.base_layer.weight.shape) * self.scaling[adapter]

    def forward(self, x: torch.Tensor, cache_x: torch.Tensor | None = None) -> torch.Tensor:
        """What `WanCausalConv3d.forward(x, cache_x)` would return with the effective weight."""
        parameters = {"weight": effective_weight(self)}
        return torch.func.functional_call(self.base_layer, parameters, (x, cache_x))


def plain_layer(layer: nn.Module) -> nn.Module:
    """The layer itself, or the one that LoRA wraps."""
    return layer.base_layer if isinstance(layer, LoraLayer) else layer


def effective_weight(layer: nn.Module) -> torch.Tensor:
    """The weight that the layer acts with: with its LoRA update, whether that is merged or not."""
    if not isinstance(layer, LoraLayer) or layer.merged or layer.disable_adapters:
        return plain_layer(layer).weight
    return layer.base_layer.weight + layer.get_delta_weight(ADAPTER)


def add_lora(module: nn.Module, rank: int, alpha: float, excluded: Iterable[nn.Module] = ()) -> None:
    """Wrap the convolutions inside `module` in place, but for those in `excluded` modules.

    All weights of `module` but the LoRA factors are frozen.
    """
    skipped = {id(layer) for part in excluded for layer in part.modules()}
    names = [
        name
        for name, layer in module.named_modules()
        if isinstance(layer, WanCausalConv3d | nn.Conv2d) and id(layer) not in skipped
    ]
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=names)
    config._register_custom_module({WanCausalConv3d: LoraCausalConv3d})
    inject_adapter_in_model(config, module, adapter_name=ADAPTER)
    for _, layer in lora_layers(module):
        layer.lora_B[ADAPTER].starts_at_zero = True


def lora_layers(module: nn.Module) -> Iterator[tuple[str, LoraLayer]]:
    """(name, layer) of every layer of `module` that carries LoRA."""
    for name, layer in module.named_modules():
        if isinstance(layer, LoraLayer):
            yield name, layer


def plain_state_dict(module: nn.Module, keep_vars: bool = False) -> dict[str, torch.Tensor]:
    """The state dict of `module` under the names that it has without LoRA, without the LoRA factors."""
    state = module.state_dict(keep_vars=keep_vars)
    return {name.replace(".base_layer.", "."): tensor for name, tensor in state.items() if ".lora_" not in name}


class LoraMerging:
    """`merge_lora` and `unmerge_lora` for a model; unmerging puts back the very bits that were there before."""

    def merge_lora(self) -> None:
        """Add the LoRA updates to the weights, for faster inference. Does nothing if they are merged, or if there are none."""
        for _, layer in lora_layers(self):
            if not layer.merged:
                # peft's unmerge subtracts, which leaves rounding errors, and with them another fingerprint.
                layer.unmerged_weight = layer.base_layer.weight.detach().clone()
                layer.merge()

    def unmerge_lora(self) -> None:
        """Take the LoRA updates out of the weights again."""
        for _, layer in lora_layers(self):
            if layer.merged:
                layer.merged_adapters.clear()
                layer.base_layer.weight.data = _unmerged_weight(layer)
                del layer.unmerged_weight

    def train(self, mode: bool = True) -> nn.Module:
        """As in torch; merging is for inference, so training mode unmerges (merged factors would get no gradient)."""
        if mode:
            self.unmerge_lora()
        return super().train(mode)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """As in torch; the weights that come in are unmerged, so the model is too."""
        self.unmerge_lora()
        return super().load_state_dict(*args, **kwargs)

    def unmerged_state_dict(self) -> dict[str, torch.Tensor]:
        """The state dict as it is without merging."""
        state = self.state_dict()
        for name, layer in lora_layers(self):
            if layer.merged:
                state[f"{name}.base_layer.weight"] = _unmerged_weight(layer)
        return state


def _unmerged_weight(layer: LoraLayer) -> torch.Tensor:
    """The weight from before merging, in the type and on the device that the layer has by now."""
    return layer.unmerged_weight.to(layer.base_layer.weight)
