"""The name that a model's weights have in token files, through everything that leaves them the same weights."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch

from .weights_fingerprint import HALF_PRECISION, fingerprint, weights_state


class WeightsName:
    """`weights_fingerprint` for a model with LoRA.

    Tokens are compared by it with the model that is to decode them. How precisely a model computes is no part of it, as chunks
    and devices are not: weights that were rounded to half precision, by `to` or as they were loaded, keep the name of those
    that they were rounded from, until they are changed or saved.
    """

    _fingerprint: tuple[tuple | None, str] = (None, "")
    """Of which weights, and what it is."""

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Self:
        """As in transformers; weights that are to be in half precision are loaded in full, named and rounded."""
        half = _half_precision(kwargs)
        if half is None or kwargs.get("quantization_config") is not None:
            return super().from_pretrained(*args, **kwargs)
        exact = {name: value for name, value in kwargs.items() if name != "torch_dtype"} | {"dtype": torch.float32}
        loaded = super().from_pretrained(*args, **exact)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        if any(tensor.is_meta for tensor in model.parameters()):  # left on the disk, where nothing can be rounded
            return super().from_pretrained(*args, **kwargs)
        model.to(half)
        model.config.dtype = half
        return loaded

    def weights_fingerprint(self) -> str:
        """SHA-256 of the tokenizer's tensors, in hexadecimal; the same whether LoRA is merged or not, and in half precision.

        Hashed once, before weights are rounded, and again when they have changed.
        """
        state, name = self._weights_state(), self._known_name()
        if name is None:
            name = fingerprint(self.unmerged_state_dict())
            self._fingerprint = state, name
        return name

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """As in transformers. Rounded weights that are saved are weights of their own, here as for those who load them."""
        super().save_pretrained(*args, **kwargs)
        self._fingerprint = None, ""

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        """What `to`, `half` and so on call."""
        rounds = self.dtype not in HALF_PRECISION and fn(torch.zeros(1, dtype=self.dtype)).dtype in HALF_PRECISION
        if rounds:
            self.weights_fingerprint()
        with self._keeps_name():
            return super()._apply(fn, recurse)

    def merge_lora(self) -> None:
        """See `LoraMerging`."""
        with self._keeps_name():
            super().merge_lora()

    def unmerge_lora(self) -> None:
        """See `LoraMerging`."""
        with self._keeps_name():
            super().unmerge_lora()

    @contextmanager
    def _keeps_name(self) -> Iterator[None]:
        """What is done inside changes tensors, and not what weights they are."""
        name = self._known_name()
        yield
        if name is not None:
            self._fingerprint = self._weights_state(), name

    def _known_name(self) -> str | None:
        """None if it was never asked for, or the weights have changed since."""
        known, name = self._fingerprint
        return name if known is not None and known == self._weights_state() else None

    def _weights_state(self) -> tuple | None:
        return weights_state(itertools.chain(self.parameters(), self.buffers()))


def _half_precision(options: dict[str, Any]) -> torch.dtype | None:
    """The half precision that `from_pretrained` is asked for, None for any other type."""
    dtype = options.get("dtype") or options.get("torch_dtype")
    return next((half for half in HALF_PRECISION if dtype in (half, str(half).removeprefix("torch."))), None)
