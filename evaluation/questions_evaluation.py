"""How many multiple-choice questions are answered rightly, for each task and for all, beside what blind answers reach."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..modeling_pyratok.errors import PyraTokError, TokenFileError, VideoReadError
from ..modeling_pyratok.optional_libraries import needs_extra
from .questions_data import Question, QuestionData

Answer = Callable[[Path, str, tuple[str, ...], float | None, float | None], Iterable[float]]
"""(video, question, choices, start, end) -> a score for each choice, the highest for the one that is given as the answer."""


@dataclass(frozen=True)
class TaskAccuracy:
    """The figures of one task, as shares from 0 to 1."""

    questions: int
    accuracy: float
    chance: float
    """Expected of answers that are drawn blindly: 1 / choices, averaged over the questions."""


@dataclass(frozen=True)
class AnsweredQuestion:
    """A question, the score of each choice, and the index of the one with the highest (the first, of equal ones)."""

    question: Question
    scores: tuple[float, ...]
    chosen: int

    @property
    def is_right(self) -> bool:
        """By the text: a choice that stands there twice is right twice."""
        return self.question.choices[self.chosen] == self.question.choices[self.question.answer]


@dataclass(frozen=True)
class QuestionsEvaluation:
    """The figures of a set of questions, as shares from 0 to 1."""

    tasks: dict[str, TaskAccuracy]
    """By name of the task, sorted."""
    mean_over_tasks: float
    """What is published for MVBench, whose tasks have 200 questions each."""
    chance: float
    """The mean over tasks of what is expected of blind answers."""
    accuracy: float
    """Of all questions together."""
    answers: tuple[AnsweredQuestion, ...]
    left_out: dict[str, str]
    """Question -> why it was not asked, or could not be; it counts in no figure."""

    @property
    def asked(self) -> QuestionData:
        """The questions that count, to compare with other answers to the same."""
        return QuestionData(tuple(answered.question for answered in self.answers))

    def record(self) -> dict[str, Any]:
        """The same as plain lists and dictionaries, for JSON."""
        return {
            "mean_over_tasks": self.mean_over_tasks,
            "chance": self.chance,
            "accuracy": self.accuracy,
            "tasks": {name: asdict(task) for name, task in self.tasks.items()},
            "answers": [
                {
                    "task": answered.question.task,
                    "video": answered.question.video.name,
                    "question": answered.question.question,
                    "choices": list(answered.question.choices),
                    "answer": answered.question.answer,
                    "chosen": answered.chosen,
                    "scores": list(answered.scores),
                }
                for answered in self.answers
            ],
            "left_out": dict(self.left_out),
        }


def evaluate_questions(
    answer: Answer,
    data: QuestionData,
    progress: Callable[[Sequence[Question]], Iterable[Question]] = iter,
) -> QuestionsEvaluation:
    """Ask every question and count the right answers.

    Args:
        answer: what is measured, or a blind answer, such as `longest_choice`.
        data: the questions, with those that a reader left out.
        progress: goes through the questions and shows how far it is: `tqdm`, or rich's `track`.

    Raises:
        PyraTokError: if no video can be read, or scikit-learn is missing.
        ValueError: if there are no questions, or `answer` does not give one finite score for each choice.
    """
    if not data.questions:
        raise ValueError("there are no questions to ask")
    answers, left_out = [], dict(data.left_out)
    for question in progress(data.questions):
        try:
            scores = answer(question.video, question.question, question.choices, question.start, question.end)
        except (VideoReadError, TokenFileError) as problem:
            left_out[f"{question.task}: {question.question} ({question.video})"] = str(problem)
            continue
        answers.append(_answered(question, tuple(map(float, scores))))
    if not answers:
        raise PyraTokError(f"none of the {len(data)} questions can be asked; the first: {list(left_out.values())[-1]}")
    names = sorted({answered.question.task for answered in answers})
    tasks = {name: _figures([one for one in answers if one.question.task == name]) for name in names}
    return QuestionsEvaluation(
        tasks,
        mean_over_tasks=sum(task.accuracy for task in tasks.values()) / len(tasks),
        chance=sum(task.chance for task in tasks.values()) / len(tasks),
        accuracy=_figures(answers).accuracy,
        answers=tuple(answers),
        left_out=left_out,
    )


def longest_choice(
    video: Path, question: str, choices: tuple[str, ...], start: float | None, end: float | None
) -> list[float]:
    """A blind answer: the longest choice, which writers of questions often make the right one."""
    return [float(len(choice)) for choice in choices]


def _answered(question: Question, scores: tuple[float, ...]) -> AnsweredQuestion:
    is_finite = all(abs(score) < float("inf") for score in scores)
    if len(scores) != len(question.choices) or not is_finite:
        raise ValueError(
            f"an answer is one finite score for each of {len(question.choices)} choices, got {scores} for "
            f"{question.question!r}"
        )
    return AnsweredQuestion(question, scores, scores.index(max(scores)))


def _figures(answers: Sequence[AnsweredQuestion]) -> TaskAccuracy:
    with needs_extra("evaluate"):
        from sklearn.metrics import accuracy_score
    right = [answered.question.choices[answered.question.answer] for answered in answers]
    given = [answered.question.choices[answered.chosen] for answered in answers]
    chances = [
        answered.question.choices.count(text) / len(answered.question.choices)
        for answered, text in zip(answers, right, strict=True)
    ]
    return TaskAccuracy(len(answers), float(accuracy_score(right, given)), sum(chances) / len(chances))
