"""What the tokens of a dataset have in common, and how it stands in the metadata of each shard."""

import json
from typing import Any

from ..hub_cards.dataset_facts import TokenKind
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.token_fields import check_fingerprint, check_model_id
from ..modeling_pyratok.token_files import canonical_json
from ..modeling_pyratok.token_layout import TokenLayout
from ..modeling_pyratok.video_tokens import VideoTokens

KIND_KEY = b"pyratok_tokens"
"""The key in the metadata of a Parquet file."""

FIELDS = ("level_strides", "codebook_bits", "spatial_multiple", "levels", "weights_fingerprint", "model_id")


def kind_of(tokens: VideoTokens) -> TokenKind:
    """The kind of these tokens."""
    return TokenKind(**{name: getattr(tokens, name) for name in FIELDS})


def kind_to_json(kind: TokenKind) -> bytes:
    """The kind as it stands in a shard."""
    return canonical_json({name: getattr(kind, name) for name in FIELDS}).encode()


def kind_from_json(text: bytes) -> TokenKind:
    """What `kind_to_json` wrote. Raises PyraTokError for anything else."""
    try:
        found: Any = json.loads(text)
        if not isinstance(found, dict) or found.keys() != set(FIELDS):
            raise PyraTokError(f"the fields of a kind of tokens are {sorted(FIELDS)}, got {found!r:.200}")
        # A video of one pixel stands for any: its size is no part of the kind.
        layout = TokenLayout([1, 1, 1], found["level_strides"], found["codebook_bits"], found["spatial_multiple"])
        levels = layout.check_levels(found["levels"], "levels")
        check_fingerprint(found["weights_fingerprint"])
        check_model_id(found["model_id"])
    except (ValueError, RecursionError) as problem:
        raise PyraTokError(f"what a shard says of its tokens cannot be used: {problem}") from problem
    return TokenKind(
        layout.level_strides,
        layout.codebook_bits,
        layout.spatial_multiple,
        levels,
        found["weights_fingerprint"],
        found["model_id"],
    )


def difference(kind: TokenKind, other: TokenKind) -> str | None:
    """The first field in which two kinds differ, in words; None if one model decodes both."""
    if kind == other:
        return None
    name = next(name for name in FIELDS if getattr(kind, name) != getattr(other, name))
    return f"{name} = {getattr(kind, name)} there and {getattr(other, name)} here"
