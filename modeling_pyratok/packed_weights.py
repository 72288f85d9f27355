"""Weights in few bits, so that a text encoder fits beside the tokenizer: a quantization method for transformers.

Any transformers model whose weights sit in `nn.Linear` and `nn.Embedding`, none of them shared, can be packed; once `pyratok`
is imported, `AutoModel.from_pretrained` opens what `save_pretrained` wrote. A row of a weight is cut into groups, and each
value of a group is a whole number of a few bits, times the group's scale, plus its minimum (round to nearest, no
calibration). Packing saves room on disk and on the wire, not time: layers compute in the dtype of their input.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers.quantizers import HfQuantizer, register_quantization_config, register_quantizer
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING
from transformers.utils.quantization_config import QuantizationConfigMixin

METHOD = "pyratok_packed"
"""Stands as `quant_method` in the config.json of a packed model."""

IS_KNOWN = METHOD in AUTO_QUANTIZATION_CONFIG_MAPPING
"""Whether another copy of this module was here first, as happens with code that comes along with models."""

RANGES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)
"""Shares of a group's range that are tried: clipping its extremes can cost less than coarser steps."""


@(register_quantization_config(METHOD) if not IS_KNOWN else lambda kind: kind)
class PackedWeightsConfig(QuantizationConfigMixin):
    """How the weights are packed.

    Args:
        linear_bits, linear_group: bits per weight of linear layers, 1 to 8, and how many neighbours share a scale.
        embedding_bits, embedding_group: the same for embeddings.

    Raises ValueError for other numbers of bits, or groups below 1.
    """

    def __init__(
        self,
        linear_bits: int = 6,
        linear_group: int = 384,
        embedding_bits: int = 4,
        embedding_group: int = 128,
        **kwargs: Any,
    ):
        self.quant_method = METHOD
        self.linear_bits, self.linear_group = linear_bits, linear_group
        self.embedding_bits, self.embedding_group = embedding_bits, embedding_group
        if not (1 <= linear_bits <= 8 and 1 <= embedding_bits <= 8):
            raise ValueError(f"weights are packed in 1 to 8 bits, got {linear_bits} and {embedding_bits}")
        if min(linear_group, embedding_group) < 1:
            raise ValueError(f"a group has at least 1 weight, got {linear_group} and {embedding_group}")


