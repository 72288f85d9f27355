"""What a stream remembers between two chunks."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StreamingState:
    """The memory of the encoder or of the decoder after some chunks; every step returns a new one and leaves the old as it was.

    `memories` mirrors the structure of the network (nested tuples of tensors, see `causal_layers.Memory`), once per spatial
    tile. A stream starts with None in place of a state.
    """

    memories: tuple[Any, ...]
