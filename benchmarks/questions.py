"""How well questions about videos are answered from tokens, against chance and against the language model alone.

    python benchmarks/questions.py path/to/video [--projector runs/questions] [--json questions.json]
    python benchmarks/questions.py path/to/mvbench --mvbench [--projector runs/questions]

The first needs captioned videos alone: for each clip of the validation split its own caption is chosen among four, the other
three drawn from the captions of other clips, none equal to it. Chance is a quarter. The second takes a folder with json/ and
video/ of MVBench's form. Each question is asked with the video, calibrated and not, from each level alone, and without it.
"""

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measuring import print_table
from tqdm import tqdm

from pyratok import VideoTokens
from pyratok.evaluation.mvbench import read_mvbench
from pyratok.evaluation.questions_data import Question, QuestionData
from pyratok.evaluation.questions_evaluation import evaluate_questions
from pyratok.modeling_pyratok.atomic_writing import atomic_path
from pyratok.pipelines.question_answering_loading import load_question_answering
from pyratok.pipelines.question_answering_pipeline import PyraTokQuestionAnsweringPipeline
from pyratok.pipelines.video_tokens_of import tokens_from
from pyratok.training.data_sources import open_rows

TASK, QUESTION, CHOICES = "caption", "Describe the video.", 4


def caption_questions(source: str, split: str, seed: int) -> QuestionData:
    """A question for each captioned clip of a split: which of four captions is its own."""
    rows = [row for row in open_rows(source, split).rows if row["caption"] and row["problem"] is None]
    draw = random.Random(seed)
    questions = []
    for row in rows:
        others = sorted({other["caption"] for other in rows} - {row["caption"]})
        choices = [row["caption"], *draw.sample(others, CHOICES - 1)]
        draw.shuffle(choices)
        questions.append(
            Question(TASK, Path(row["media"]), QUESTION, tuple(choices), choices.index(row["caption"]), None, None)
        )
    return QuestionData(tuple(questions), {})


class Answers:
    """The pipeline as `evaluate_questions` takes it; tokens are made once for all ways to ask."""

    def __init__(self, pipeline: PyraTokQuestionAnsweringPipeline):
        self.pipeline = pipeline
        self._tokens: dict[Any, VideoTokens] = {}

    def tokens(self, video: Path, start: float | None, end: float | None) -> VideoTokens:
        """The tokens of a stretch of a video."""
        key = (video, start, end)
        if key not in self._tokens:
            vq_model, processor = self.pipeline.vq_model, self.pipeline.video_processor
            self._tokens[key] = tokens_from(vq_model, processor, video, start=start, end=end)
        return self._tokens[key]

    def seen(self, levels: Sequence[int] | None = None, calibrate: bool = True) -> Any:
        """Answers from the video."""

        def answer(video: Path, question: str, choices: Any, start: float | None, end: float | None) -> list[float]:
            tokens = self.tokens(video, start, end)
            return self.pipeline(tokens, question, choices, levels, calibrate).scores.tolist()

        return answer

    def blind(self, video: Path, question: str, choices: Any, start: float | None, end: float | None) -> list[float]:
        """Answers of the language model alone."""
        return self.pipeline.blind_scores(question, choices).tolist()


def measured(pipeline: PyraTokQuestionAnsweringPipeline, data: QuestionData) -> dict[str, dict[str, Any]]:
    """The record of an evaluation for each way to ask."""
    answers = Answers(pipeline)
    ways = {"with the video": answers.seen(), "with the video, not calibrated": answers.seen(calibrate=False)}
    ways |= {f"level {n} alone": answers.seen((n,)) for n in range(1, pipeline.vq_model.config.num_levels + 1)}
    ways["the language model alone"] = answers.blind
    return {
        name: evaluate_questions(answer, data, lambda questions, name=name: tqdm(questions, desc=name)).record()
        for name, answer in ways.items()
    }


def main() -> None:
    """Measure, print, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "source", help="captioned videos with train/ and validation/ inside, or a folder of MVBench's form"
    )
    parser.add_argument("--mvbench", action="store_true", help="the folder is of MVBench's form: json/ and video/")
    parser.add_argument("--model", default="pyratok", help="the tokenizer")
    parser.add_argument("--projector", help="the folder of a projector; the model's own without it")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--seed", type=int, default=0, help="of the captions that are drawn")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.mvbench:
        data = read_mvbench(Path(given.source, "json"), Path(given.source, "video"))
    else:
        data = caption_questions(given.source, given.split, given.seed)
    pipeline = load_question_answering(given.model, given.projector)
    found = measured(pipeline, data)
    tasks = list(next(iter(found.values()))["tasks"])
    rows = [
        [name, *(f"{record['tasks'][task]['accuracy']:.1%}" for task in tasks), f"{record['mean_over_tasks']:.1%}"]
        for name, record in found.items()
    ]
    chances = next(iter(found.values()))
    rows.append(["chance", *(f"{chances['tasks'][task]['chance']:.1%}" for task in tasks), f"{chances['chance']:.1%}"])
    print_table(f"{len(data.questions)} questions", ["right answers", *tasks, "mean over tasks"], rows)
    if given.json:
        with atomic_path(given.json) as path:
            record = {"weights_fingerprint": pipeline.vq_model.weights_fingerprint(), **found}
            path.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