class PackedWeight(nn.Module):
    """A matrix of `rows` x `columns` in `bits` bits, with a scale and a minimum per group of columns.

    The buffers are whole numbers, the float16 ones in disguise: changing the dtype of a model leaves them as they are.
    """

    def __init__(self, rows: int, columns: int, bits: int, group: int):
        super().__init__()
        self.columns, self.bits = columns, bits
        self.group = group if columns % group == 0 else columns
        groups = columns // self.group
        self.register_buffer("packed", torch.zeros(rows, -(-columns * bits // 8), dtype=torch.uint8))
        self.register_buffer("scale", torch.zeros(rows, groups, dtype=torch.int16))  # bits of a float16
        self.register_buffer("minimum", torch.zeros(rows, groups, dtype=torch.int16))

    @torch.no_grad()
    def fill(self, weight: torch.Tensor) -> None:
        """Pack `weight`, (rows, columns)."""
        values = weight.float().unflatten(1, (-1, self.group))  # (rows, groups, group)
        low, high = values.amin(-1, keepdim=True), values.amax(-1, keepdim=True)
        middle, half = (low + high) / 2, (high - low) / 2
        top = 2**self.bits - 1
        best: tuple[torch.Tensor, ...] | None = None  # error, numbers, scale and minimum, of each group
        for share in RANGES:
            minimum = (middle - share * half).half()
            scale = (2 * share * half / top).half().clamp_min(torch.finfo(torch.float16).tiny)
            numbers = ((values - minimum.float()) / scale.float()).round().clamp(0, top)
            error = (numbers * scale.float() + minimum.float() - values).square().sum(-1, keepdim=True)
            found = (error, numbers, scale, minimum)
            better = found if best is None else tuple(map(torch.where, [error < best[0]] * 4, found, best))
            best = better
        _, numbers, scale, minimum = best
        self.packed.copy_(_pack(numbers.flatten(1).to(torch.uint8), self.bits))
        self.scale.copy_(scale.squeeze(-1).contiguous().view(torch.int16))
        self.minimum.copy_(minimum.squeeze(-1).contiguous().view(torch.int16))

    def rows(self, index: torch.Tensor | slice = slice(None)) -> torch.Tensor:
        """The rows that `index`, (n,), names, or all, as float32 (n, columns)."""
        numbers = _unpack(self.packed[index], self.bits, self.columns).float().unflatten(1, (-1, self.group))
        scale, minimum = (part[index].view(torch.float16).float()[..., None] for part in (self.scale, self.minimum))
        return (numbers * scale + minimum).flatten(1)


class PackedLinear(nn.Module):
    """`nn.Linear` over a packed weight, which is unpacked at the first use and then kept beside the packed one.

    What is kept is a copy of the packed weight in another form: it is made anew when that changes, or the dtype or the device.
    """

    def __init__(self, features_in: int, features_out: int, bias: bool, bits: int, group: int):
        super().__init__()
        self.weight = PackedWeight(features_out, features_in, bits, group)
        self.bias = nn.Parameter(torch.zeros(features_out)) if bias else None
        self._unpacked: tuple[tuple | None, torch.Tensor | None] = (None, None)  # of what, and the weight itself

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        packed = self.weight.packed
        state = (x.dtype, x.device, id(packed), 0 if packed.is_inference() else packed._version)
        if self._unpacked[0] != state:
            with torch.inference_mode(False):
                self._unpacked = (state, self.weight.rows().to(x.dtype))
        return F.linear(x, self._unpacked[1], self.bias)


class PackedEmbedding(nn.Module):
    """`nn.Embedding` over a packed weight, of which the rows that are asked for are unpacked."""

    def __init__(self, count: int, width: int, bits: int, group: int, dtype: torch.dtype):
        super().__init__()
        self.weight = PackedWeight(count, width, bits, group)
        # Tells what to compute in: the buffers of the weight do not follow the model's dtype.
        self.register_buffer("computes_in", torch.zeros((), dtype=dtype))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.weight.rows(ids.flatten()).to(self.computes_in.dtype).unflatten(0, ids.shape)


def pack_weights(model: PreTrainedModel, config: PackedWeightsConfig) -> PreTrainedModel:
    """Pack every linear layer and embedding of the model, in place, for `save_pretrained`; returns it, frozen.

    Raises ValueError if its output layer is its embedding.
    """
    output = model.get_output_embeddings()
    if output is not None and output.weight is model.get_input_embeddings().weight:
        raise ValueError(
            f"{type(model).__name__} shares its embeddings with its output layer; pack the model without it (`base_model`)"
        )
    for module, name, layer in _packable(model):
        with torch.device(layer.weight.device):
            packed = _packed_layer(layer, config)
        packed.weight.fill(layer.weight)
        if getattr(layer, "bias", None) is not None:
            packed.bias = layer.bias
        setattr(module, name, packed)
    quantizer = PackedWeightsQuantizer(config)
    model.config.quantization_config = config
    model.hf_quantizer, model.is_quantized, model.quantization_method = quantizer, True, METHOD
    return model.requires_grad_(False).eval()


@(register_quantizer(METHOD) if not IS_KNOWN else lambda kind: kind)
class PackedWeightsQuantizer(HfQuantizer):
    """Puts packed layers in place of the model's before its weights are loaded."""

    def validate_environment(self, *args: Any, **kwargs: Any) -> None:
        if not self.pre_quantized:
            raise ValueError("load the model as it is, pack it with pyratok's pack_weights, and save it")

    def _process_model_before_weight_loading(self, model: PreTrainedModel, **kwargs: Any) -> PreTrainedModel:
        for module, name, layer in _packable(model):
            with torch.device(layer.weight.device):
                setattr(module, name, _packed_layer(layer, self.quantization_config))
        return model

    def is_serializable(self) -> bool:
        return True

    @property
    def is_trainable(self) -> bool:
        return False


def _packable(model: nn.Module) -> list[tuple[nn.Module, str, nn.Module]]:
    """(owner, name, layer) of every layer whose weight is packed."""
    kinds = (nn.Linear, nn.Embedding)
    return [
        (module, name, layer)
        for module in model.modules()
        for name, layer in module.named_children()
        if type(layer) in kinds
    ]


def _packed_layer(layer: nn.Module, config: PackedWeightsConfig) -> PackedLinear | PackedEmbedding:
    if isinstance(layer, nn.Linear):
        bias = layer.bias is not None
        return PackedLinear(layer.in_features, layer.out_features, bias, config.linear_bits, config.linear_group)
    width, dtype = layer.embedding_dim, layer.weight.dtype
    return PackedEmbedding(layer.num_embeddings, width, config.embedding_bits, config.embedding_group, dtype)


def _pack(numbers: torch.Tensor, bits: int) -> torch.Tensor:
    """Whole numbers below 2**bits, uint8 (rows, columns) -> bytes, uint8 (rows, columns * bits / 8, rounded up).

    Little-endian, as in `bit_packing`, which packs one stream; here every row begins with a byte of its own.
    """
    shifts = torch.arange(8, dtype=torch.uint8, device=numbers.device)
    single = (numbers[..., None] >> shifts[:bits] & 1).flatten(1)  # (rows, columns * bits)
    octets = F.pad(single, (0, -single.shape[1] % 8)).unflatten(1, (-1, 8))
    return (octets << shifts).sum(-1, dtype=torch.uint8)


def _unpack(octets: torch.Tensor, bits: int, columns: int) -> torch.Tensor:
    """What `_pack` packed, uint8 (rows, columns)."""
    shifts = torch.arange(8, dtype=torch.uint8, device=octets.device)
    single = (octets[..., None] >> shifts & 1).flatten(1)[:, : columns * bits].unflatten(1, (columns, bits))
    return (single << shifts[:bits]).sum(-1, dtype=torch.uint8)
