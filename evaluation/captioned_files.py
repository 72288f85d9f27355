"""The files of a benchmark of reconstruction, with their captions if it has any."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..modeling_pyratok.errors import PyraTokError


class CaptionedFile(NamedTuple):
    """A video or picture and what is said of it; None if nothing is."""

    path: Path
    caption: str | None


@dataclass(frozen=True)
class CaptionedFiles:
    """The files of a benchmark that are there, in its order; iterating and `len` go through these.

    Raises PyraTokError if there are none.
    """

    benchmark: str
    files: tuple[CaptionedFile, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    """Name of a file that belongs to the benchmark -> why it is not among `files`."""

    def __post_init__(self) -> None:
        if not self.files:
            name, reason = next(iter(self.left_out.items()), ("the list", "it is empty"))
            raise PyraTokError(
                f"none of the {len(self.left_out)} files of {self.benchmark} is there; {name}: {reason}"
            )

    @property
    def paths(self) -> list[Path]:
        """What `evaluate_reconstruction` takes."""
        return [file.path for file in self.files]

    def __iter__(self) -> Iterator[CaptionedFile]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)
