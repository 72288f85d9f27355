"""The annotations of ActivityNet 1.3, in their published form and broken."""

import copy
import json
from pathlib import Path

import pytest

from pyratok.evaluation.activitynet import read_activitynet
from pyratok.evaluation.localization_data import Action, ActionVideo
from pyratok.modeling_pyratok.errors import PyraTokError

PUBLISHED = {
    "version": "VERSION 1.3",
    "taxonomy": [
        {"parentName": "Root", "nodeName": "Household Activities", "nodeId": 1, "parentId": 0},
        {"parentName": "Household Activities", "nodeName": "Washing hands", "nodeId": 86, "parentId": 1},
    ],
    "database": {
        "--1DO2V4K74": {
            "duration": 211.53,
            "subset": "training",
            "resolution": "320x240",
            "url": "https://www.youtube.com/watch?v=--1DO2V4K74",
            "annotations": [{"segment": [30.025882995319815, 205.2318595943838], "label": "Rock climbing"}],
        },
        "--6bJUbfpnQ": {
            "duration": 26.75,
            "subset": "validation",
            "resolution": "480x360",
            "url": "https://www.youtube.com/watch?v=--6bJUbfpnQ",
            "annotations": [
                {"segment": [2.578755070202808, 24.914101404056165], "label": "Drinking beer"},
                {"segment": [24, 27], "label": "Washing hands"},
            ],
        },
        "ZZVrH3Hv1fM": {
            "duration": 100,
            "subset": "validation",
            "resolution": "480x360",
            "url": "https://www.youtube.com/watch?v=ZZVrH3Hv1fM",
            "annotations": [{"segment": [0, 0], "label": "Washing hands"}],
        },
        "gone1234567": {
            "duration": 10.0,
            "subset": "validation",
            "resolution": "480x360",
            "url": "https://www.youtube.com/watch?v=gone1234567",
            "annotations": [{"segment": [1.0, 2.0], "label": "Archery"}],
        },
        "--9oZPfGt1Y": {
            "duration": 55.0,
            "subset": "testing",
            "resolution": "640x360",
            "url": "https://www.youtube.com/watch?v=--9oZPfGt1Y",
            "annotations": [],
        },
    },
}


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("v_--1DO2V4K74.mp4", "v_--6bJUbfpnQ.mkv", "v_ZZVrH3Hv1fM.webm", "v_ZZVrH3Hv1fM.safetensors"):
        (folder / name).touch()
    return folder


def written(folder: Path, content: object) -> Path:
    path = folder / "activity_net.v1-3.min.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def test_reads_the_published_form(tmp_path, videos):
    data = read_activitynet(written(tmp_path, PUBLISHED), videos)
    beer = Action("Drinking beer", 2.578755070202808, 24.914101404056165)
    hands = Action("Washing hands", 24.0, 27.0)  # beyond the stated duration, as some of the published ones
    assert data.videos == (
        ActionVideo("--6bJUbfpnQ", videos / "v_--6bJUbfpnQ.mkv", 26.75, (beer, hands)),
        ActionVideo("ZZVrH3Hv1fM", videos / "v_ZZVrH3Hv1fM.webm", 100.0, (Action("Washing hands", 0.0, 0.0),)),
    )
    assert data.classes == ("Archery", "Drinking beer", "Washing hands")
    assert data.missing == ("gone1234567",)
    assert data.repeated == ()


def test_reads_the_training_subset(tmp_path, videos):
    data = read_activitynet(written(tmp_path, PUBLISHED), videos, "training")
    assert [video.name for video in data.videos] == ["--1DO2V4K74"]
    assert data.missing == ()


def test_an_action_that_is_listed_twice_counts_once_and_is_named(tmp_path, videos):
    content = copy.deepcopy(PUBLISHED)
    content["database"]["--6bJUbfpnQ"]["annotations"] *= 2
    data = read_activitynet(written(tmp_path, content), videos)
    assert len(data.videos[0].actions) == 2
    assert data.repeated[1] == "--6bJUbfpnQ: 'Washing hands' from 24.0 to 27.0 s"


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("duration", "26.75", "'duration' must be a number of seconds"),
        ("duration", -1, "'duration' must be a number of seconds"),
        ("duration", 10**400, "'duration' must be a number of seconds"),
        ("subset", "val", "'subset' must be one of training, validation, testing, got 'val'"),
        ("subset", None, "'subset' must be a text"),
        ("annotations", {}, "'annotations' must be a list"),
        ("annotations", [3], "annotations[0]: an object is needed here, got 3"),
        ("annotations", [{"segment": [1, 2]}], "annotations[0]: 'label' is missing"),
        ("annotations", [{"segment": [1, 2], "label": " "}], "annotations[0]: 'label' is blank"),
        ("annotations", [{"label": "Archery"}], "annotations[0]: 'segment' is missing"),
        ("annotations", [{"segment": [1], "label": "Archery"}], "'segment' must be [start, end] in seconds, got [1]"),
        ("annotations", [{"segment": [1, True], "label": "A"}], "'segment' must be [start, end] in seconds"),
        ("annotations", [{"segment": [5.5, 2.5], "label": "A"}], "it ends at 2.5 s, before it starts at 5.5 s"),
        ("annotations", [{"segment": [-1, 2], "label": "A"}], "its times -1.0 and 2.0 must not be negative"),
        ("annotations", [{"segment": [0, float("nan")], "label": "A"}], "are not numbers of seconds"),
    ],
)
def test_an_invalid_entry_is_named_with_the_reason(tmp_path, videos, field, value, reason):
    content = copy.deepcopy(PUBLISHED)
    content["database"]["--6bJUbfpnQ"][field] = value
    path = written(tmp_path, content)
    with pytest.raises(PyraTokError) as caught:
        read_activitynet(path, videos, "training")  # the entry is of another subset, and still checked
    message = str(caught.value)
    assert repr(str(path)) in message and "entry '--6bJUbfpnQ'" in message and reason in message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "line 1"),
        ('{"database": {\n"a": }}', "line 2"),
        ("[]", "an object is needed"),
        ('{"version": "VERSION 1.3"}', "'database' is missing"),
        ('{"database": {}}', "'database' is empty"),
        ('{"database": {"a": 1}}', "entry 'a': an object is needed"),
        ('{"database": {"a": {}, "a": {}}}', "'a' stands twice"),
        ('{"a":' * 200_000, "nested too deeply"),
    ],
)
def test_other_files_are_refused_with_the_reason(tmp_path, videos, content, reason):
    path = written(tmp_path, content)
    with pytest.raises(PyraTokError) as caught:
        read_activitynet(path, videos)
    assert repr(str(path)) in str(caught.value) and reason in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path, videos):
    path = written(tmp_path, PUBLISHED)
    with pytest.raises(PyraTokError, match="cannot read .*none.json"):
        read_activitynet(tmp_path / "none.json", videos)
    with pytest.raises(PyraTokError, match="nowhere' does not exist"):
        read_activitynet(path, tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(PyraTokError, match="none of the 3 annotated videos is in .*v_--6bJUbfpnQ.mp4"):
        read_activitynet(path, empty)


def test_a_subset_without_actions_and_an_unknown_one_are_refused(tmp_path, videos):
    path = written(tmp_path, PUBLISHED)
    with pytest.raises(PyraTokError, match="no actions in the subset 'testing'"):
        read_activitynet(path, videos, "testing")
    with pytest.raises(ValueError, match="subset must be one of training, validation, testing, got 'val'"):
        read_activitynet(path, videos, "val")
