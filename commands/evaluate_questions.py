"""`pyratok evaluate questions`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ..pipelines.question_answering_loading import load_question_answering
from .errors_for_people import argument_errors, memory_errors
from .evaluation_output import Data, JsonFile, figures_table, json_target, report, spread, write_record
from .model_use import be_quiet, place
from .options import Device, Model
from .progress import progress_bar

FRAMES_OF_A_FOLDER = 16
"""Of a video that comes as a folder of pictures so many are taken, evenly spread, as MVBench's own protocol does."""


def questions(
    data: Data,
    annotations: Annotated[
        str, typer.Option("--annotations", help="MVBench's folder json/, a file for each task, or one such file.")
    ],
    model: Model = "pyratok",
    projector: Annotated[
        str | None, typer.Option("--projector", help="The folder of a projector that was trained for the model.")
    ] = None,
    max_questions: Annotated[
        int | None, typer.Option("--max-questions", min=1, help="Ask this many questions, spread evenly over all.")
    ] = None,
    json_file: JsonFile = None,
    device: Device = None,
) -> None:
    """Answer multiple-choice questions in the format of MVBench: accuracy for each task, and the mean over tasks.

    The same questions are also answered without the video, by the language model alone and by the longest choice.

    Example: `pyratok evaluate questions --data MVBench/video --annotations MVBench/json`
    """
    from ..evaluation.mvbench import read_mvbench
    from ..evaluation.paper_figures import paper_table
    from ..evaluation.questions_evaluation import evaluate_questions, longest_choice
    from ..evaluation.stretch_frames import stretch_frames

    found = read_mvbench(annotations, data)
    found = dataclasses.replace(found, questions=spread(found.questions, max_questions))
    with json_target(json_file) as target:
        be_quiet()
        pipeline = place(load_question_answering(model, projector), None, device)
        blind_scores: dict[tuple[str, tuple[str, ...]], list[float]] = {}

        def answer(
            video: Path, question: str, choices: tuple[str, ...], start: float | None, end: float | None
        ) -> list[float]:
            if video.is_dir():  # pictures of its frames
                frames = stretch_frames(video, FRAMES_OF_A_FOLDER, start, end).movedim(1, -1)
                output = pipeline(frames.numpy(), question, list(choices))
            else:
                output = pipeline(video, question, list(choices), start=start, end=end)
            blind_scores[question, choices] = output.blind_scores.tolist()
            return output.scores.tolist()

        def alone(video: Path, question: str, choices: tuple[str, ...], *stretch: float | None) -> list[float]:
            return blind_scores[question, choices]

        with argument_errors(), memory_errors("ask about shorter stretches"):
            evaluation = evaluate_questions(answer, found, progress_bar("answering"))
            blind = {
                name: evaluate_questions(without_video, evaluation.asked)
                for name, without_video in (
                    ("the language model alone", alone),
                    ("the longest choice", longest_choice),
                )
            }
        without_video = {
            name: {"mean_over_tasks": other.mean_over_tasks, "accuracy": other.accuracy}
            for name, other in blind.items()
        }
        write_record(
            target, {"benchmark": "mvbench", **evaluation.record(), "without_video": without_video}, model, data
        )
    figures = {
        "questions": f"{len(evaluation.answers):,}",
        "mean over tasks": f"{evaluation.mean_over_tasks:.2%} (chance {evaluation.chance:.2%})",
        "all questions": f"{evaluation.accuracy:.2%}",
    }
    for name, other in blind.items():
        figures[name] = f"{other.mean_over_tasks:.2%} (mean over tasks, without the video)"
    for name, task in evaluation.tasks.items():
        figures[name] = f"{task.accuracy:.2%} of {task.questions:,} (chance {task.chance:.2%})"
    measured_on = f"{len(evaluation.answers)} questions of {annotations}"
    paper = paper_table("mvbench", {"accuracy": 100 * evaluation.mean_over_tasks}, measured_on, model)
    report([figures_table(f"{model} on {data}", figures), paper], evaluation.left_out, json_file)
