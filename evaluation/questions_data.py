"""Multiple-choice questions about videos: what a reader of a benchmark gives and an evaluation takes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Question:
    """One question, its choices and the right one.

    Raises ValueError for fewer than two choices, an answer that is none of them, or a stretch of time that is none.
    """

    task: str
    """What the question belongs to; accuracy is counted for each task."""
    video: Path
    """A video file, or a folder of numbered pictures; `stretch_frames` reads both."""
    question: str
    choices: tuple[str, ...]
    answer: int
    """Index of the right choice."""
    start: float | None = None
    """Seconds at which the stretch that is asked about begins; None for the beginning of the video."""
    end: float | None = None
    """Seconds at which it ends, which may lie behind the end of the video; None for that."""

    def __post_init__(self) -> None:
        if len(self.choices) < 2:
            raise ValueError(f"a question needs at least two choices, got {self.choices}")
        if not 0 <= self.answer < len(self.choices):
            raise ValueError(f"answer must be an index into the {len(self.choices)} choices, got {self.answer}")
        start = 0.0 if self.start is None else self.start
        if start < 0 or (self.end is not None and self.end <= start):
            raise ValueError(f"a stretch of time ends after it starts, at 0 or later, got {self.start} to {self.end}")


@dataclass(frozen=True)
class QuestionData:
    """The questions of a benchmark that can be asked; iterating and `len` go through these."""

    questions: tuple[Question, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    """File and entry of a question -> why it cannot be asked."""

    def __iter__(self) -> Iterator[Question]:
        return iter(self.questions)

    def __len__(self) -> int:
        return len(self.questions)
