"""MVBench as it is published: 20 JSON files, videos in the folders of eleven data sets, pictures for episodic reasoning."""

import json
from pathlib import Path

import pytest

from pyratok import PyraTokError
from pyratok.evaluation.mvbench import PUBLISHED_FOLDERS, WITH_STRETCHES, read_mvbench
from pyratok.evaluation.questions_data import Question

SEQUENCE = {
    "video": "ZS9XR.mp4",
    "question": "What happened after the person took the food?",
    "candidates": ["Ate the medicine.", "Tidied up the blanket.", "Put down the cup/glass/bottle.", "Took the box."],
    "answer": "Ate the medicine.",
    "start": 11.1,
    "end": 19.6,
}
ANTONYM = {
    "video": "166583.webm",
    "question": "What is done?",
    "candidates": ["open", "close", "not sure"],
    "answer": "close",
}
COUNT = {"video": "video_10142.mp4", "question": "How often?", "candidates": [3, 4, 2], "answer": 4}
EPISODE = {
    "video": "castle_s07e04_seg02_clip_14",
    "question": "Why does Castle laugh?",
    "candidates": ["A", "B", "C", "D", "E"],
    "answer": "E",
    "start": 3.2,
    "end": 8,
    "fps": 3,
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("star/Charades_v1_480/ZS9XR.mp4", "ssv2_video/166583.webm", "perception/videos/video_10142.mp4"):
        place_video(tmp_path, name)
    (tmp_path / "video/tvqa/frames_fps3_hq/castle_s07e04_seg02_clip_14").mkdir(parents=True)
    tasks = {
        "action_sequence": SEQUENCE,
        "action_antonym": ANTONYM,
        "action_count": COUNT,
        "episodic_reasoning": EPISODE,
    }
    for task, entry in tasks.items():
        write_task(tmp_path, task, [entry])
    return tmp_path


def place_video(root: Path, name: str) -> Path:
    path = root / "video" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def write_task(root: Path, task: str, entries: object) -> Path:
    path = root / "json" / f"{task}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries, indent=4), "utf-8")
    return path


def read(root: Path):
    return read_mvbench(root / "json", root / "video")


def test_each_task_has_its_questions_with_videos_pictures_and_stretches(root):
    data, video = read(root), root / "video"
    assert list(data) == [
        Question(
            "action_antonym", video / "ssv2_video/166583.webm", "What is done?", ("open", "close", "not sure"), 1
        ),
        Question("action_count", video / "perception/videos/video_10142.mp4", "How often?", ("3", "4", "2"), 1),
        Question(
            "action_sequence",
            video / "star/Charades_v1_480/ZS9XR.mp4",
            SEQUENCE["question"],
            tuple(SEQUENCE["candidates"]),
            answer=0,
            start=11.1,
            end=19.6,
        ),
        Question(
            "episodic_reasoning",
            video / "tvqa/frames_fps3_hq/castle_s07e04_seg02_clip_14",
            "Why does Castle laugh?",
            ("A", "B", "C", "D", "E"),
            answer=4,
            start=3.2,
            end=8.0,
        ),
    ]
    assert len(data) == 4 and data.left_out == {}


def test_one_file_is_one_task(root):
    data = read_mvbench(root / "json" / "action_count.json", root / "video")
    assert [question.task for question in data] == ["action_count"]


def test_all_twenty_tasks_are_known():
    assert len(PUBLISHED_FOLDERS) == 20 and set(PUBLISHED_FOLDERS) > WITH_STRETCHES and len(WITH_STRETCHES) == 5


def test_published_tasks_about_whole_videos_have_no_stretch_and_tasks_of_others_do(root):
    write_task(root, "action_count", [COUNT | {"start": 1, "end": 2}])
    assert (question := list(read(root))[1]).task == "action_count" and (question.start, question.end) == (None, None)
    write_task(root, "sound", [COUNT | {"start": 1, "video": "a.mp4"}])
    place_video(root, "sound/a.mp4")
    assert [(one.start, one.end) for one in read(root) if one.task == "sound"] == [(1.0, None)]


@pytest.mark.parametrize(
    "place",
    ["data0613/star/Charades_v1_480", "action_sequence", ".", "star/star/Charades_segment", "more/star/deep/in/it"],
)
def test_videos_are_found_where_they_are_published_and_unpacked(root, place):
    (root / "video/star/Charades_v1_480/ZS9XR.mp4").unlink()
    path = place_video(root, f"{place}/ZS9XR.mp4")
    assert [question.video for question in read(root) if question.task == "action_sequence"] == [path]


def test_a_missing_video_is_named_with_where_it_was_looked_for(root):
    (root / "video/star/Charades_v1_480/ZS9XR.mp4").unlink()
    data = read(root)
    assert len(data) == 3 and list(data.left_out) == ["action_sequence.json, entry 1 (ZS9XR.mp4)"]
    (reason,) = data.left_out.values()
    for place in ("star/Charades_v1_480", "data0613/star/Charades_v1_480", "action_sequence", str(root / "video")):
        assert f"'{place}'" in reason


def test_a_video_of_the_same_name_in_another_data_set_is_not_taken(root):
    """CLEVRER and the Perception Test both have video_10142.mp4."""
    (root / "video/perception/videos/video_10142.mp4").unlink()
    place_video(root, "clevrer/video_validation/video_10142.mp4")
    assert list(read(root).left_out) == ["action_count.json, entry 1 (video_10142.mp4)"]


def test_two_videos_of_a_name_are_no_video(root):
    for place in ("first", "second"):
        place_video(root, f"{place}/clip.mp4")
    write_task(root, "scripted", [COUNT | {"video": "clip.mp4"}, COUNT | {"video": "second/clip.mp4"}])
    data = read(root)
    assert [one.video for one in data if one.task == "scripted"] == [root / "video/second/clip.mp4"]
    (reason,) = data.left_out.values()
    assert "there are 2 of this name" in reason and "first/clip.mp4" in reason and "second/clip.mp4" in reason


def test_an_empty_stretch_and_another_rate_of_pictures_are_left_out(root):
    """The first edition has a question from 7.5 s to 7.5 s."""
    write_task(root, "action_sequence", [SEQUENCE, SEQUENCE | {"start": 7.5, "end": 7.5}])
    write_task(root, "episodic_reasoning", [EPISODE | {"fps": 24}])
    data = read(root)
    assert len(data) == 3
    assert data.left_out == {
        "action_sequence.json, entry 2 (ZS9XR.mp4)": "the stretch that it asks about starts at 7.5 s and ends at 7.5 s",
        "episodic_reasoning.json, entry 1 (castle_s07e04_seg02_clip_14)": (
            "its folder has 24 pictures a second, and only 3 are read"
        ),
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answer": "Slept."}, "'Slept.' is none of the candidates"),
        ({"answer": None}, "None is none of the candidates"),
        ({"candidates": ["one"]}, "at least two texts"),
        ({"candidates": "one"}, "'candidates' must be a list"),
        ({"candidates": ["Ate the medicine.", None]}, "at least two texts"),
        ({"question": "  "}, "'question' is blank"),
        ({"video": None}, "'video' must be a text"),
        ({"video": "../../secret.mp4"}, "'../../secret.mp4'"),
        ({"video": "/etc/passwd"}, "'/etc/passwd'"),
        ({"start": "11"}, "'start' must be a number of seconds"),
        ({"end": -1}, "'end' must be a number of seconds"),
        ({"end": float("nan")}, "'end' must be a number of seconds"),
    ],
)
def test_a_wrong_entry_is_named_with_file_place_and_reason(root, change, reason):
    path = write_task(root, "action_sequence", [SEQUENCE, SEQUENCE | change])
    with pytest.raises(PyraTokError) as problem:
        read(root)
    assert f"'{path}', entry 2" in str(problem.value) and reason in str(problem.value)


