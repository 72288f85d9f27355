"""What the first tab shows of one clip, as files in a folder: a visitor's, or an example's that was made beforehand."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

RESULT = "result.json"


@dataclass(frozen=True)
class Step:
    """One position of the slider: some levels, decoded."""

    levels: tuple[int, ...]
    video: str
    tokens: int
    bits_per_pixel: float
    kilobytes: float
    psnr: float
    """dB, from the mean squared error of the whole clip."""


@dataclass(frozen=True)
class Reconstruction:
    """File names, relative to the folder, and figures."""

    original: str
    tokens: str
    steps: tuple[Step, ...]
    """From the coarsest preview to all levels."""
    maps: tuple[tuple[str, str], ...]
    """A picture of the tokens of each level, and what is written under it."""
    facts: tuple[str, ...]
    """Sentences of numbers alone."""
    timing: str
    """How long it took, as a sentence."""

    def save(self, folder: Path) -> None:
        """Write it beside its files."""
        (folder / RESULT).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; only this app writes these folders."""
        fields = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        steps = tuple(Step(**{**step, "levels": tuple(step["levels"])}) for step in fields.pop("steps"))
        maps = tuple((name, caption) for name, caption in fields.pop("maps"))
        return cls(steps=steps, maps=maps, facts=tuple(fields.pop("facts")), **fields)
