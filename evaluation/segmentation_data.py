"""What every benchmark of text-guided segmentation is read into: clips, the objects in them, and their masks.

Only names, sizes and places are held; frames and masks are loaded for one clip at a time, when they are asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from ..modeling_pyratok.video_reading import VideoReader, read_video
from ..training.data_errors import DataError


@dataclass(frozen=True)
class SegmentedObject:
    """An object that is marked in every frame of a clip."""

    name: str
    """What it is asked for by: a category, an expression, or the best name that the benchmark has."""
    category_id: int | None
    """Its key in `SegmentationData.categories`; None if the benchmark has no categories."""
    load: Callable[[], np.ndarray]
    """Loads the masks, bool (T, H, W). Raises DataError if they are damaged."""
    is_crowd: bool = False
    """It marks a whole group: average precision counts it neither as found nor as missed, and no Jaccard is taken."""

    def masks(self) -> np.ndarray:
        """Bool (T, H, W), true where the object is. Raises DataError if they cannot be loaded."""
        return self.load()


@dataclass(frozen=True)
class SegmentationClip:
    """A clip and its objects.

    `load_void` loads bool (T, H, W), true where nobody knows what is there: such a pixel counts in no Jaccard and in no
    boundary. None if everything is known.
    """

    name: str
    video: Path | tuple[Path, ...]
    """A film, or one picture for each frame."""
    size: tuple[int, int, int]
    """(T, H, W): frames, rows, columns."""
    frames_per_second: float
    objects: tuple[SegmentedObject, ...]
    load_void: Callable[[], np.ndarray] | None = None

    def frames(self) -> torch.Tensor:
        """All frames, uint8 RGB (T, H, W, 3).

        Raises VideoReadError if a file cannot be read, and DataError if its size is another than that of the masks.
        """
        if isinstance(self.video, Path):
            frames = read_video(self.video)[0]
            self._check_size(self.video, tuple(frames.shape[:3]), self.size)
            return frames
        frames = torch.empty((*self.size, 3), dtype=torch.uint8)
        for index, path in enumerate(self.video):
            with VideoReader(path, decoder_threads=1) as reader:
                picture = next(iter(reader))
            self._check_size(path, tuple(picture.shape[:2]), self.size[1:])
            frames[index] = picture
        return frames

    def void(self) -> np.ndarray | None:
        """Bool (T, H, W), or None if every pixel counts. Raises DataError if it cannot be loaded."""
        return None if self.load_void is None else self.load_void()

    @staticmethod
    def _check_size(path: Path, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
        if found != expected:
            kind = "(frames, height, width)" if len(expected) == 3 else "(height, width)"
            raise DataError(f"{str(path)!r}: its {kind} is {found}, but that of its masks is {expected}")


@dataclass(frozen=True)
class SegmentationData:
    """A benchmark: its clips, and its categories if it has them."""

    clips: tuple[SegmentationClip, ...]
    categories: dict[int, str] = field(default_factory=dict)
    """Id -> the name that is asked for; each name once. Empty if the benchmark has no categories."""

    def __post_init__(self) -> None:
        for what, names in (
            ("clips", [clip.name for clip in self.clips]),
            ("categories", list(self.categories.values())),
        ):
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                raise DataError(f"two {what} have the name {repeated[0]!r}; names must differ")
