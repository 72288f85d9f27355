"""The annotations of THUMOS14, in their published form and broken."""

from pathlib import Path

import pytest

from pyratok.evaluation.localization_data import Action, ActionVideo
from pyratok.evaluation.thumos14 import class_text, read_thumos14
from pyratok.modeling_pyratok.errors import PyraTokError

PUBLISHED = {
    "BaseballPitch_test.txt": "video_test_0000324  49.2 53.5\nvideo_test_0000324  116.7 122.5\nvideo_test_0000664  1.3 4.8\n",
    "CleanAndJerk_test.txt": "video_test_0000058\t4.5\t10.1\r\nvideo_test_0000664  1.3 4.8\r\n",
    "Ambiguous_test.txt": "video_test_0000324  60.0 61.5\nvideo_test_0001292  2.1 3.3\n",
    "BaseballPitch_val.txt": "video_validation_0000266 72.80 76.40\n",
    "Ambiguous_val.txt": "",
    "detclasslist.txt": "7 BaseballPitch\n21 CleanAndJerk\n",
}


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    folder = tmp_path / "annotation"
    folder.mkdir()
    for name, text in PUBLISHED.items():
        (folder / name).write_text(text, "utf-8", newline="")
    return folder


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in ("test_0000324", "test_0000664", "test_0001292", "validation_0000266"):
        (folder / f"video_{number}.mp4").touch()
    return folder


def test_reads_the_published_form(annotations, videos):
    data = read_thumos14(annotations, videos)
    pitches = (Action("baseball pitch", 49.2, 53.5), Action("baseball pitch", 116.7, 122.5))
    both = (Action("baseball pitch", 1.3, 4.8), Action("clean and jerk", 1.3, 4.8))
    first, second, third = (f"video_test_{number}" for number in ("0000324", "0000664", "0001292"))
    assert data.videos == (
        ActionVideo(first, videos / f"{first}.mp4", None, pitches, ((60.0, 61.5),)),
        ActionVideo(second, videos / f"{second}.mp4", None, both),
        ActionVideo(third, videos / f"{third}.mp4", None, (), ((2.1, 3.3),)),
    )
    assert data.classes == ("baseball pitch", "clean and jerk")
    assert data.missing == ("video_test_0000058",)
    assert data.repeated == ()


def test_reads_the_validation_subset(annotations, videos):
    data = read_thumos14(annotations, videos, "validation")
    assert [video.name for video in data.videos] == ["video_validation_0000266"]
    assert data.videos[0].actions == (Action("baseball pitch", 72.8, 76.4),)


def test_class_names_become_words():
    names = ["BasketballDunk", "CleanAndJerk", "Shotput", "VolleyballSpiking"]
    assert [class_text(name) for name in names] == [
        "basketball dunk",
        "clean and jerk",
        "shotput",
        "volleyball spiking",
    ]


def test_an_action_that_is_listed_twice_counts_once_and_is_named(annotations, videos):
    path = annotations / "BaseballPitch_test.txt"
    path.write_text(path.read_text("utf-8") + "video_test_0000664 1.30 4.80\n", "utf-8")
    data = read_thumos14(annotations, videos)
    assert len(data.videos[1].actions) == 2
    assert data.repeated == ("video_test_0000664: 'baseball pitch' from 1.3 to 4.8 s",)


@pytest.mark.parametrize("name", ["BaseballPitch_test.txt", "Ambiguous_test.txt"])
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("video_test_0000324 12.3", "it must have a video, start and end in seconds, got 'video_test_0000324 12.3'"),
        ("video_test_0000324 12.3 15.4 0.5", "it must have a video, start and end in seconds"),
        ("video_test_0000324 12,3 15.4", "'12,3' and '15.4' must be numbers of seconds"),
        ("video_test_0000324 15.4 12.3", "it ends at 12.3 s, before it starts at 15.4 s"),
        ("video_test_0000324 -2 12.3", "its times -2.0 and 12.3 must not be negative"),
        ("video_test_0000324 1 inf", "its times 1.0 and inf are not numbers of seconds"),
        (
            "video_validation_0000324 1 2",
            "the video must be named as video_test_0000324, got 'video_validation_0000324'",
        ),
        ("../video_test_0000324 1 2", "the video must be named as video_test_0000324"),
    ],
)
def test_an_invalid_line_is_named_with_the_reason(annotations, videos, name, line, reason):
    path = annotations / name
    path.write_text(f"video_test_0000324 1 2\n\n{line}\n", "utf-8")
    with pytest.raises(PyraTokError) as caught:
        read_thumos14(annotations, videos)
    message = str(caught.value)
    assert repr(str(path)) in message and "line 3" in message and reason in message


def test_a_class_file_must_not_be_empty(annotations, videos):
    (annotations / "CleanAndJerk_test.txt").write_text("\n", "utf-8")
    with pytest.raises(PyraTokError, match="CleanAndJerk_test.txt' is empty"):
        read_thumos14(annotations, videos)


def test_a_class_file_must_be_text(annotations, videos):
    (annotations / "CleanAndJerk_test.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PyraTokError, match="CleanAndJerk_test.txt.*UTF-8"):
        read_thumos14(annotations, videos)


def test_a_class_file_must_be_named_in_capitalised_words(annotations, videos):
    (annotations / "high-jump_test.txt").write_text("video_test_0000324 1 2\n", "utf-8")
    with pytest.raises(PyraTokError, match="high-jump_test.txt' must be named for its class"):
        read_thumos14(annotations, videos)


def test_the_ambiguous_file_must_be_there_and_may_be_empty(annotations, videos):
    path = annotations / "Ambiguous_test.txt"
    path.write_text("", "utf-8")
    assert all(video.ignored == () for video in read_thumos14(annotations, videos).videos)
    path.unlink()
    with pytest.raises(PyraTokError, match="Ambiguous_test.txt' is not there"):
        read_thumos14(annotations, videos)


def test_missing_folders_and_videos_are_named(annotations, videos, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(PyraTokError, match="nowhere' does not exist"):
        read_thumos14(tmp_path / "nowhere", videos)
    with pytest.raises(PyraTokError, match="holds no annotations such as BaseballPitch_test.txt"):
        read_thumos14(empty, videos)
    with pytest.raises(PyraTokError, match="none of the 4 annotated videos is in .*video_test_0000058.mp4"):
        read_thumos14(annotations, empty)
    with pytest.raises(ValueError, match="subset must be one of test, validation, got 'val'"):
        read_thumos14(annotations, videos, "val")
