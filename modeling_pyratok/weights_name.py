"""The name that a model's weights have in token files, in full and in half precision."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Self

import torch
from torch import nn
from transformers.utils import logging

from .weights_fingerprint import HALF_PRECISION, fingerprint, weights_state

PLAIN = (torch.Tensor, nn.Parameter)
"""Types of tensors that can be hashed: no shards, no packed weights."""


class WeightsName:
    """`weights_fingerprint` for a model with LoRA.

    Tokens are compared by it with the model that is to decode them. How precisely a model computes is no part of it, as chunks
    and devices are not: weights that were rounded, by `to` or as they were loaded, are known by what they were rounded from.
    What they became is hashed as well, so that the name goes with these very numbers, wherever they are copied, and with no
    others.
    """

    _fingerprint: tuple[tuple | None, str] = (None, "")
    """Of which tensors, and what it is."""
    _rounded: tuple[str, str] | None = None
    """The fingerprints of weights that were rounded, after that and before."""

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Self:
        """As in transformers. Where stored weights are rounded, they are read once more, in full, on the CPU, and named."""
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        if model.dtype in HALF_PRECISION and model._can_be_hashed():
            stored = cls._stored_fingerprint(*args, **kwargs)
            model._remember_rounding(None if stored is None else model._name_of(stored))
        return loaded

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """As in transformers. The configuration of rounded weights says what they were rounded from."""
        if self._rounded is not None or self.config.rounded_weights is not None:
            held = self._held_fingerprint()
            name = self._name_of(held)
            self.config.rounded_weights = None if name == held else {held: name}
        super().save_pretrained(*args, **kwargs)

    @classmethod
    def _stored_fingerprint(cls, *args: Any, **kwargs: Any) -> str | None:
        """Of the weights that are stored, None if they are not all there."""
        placing = (
            "torch_dtype",
            "device_map",
            "max_memory",
            "offload_folder",
            "offload_state_dict",
            "offload_buffers",
        )
        exact = {name: value for name, value in kwargs.items() if name not in placing} | {"force_download": False}
        is_shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            model, told = super().from_pretrained(
                *args, **{**exact, "dtype": torch.float32, "output_loading_info": True}
            )
        finally:
            if is_shown:
                logging.enable_progress_bar()
        is_whole = not told["missing_keys"] and not told["mismatched_keys"]  # the rest would be random
        return fingerprint(model.unmerged_state_dict()) if is_whole else None

    def weights_fingerprint(self) -> str:
        """SHA-256 of the tokenizer's tensors, in hexadecimal; the same whether LoRA is merged or not.

        Of weights that this model has rounded it is that from before. Hashed once, and again when the weights have changed.
        """
        return self._name_of(self._held_fingerprint())

    def has_fingerprint(self, name: str | None) -> bool:
        """Whether the weights are known by this fingerprint; rounded ones are by that of the numbers that they are now too."""
        return name in (self.weights_fingerprint(), self._held_fingerprint())

    def _name_of(self, held: str) -> str:
        """Of weights with this fingerprint: that of what they were rounded from, here or before they were saved."""
        known = dict(self.config.rounded_weights or {})
        if self._rounded is not None:
            after, before = self._rounded
            known[after] = before
        return known.get(held, held)

    def _held_fingerprint(self) -> str:
        """Of the numbers that the tensors hold."""
        state = weights_state(self._tensors())
        known, held = self._fingerprint
        if state is None or state != known:
            held = fingerprint(self.unmerged_state_dict())
            self._fingerprint = state, held
        return held

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        """What `to`, `half` and so on call."""
        before, after = self.dtype, fn(torch.zeros(1, dtype=self.dtype)).dtype
        keeps_numbers = before == after or (before in HALF_PRECISION and after == torch.float32)
        if keeps_numbers or not self._can_be_hashed():
            return super()._apply(fn, recurse)
        name = self.weights_fingerprint()
        super()._apply(fn, recurse)
        self._remember_rounding(name)
        return self

    def _remember_rounding(self, name: str | None) -> None:
        """Weights of that fingerprint have become what is held now."""
        if name is not None:
            # Not by `_held_fingerprint`: what nobody has asked for is not kept, because writing through `.data` goes unseen.
            self._rounded = fingerprint(self.unmerged_state_dict()), name

    def _can_be_hashed(self) -> bool:
        return all(type(tensor) in PLAIN and not tensor.is_meta for tensor in self._tensors())

    def _tensors(self) -> Iterator[torch.Tensor]:
        return itertools.chain(self.parameters(), self.buffers())
