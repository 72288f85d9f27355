"""Evaluating a localizer on a benchmark, and the localizers that do not look."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pyratok.evaluation.localization_baselines import RandomSegments, WholeVideo, video_duration
from pyratok.evaluation.localization_data import Action, ActionVideo, LocalizationData
from pyratok.evaluation.localization_evaluation import evaluate_localization
from pyratok.evaluation.localization_metrics import THUMOS14_THRESHOLDS
from pyratok.modeling_pyratok.errors import PyraTokError, VideoReadError
from pyratok.modeling_pyratok.video_tokens import VideoTokens


def video(name: str, *actions: Action) -> ActionVideo:
    return ActionVideo(name, Path(f"{name}.mp4"), None, actions)


DATA = LocalizationData(
    videos=(
        video("a", Action("jump", 0.0, 2.0), Action("run", 3.0, 8.0)),
        video("b", Action("jump", 5.0, 6.0)),
        video("c"),
    ),
    classes=("jump", "run", "swim"),
    missing=("gone",),
    repeated=("a: 'jump' from 0.0 to 2.0 s",),
)


def knowing(path: Path, texts: tuple[str, ...]) -> list[list[tuple[float, float, float]]]:
    """Finds every action, those of "b" with half of its length missing."""
    truth = {item.video: item for item in DATA.videos}[path]
    shorter = 0.5 if truth.name == "b" else 0.0
    return [[(a.start, a.end - shorter, 0.9) for a in truth.actions if a.label == text] for text in texts]


def test_a_localizer_is_measured_over_videos_and_classes():
    seen = []
    evaluation = evaluate_localization(
        knowing, DATA, THUMOS14_THRESHOLDS, lambda videos: (seen.append(v.name) or v for v in videos)
    )
    assert seen == ["a", "b", "c"]
    assert evaluation.average_precisions == {"jump": (1.0, 1.0, 1.0, 0.5, 0.5), "run": (1.0,) * 5}
    assert evaluation.mean_average_precisions == (1.0, 1.0, 1.0, 0.75, 0.75)
    assert evaluation.mean_average_precision == pytest.approx(0.9)
    assert evaluation.num_actions == {"jump": 2, "run": 1, "swim": 0}
    assert (evaluation.num_videos, evaluation.num_predictions) == (3, 3)


def test_the_record_is_json_and_names_what_was_left_out():
    record = json.loads(json.dumps(evaluate_localization(knowing, DATA, (0.5,)).record(), allow_nan=False))
    assert record["mean_average_precision"] == 1.0
    assert record["classes"]["jump"] == {"actions": 2, "average_precisions": [1.0]}
    assert record["classes_without_actions"] == ["swim"]
    assert record["missing_videos"] == ["gone"]
    assert record["repeated_actions"] == ["a: 'jump' from 0.0 to 2.0 s"]
    assert (record["videos"], record["actions"], record["predictions"]) == (3, 3, 3)
    assert record["segments"] == {
        "a": {"jump": [[0.0, 2.0, 0.9]], "run": [[3.0, 8.0, 0.9]]},
        "b": {"jump": [[5.0, 5.5, 0.9]]},
        "c": {},
    }


def test_an_unreadable_video_is_named_and_its_actions_do_not_count():
    def broken(path: Path, texts: tuple[str, ...]) -> list:
        if path.stem == "b":
            raise VideoReadError("'b.mp4' is cut short.")
        return knowing(path, texts)

    evaluation = evaluate_localization(broken, DATA, (0.7,))
    assert evaluation.unreadable == {"b": "'b.mp4' is cut short."}
    assert evaluation.num_actions["jump"] == 1
    assert evaluation.mean_average_precision == 1.0
    record = evaluation.record()
    assert record["unreadable_videos"] == {"b": "'b.mp4' is cut short."} and list(record["segments"]) == ["a", "c"]


def test_nothing_readable_and_nothing_to_find_are_errors():
    def broken(path: Path, texts: tuple[str, ...]) -> list:
        raise VideoReadError(f"{path} is empty.")

    with pytest.raises(PyraTokError, match="none of the 3 videos can be read; the first: a.mp4 is empty."):
        evaluate_localization(broken, DATA, (0.5,))
    with pytest.raises(PyraTokError, match="the 1 videos that can be read have no actions"):
        evaluate_localization(lambda path, texts: [[]], LocalizationData((video("c"),), ("jump",)), (0.5,))


def test_a_localizer_must_answer_every_text():
    with pytest.raises(ValueError, match="a list for each of 3 texts, got 1"):
        evaluate_localization(lambda path, texts: [[]], DATA, (0.5,))


def test_the_pipelines_answer_is_taken_as_it_is():
    """Segments of Python numbers or of tensors, in lists or tuples."""
    output = SimpleNamespace(segments=[[(torch.tensor(0.0), torch.tensor(2.0), torch.tensor(0.7))], (), []])
    evaluation = evaluate_localization(lambda path, texts: output.segments, DATA, (0.5,))
    assert evaluation.num_predictions == 3
    json.dumps(evaluation.record(), allow_nan=False)
    assert evaluation.segments["b"] == {"jump": ((0.0, 2.0, pytest.approx(0.7)),)}
    assert evaluation.average_precisions["jump"] == (0.5,)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    codes = (torch.zeros(3, 1, 1, dtype=torch.long),)
    tokens = VideoTokens(codes, (9, 8, 8), 4.5, ((4, 8),), 4, None, None)
    path = tmp_path / "nine.safetensors"
    tokens.save(path)
    return path


def test_durations_of_videos_and_token_files(clip, token_file):
    assert video_duration(token_file) == 2.0
    assert 0.5 < video_duration(clip) < 5.0


def test_durations_of_files_that_do_not_state_one(tmp_path):
    from PIL import Image

    path = tmp_path / "picture.png"
    Image.new("RGB", (8, 8)).save(path)
    assert video_duration(path) == 1.0


@pytest.mark.parametrize("baseline", [RandomSegments, WholeVideo])
def test_baselines_depend_on_seed_and_name_alone(baseline, clip, token_file):
    texts = ("jump", "run")
    other = token_file.with_name("ten.safetensors")
    shutil.copy(token_file, other)
    assert baseline(seed=3)(token_file, texts) != baseline(seed=3)(other, texts)
    answer = baseline(seed=3)(clip, texts)
    baseline(seed=3)(token_file, texts)
    assert baseline(seed=3)(clip, texts) == answer != baseline(seed=4)(clip, texts)
    assert len(answer) == 2 and answer[0] != answer[1]
    assert all(
        0 <= start <= end <= video_duration(clip) and 0 <= score < 1 for row in answer for start, end, score in row
    )


def test_baselines_say_what_their_names_say(clip):
    assert [len(row) for row in RandomSegments(0, count=7)(clip, ("jump", "run"))] == [7, 7]
    assert [row[0][:2] for row in WholeVideo(0)(clip, ("jump", "run"))] == [(0.0, video_duration(clip))] * 2


def test_baselines_say_what_is_wrong_with_a_file(tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no film")
    data = LocalizationData((ActionVideo("broken", path, None, (Action("jump", 0.0, 1.0),)),), ("jump",))
    with pytest.raises(PyraTokError, match="none of the 1 videos can be read.*broken.mp4"):
        evaluate_localization(RandomSegments(0), data, (0.5,))
    (tmp_path / "broken.safetensors").write_bytes(b"no tokens")
    data = LocalizationData((ActionVideo("x", tmp_path / "broken.safetensors", None, ()),), ("jump",))
    with pytest.raises(PyraTokError, match="none of the 1 videos can be read"):
        evaluate_localization(WholeVideo(0), data, (0.5,))
