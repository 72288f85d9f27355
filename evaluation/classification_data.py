"""What a benchmark of video classification holds: videos, each with one label."""

from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {name: name for name in SPLITS} | {"val": "validation", "validate": "validation"}
"""What splits are called in files and folders -> what they are called here."""


@dataclass(frozen=True)
class LabelledVideo:
    """A video or token file and what happens in it."""

    video: Path
    label: str
    """A text that can be compared with the video."""
    split: str | None = None
    """One of SPLITS, or None where nothing says."""


@dataclass(frozen=True)
class ClassificationData:
    """A benchmark, or a part of it."""

    videos: tuple[LabelledVideo, ...]
    """Those whose files are there, in the order of the source."""
    labels: tuple[str, ...]
    """All labels, sorted, those of missing videos too."""
    missing: tuple[str, ...] = ()
    """Names of listed videos whose files are not there. They count in no figure."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Of SPLITS those that have videos; empty where nothing says."""
        return tuple(split for split in SPLITS if any(video.split == split for video in self.videos))

    @property
    def measured_split(self) -> str | None:
        """The split that figures are taken of: the first of `splits` that is not for training; None where nothing says."""
        held_out = [split for split in self.splits if split != "train"]
        return next(iter(held_out or self.splits), None)

    @property
    def measured(self) -> tuple[LabelledVideo, ...]:
        """The videos of `measured_split`, all where nothing says."""
        return self.videos if self.measured_split is None else self.of_split(self.measured_split)

    def of_split(self, split: str) -> tuple[LabelledVideo, ...]:
        """The videos of one split. Raises ValueError if it has none."""
        if split not in self.splits:
            raise ValueError(
                f"there are no videos of the split {split!r}, only of: {', '.join(self.splits) or 'none'}"
            )
        return tuple(video for video in self.videos if video.split == split)
