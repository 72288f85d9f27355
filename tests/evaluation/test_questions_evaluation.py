"""Accuracy of answers: per task and the mean over tasks, against scikit-learn and a plain count; blind answers."""

import json
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from pyratok import PyraTokError, VideoReadError
from pyratok.evaluation.questions_data import Question, QuestionData
from pyratok.evaluation.questions_evaluation import evaluate_questions, longest_choice
from pyratok.modeling_pyratok.errors import TokenFileError

VIDEO = Path("clip.mp4")


def question(answer: int, choices=("yes", "no"), task: str = "doors", text: str = "Open?") -> Question:
    return Question(task, VIDEO, text, tuple(choices), answer)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]), st.integers(0, 2), st.lists(st.floats(-9, 9), min_size=3, max_size=3)
        ),
        min_size=1,
        max_size=20,
    )
)
@settings(deadline=None, max_examples=50)
def test_accuracy_is_that_of_a_plain_count(items):
    scores = iter([scores for _, _, scores in items])
    data = QuestionData(tuple(question(answer, "xyz", task) for task, answer, _ in items))
    result = evaluate_questions(lambda *asked: next(scores), data)
    right = {}
    for task, answer, row in items:
        right.setdefault(task, []).append(max(range(3), key=lambda index: row[index]) == answer)
    for task, hits in right.items():
        assert result.tasks[task].accuracy == pytest.approx(sum(hits) / len(hits), abs=1e-6)
        assert result.tasks[task].questions == len(hits)
    assert result.mean_over_tasks == pytest.approx(sum(sum(h) / len(h) for h in right.values()) / len(right), abs=1e-6)
    truth, chosen = [q.answer for q in data], [one.chosen for one in result.answers]
    assert result.accuracy == pytest.approx(accuracy_score(truth, chosen), abs=1e-6)


def test_tasks_weigh_the_same_in_the_mean_and_questions_in_the_accuracy():
    data = QuestionData((question(0), question(0), question(0), question(1, task="cats")))
    result = evaluate_questions(lambda *asked: torch.tensor([1.0, 0.0]), data)
    assert (result.mean_over_tasks, result.accuracy) == (0.5, 0.75)
    assert list(result.tasks) == ["cats", "doors"]


def test_the_answer_is_given_what_is_asked_for():
    asked = Question("t", VIDEO, "What?", ("a", "b"), 1, start=1.5, end=4.0)
    seen = []

    def answer(*given):
        seen.append(given)
        return [0, 1]

    assert evaluate_questions(answer, QuestionData((asked,))).accuracy == 1
    assert seen == [(VIDEO, "What?", ("a", "b"), 1.5, 4.0)]


def test_a_choice_that_is_there_twice_is_right_twice():
    data = QuestionData((question(0, ("cup", "cup", "box")),))
    result = evaluate_questions(lambda *asked: [0.0, 2.0, 1.0], data)
    assert result.accuracy == 1 and result.chance == pytest.approx(2 / 3)


def test_chance_is_what_blind_answers_reach():
    data = QuestionData(tuple(question(i % n, "abcde"[:n], f"of {n}") for n in (2, 4, 5) for i in range(200)))
    draw = random.Random(0)
    result = evaluate_questions(lambda video, text, choices, *stretch: [draw.random() for _ in choices], data)
    assert result.chance == pytest.approx((1 / 2 + 1 / 4 + 1 / 5) / 3)
    assert result.mean_over_tasks == pytest.approx(result.chance, abs=0.05)
    for task in result.tasks.values():
        assert task.accuracy == pytest.approx(task.chance, abs=0.1)


def test_the_longest_choice():
    data = QuestionData((question(1, ("no", "because it rains", "why not?")),))
    assert evaluate_questions(longest_choice, data).accuracy == 1


@pytest.mark.parametrize("error", [VideoReadError, TokenFileError])
def test_videos_that_cannot_be_read_count_in_no_figure_and_are_named(error):
    def answer(video, text, choices, start, end):
        if text == "Broken?":
            raise error("'clip.mp4' is damaged.")
        return [1, 0]

    data = QuestionData((question(0), question(1, text="Broken?")), {"a.json, entry 3": "missing"})
    result = evaluate_questions(answer, data)
    assert result.accuracy == 1 and result.tasks["doors"].questions == 1
    assert result.left_out == {
        "a.json, entry 3": "missing",
        "doors: Broken? (clip.mp4)": "'clip.mp4' is damaged.",
    }
    with pytest.raises(PyraTokError, match="none of the 1 questions .* is damaged"):
        evaluate_questions(answer, QuestionData((question(1, text="Broken?"),)))


@pytest.mark.parametrize("scores", [[1.0], [1.0, 2.0, 3.0], [1.0, float("nan")], [float("inf"), 0.0]])
def test_scores_that_do_not_fit_are_refused(scores):
    with pytest.raises(ValueError, match="one finite score for each of 2 choices"):
        evaluate_questions(lambda *asked: scores, QuestionData((question(0),)))


def test_no_questions_are_refused():
    with pytest.raises(ValueError, match="no questions"):
        evaluate_questions(longest_choice, QuestionData(()))


def test_the_record_is_plain_json_and_progress_sees_every_question():
    data = QuestionData((question(0), question(1)), {"x": "y"})
    shown = []
    result = evaluate_questions(longest_choice, data, progress=lambda items: shown.extend(items) or items)
    record = json.loads(json.dumps(result.record(), allow_nan=False))
    assert shown == list(data)
    assert record["accuracy"] == 0.5 and record["tasks"]["doors"] == {"questions": 2, "accuracy": 0.5, "chance": 0.5}
    assert record["answers"][1] == {
        "task": "doors",
        "video": "clip.mp4",
        "question": "Open?",
        "choices": ["yes", "no"],
        "answer": 1,
        "chosen": 0,
        "scores": [3.0, 2.0],
    }
    assert record["left_out"] == {"x": "y"}