def test_a_file_that_is_no_list_of_questions(root):
    path = write_task(root, "action_sequence", '[\n  {"video": "a.mp4",\n   "question" "b"}\n]')
    with pytest.raises(PyraTokError, match=f"'{path}', line 3, column 15: not valid JSON"):
        read(root)
    for text, reason in (("[" * 200_000, "nested too deeply"), (f"[{'1' * 5000}]", "4300 digits")):
        write_task(root, "action_sequence", text)
        with pytest.raises(PyraTokError, match=f"'{path}', from line 1: .*{reason}"):
            read(root)
    write_task(root, "action_sequence", {"questions": []})
    with pytest.raises(PyraTokError, match="a list of questions is needed here"):
        read(root)
    write_task(root, "action_sequence", ["a"])
    with pytest.raises(PyraTokError, match="entry 1: an object is needed here"):
        read(root)


def test_nothing_to_ask_is_an_error(root):
    with pytest.raises(PyraTokError, match="holds no JSON files"):
        read_mvbench(root / "video", root / "video")
    with pytest.raises(PyraTokError, match="folder of videos .* does not exist"):
        read_mvbench(root / "json", root / "videos")
    empty = root / "empty"
    empty.mkdir()
    with pytest.raises(PyraTokError, match=r"none of the 4 questions .*166583.webm.*looked in 'ssv2_video'"):
        read_mvbench(root / "json", empty)


def test_a_question_is_checked():
    for choices, answer, start, end in (
        (("a",), 0, None, None),
        (("a", "b"), 2, None, None),
        (("a", "b"), 0, 2.0, 1.0),
    ):
        with pytest.raises(ValueError):
            Question("task", Path("a.mp4"), "What?", choices, answer, start, end)
