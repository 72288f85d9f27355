"""Localizers that do not look at the video: what chance finds, to set beside the figures of a model.

Both draw from a seed and the file's name alone, so the same file gets the same answer in any order and company.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..modeling_pyratok.token_files import TOKEN_FILE_SUFFIX
from ..modeling_pyratok.video_reading import VideoReader
from ..modeling_pyratok.video_tokens import VideoTokens
from .localization_metrics import Segment


@dataclass(frozen=True)
class RandomSegments:
    """For each text `count` segments: start and end from two uniform draws, the score from a third."""

    seed: int
    count: int = 10

    def __call__(self, video: Path, texts: Sequence[str]) -> list[list[Segment]]:
        """Segments in seconds and scores in [0, 1). Raises VideoReadError or TokenFileError."""
        duration, draws = video_duration(video), _draws(self.seed, video)
        return [[_random_segment(duration, draws) for _ in range(self.count)] for _ in texts]


@dataclass(frozen=True)
class WholeVideo:
    """For each text the whole video, with a random score: the more of a video its actions fill, the better this is."""

    seed: int

    def __call__(self, video: Path, texts: Sequence[str]) -> list[list[Segment]]:
        """One segment for each text. Raises VideoReadError or TokenFileError."""
        duration, draws = video_duration(video), _draws(self.seed, video)
        return [[(0.0, duration, draws.random())] for _ in texts]


def video_duration(video: Path) -> float:
    """Seconds of a video or token file: as the header has it, else by its frames. Raises VideoReadError or TokenFileError."""
    if video.suffix.lower() == TOKEN_FILE_SUFFIX:
        tokens = VideoTokens.load(video)
        return float(tokens.video_size[0] / tokens.fps)
    with VideoReader(video) as reader:
        if reader.info.duration is not None:
            return reader.info.duration
        frames = sum(1 for _ in reader)
        return float(frames / reader.frame_rate.average)


def _draws(seed: int, video: Path) -> random.Random:
    return random.Random(f"{seed}/{video.name}")


def _random_segment(duration: float, draws: random.Random) -> Segment:
    start, end = sorted((draws.uniform(0, duration), draws.uniform(0, duration)))
    return start, end, draws.random()
