"""Evaluating a classifier: zero-shot, and a linear probe on features."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pyratok.evaluation.classification_data import LabelledVideo
from pyratok.evaluation.classification_evaluation import evaluate_classification, evaluate_linear_probe
from pyratok.modeling_pyratok.errors import PyraTokError, TokenFileError, VideoReadError

LABELS = ("archery", "bowling", "cheering", "diving", "eating", "fencing")


def films(split: str, **counts: int) -> list[LabelledVideo]:
    return [LabelledVideo(Path(f"{split}/{label}_{i}.mp4"), label) for label, n in counts.items() for i in range(n)]


VIDEOS = films("val", archery=3, bowling=1)


def bowling_fan(path: Path, labels: tuple[str, ...]) -> torch.Tensor:
    """Right for bowling, and for the first video of archery."""
    scores = torch.linspace(0.1, 0.5, len(labels))
    scores[0 if path.stem == "archery_0" else 1] = 0.9
    return scores


def test_zero_shot_figures_stand_beside_chance_and_the_most_frequent_label():
    seen = []
    evaluation = evaluate_classification(
        bowling_fan, VIDEOS, LABELS, lambda videos: (seen.append(v) or v for v in videos)
    )
    assert seen == VIDEOS
    assert evaluation.figures.top_1 == 0.5
    assert evaluation.figures.top_5 == 0.5  # archery's 0.1 is the lowest of six
    assert evaluation.figures.mean_per_class == pytest.approx((1 / 3 + 1) / 2)
    assert evaluation.label_accuracies == pytest.approx({"archery": 1 / 3, "bowling": 1.0})
    assert evaluation.chance.top_1 == pytest.approx(1 / 6) and evaluation.chance.top_5 == pytest.approx(5 / 6)
    assert evaluation.most_frequent_label == "archery"
    assert (evaluation.most_frequent.top_1, evaluation.most_frequent.mean_per_class) == (0.75, 0.5)
    assert evaluation.predictions["val/archery_0.mp4"] == "archery"
    assert evaluation.predictions["val/archery_1.mp4"] == "bowling"


def test_the_record_is_json():
    record = json.loads(json.dumps(evaluate_classification(bowling_fan, VIDEOS, LABELS[:2]).record(), allow_nan=False))
    assert record["top_1"] == 0.5 and record["top_5"] is None
    assert record["chance"]["top_1"] == 0.5
    assert record["most_frequent"]["label"] == "archery"
    assert record["videos"] == 4 and record["labels"] == ["archery", "bowling"]


@pytest.mark.parametrize("error", [VideoReadError, TokenFileError])
def test_unreadable_videos_are_named_and_do_not_count(error):
    def broken(path: Path, labels: tuple[str, ...]) -> list[float]:
        if path.stem == "archery_1":
            raise error("'archery_1.mp4' is damaged.")
        return bowling_fan(path, labels).tolist()

    evaluation = evaluate_classification(broken, VIDEOS, LABELS)
    assert evaluation.unreadable == {"val/archery_1.mp4": "'archery_1.mp4' is damaged."}
    assert len(evaluation.predictions) == 3
    assert evaluation.figures.top_1 == pytest.approx(2 / 3)
    assert evaluation.record()["unreadable_videos"] == evaluation.unreadable

    def always(path: Path, labels: tuple[str, ...]) -> list[float]:
        raise error(f"{path.name} is damaged.")

    with pytest.raises(PyraTokError, match="none of the 4 videos can be read; the first: archery_0.mp4 is damaged."):
        evaluate_classification(always, VIDEOS, LABELS)


@pytest.mark.parametrize(
    ("scores", "labels", "reason"),
    [
        ([0.5], LABELS, r"the scores of 6 labels must be \(6,\), got \(1,\)"),
        (np.full(6, np.nan), LABELS, "scores must be finite"),
        (np.ones(1), LABELS[:1], "labels must be two or more"),
        (np.ones(2), ("archery", "archery"), "labels must be two or more, each once"),
        (np.ones(2), ("archery", "judo"), "labels that are not among the 2 given: bowling"),
    ],
)
def test_wrong_calls_are_refused(scores, labels, reason):
    with pytest.raises(ValueError, match=reason):
        evaluate_classification(lambda path, labels: scores, VIDEOS, labels)


def features_of(path: Path) -> torch.Tensor:
    """Features that tell the labels apart, with a little of the file's own."""
    label, number = path.stem.split("_")
    row = torch.full((len(LABELS),), 0.01 * int(number))
    row[LABELS.index(label)] += 1
    return row


def test_a_linear_probe_is_fitted_on_training_videos_and_measured_on_others():
    training = films("train", archery=4, bowling=6, cheering=4)
    evaluation = evaluate_linear_probe(features_of, training, VIDEOS, seed=0)
    assert evaluation.probe.classes == LABELS[:3]
    assert evaluation.test.labels == LABELS[:3]
    assert evaluation.test.figures.top_1 == 1.0
    assert evaluation.num_training_videos == 14
    # Bowling is the most frequent in training, not in the test.
    assert evaluation.test.most_frequent_label == "bowling"
    assert evaluation.test.most_frequent.top_1 == 0.25
    record = json.loads(json.dumps(evaluation.record(), allow_nan=False))
    assert record["top_1"] == 1.0 and record["training_videos"] == 14 and record["unreadable_training_videos"] == {}


def test_a_probe_of_features_that_say_nothing_is_no_better_than_chance():
    def noise(path: Path) -> torch.Tensor:
        return torch.randn(8, generator=torch.Generator().manual_seed(sum(str(path).encode())))

    training, test = films("train", archery=20, bowling=20), films("val", archery=40, bowling=40)
    assert 0.25 < evaluate_linear_probe(noise, training, test, seed=0).test.figures.top_1 < 0.75


def test_what_a_probe_cannot_use_is_named():
    def broken(path: Path) -> torch.Tensor:
        if path in (Path("train/archery_0.mp4"), Path("val/archery_2.mp4")):
            raise VideoReadError(f"'{path.name}' is damaged.")
        return features_of(path)

    training = films("train", archery=4, bowling=4)
    evaluation = evaluate_linear_probe(broken, training, VIDEOS, seed=0)
    assert evaluation.unreadable_training == {"train/archery_0.mp4": "'archery_0.mp4' is damaged."}
    assert evaluation.num_training_videos == 7
    assert evaluation.test.unreadable == {"val/archery_2.mp4": "'archery_2.mp4' is damaged."}
    with pytest.raises(PyraTokError, match="no training video that can be read has the labels diving"):
        evaluate_linear_probe(features_of, training, films("val", diving=1), seed=0)
    with pytest.raises(PyraTokError, match="1 of 5 videos to measure are also those .* 'train/archery_0.mp4'"):
        evaluate_linear_probe(features_of, training, [*VIDEOS, *films("train", archery=1)], seed=0)
    with pytest.raises(ValueError, match=r"features of every video must be \(D,\)"):
        evaluate_linear_probe(lambda path: torch.zeros(int(path.stem[-1]) + 1), training, VIDEOS, seed=0)
    with pytest.raises(ValueError, match=r"features of every video must be \(D,\)"):
        evaluate_linear_probe(lambda path: torch.zeros(1, 4), training, VIDEOS, seed=0)
