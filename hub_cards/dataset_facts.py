"""What the card of a dataset of tokens says about it. All of it is measured from the dataset's shards."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TokenKind:
    """What all tokens of a dataset have in common: fields of `VideoTokens`. Two kinds are equal if one model decodes both."""

    level_strides: tuple[tuple[int, int], ...]
    codebook_bits: int
    spatial_multiple: int
    levels: tuple[int, ...]
    weights_fingerprint: str | None
    model_id: str | None = field(compare=False)


@dataclass(frozen=True)
class ExampleRow:
    """What a row says of its clip, beside the tokens."""

    name: str
    caption: str | None
    num_frames: int
    height: int
    width: int
    num_tokens: int


@dataclass(frozen=True)
class SplitFacts:
    """Sums over the rows of a split."""

    name: str
    shards: int
    bytes: int
    """Of the shards."""
    clips: int
    captions: int
    """Clips with a caption."""
    frames: int
    pixels: int
    """Frames times height times width, of every clip, before padding."""
    seconds: float
    tokens: int
    shortest: int
    """Tokens of the clip with the fewest."""
    longest: int
    """Tokens of the clip with the most."""
    examples: tuple[ExampleRow, ...]
    """The first few rows."""


@dataclass(frozen=True)
class DatasetFacts:
    """A dataset: the kind of its tokens, and its splits, at least one."""

    kind: TokenKind
    splits: tuple[SplitFacts, ...]

    def total(self, name: str) -> int | float:
        """The sum of a figure over all splits, "tokens" for example."""
        return sum(getattr(split, name) for split in self.splits)
