"""Views of videos as tokens, and the questions that are learned from."""

import json

import numpy as np
import pytest
import torch
from data_examples import write_metadata, write_videos

from pyratok import PyraTokModel, PyraTokVideoProcessor
from pyratok.pipelines.video_tokens_of import tokens_from
from pyratok.training.data_errors import DataError
from pyratok.training.data_sources import open_rows
from pyratok.training.question_files import read_answers
from pyratok.training.question_samples import AnsweredVideo, described, random_views, tokenized, whole_video


@pytest.fixture
def videos(tmp_path) -> list[AnsweredVideo]:
    write_videos(tmp_path / "data", 2)
    return described(open_rows(tmp_path / "data"))


def test_files_without_a_caption_are_counted_and_left_out(tmp_path, caplog):
    write_videos(tmp_path, 3)
    write_metadata(tmp_path, [{"file_name": "video_0.mp4", "text": " one "}, {"file_name": "video_1.mp4", "text": 5}])
    (video,) = described(open_rows(tmp_path))
    assert video.answer == "one" and video.question is None
    assert "1 files" in caplog.text and "not a text" in caplog.text
    write_metadata(tmp_path, [{"file_name": "video_0.mp4"}])
    with pytest.raises(DataError, match="no file of .* has a caption"):
        described(open_rows(tmp_path))


def test_views_follow_from_the_seed(tiny_model, videos):
    one, again = (random_views(tiny_model, videos[0], 4, 24, (0, 1)) for _ in range(2))
    assert len(one) == 4 and all(torch.equal(*pair) for pair in zip(sum(one, ()), sum(again, ()), strict=True))
    other = random_views(tiny_model, videos[0], 4, 24, (0, 2))
    assert any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(sum(one, ()), sum(other, ()), strict=True))
    assert len({view[0].flatten()[:20].numpy().tobytes() for view in one}) > 1
    assert one[0][0].dtype == torch.int32 and len(one[0]) == tiny_model.config.num_levels


@pytest.mark.parametrize(("caption", "mirrored"), [("a square", True), ("a square to the LEFT", False)])
def test_only_captions_without_sides_allow_mirroring(tiny_model, videos, monkeypatch, caption, mirrored):
    seen, encode = [], PyraTokModel.encode
    monkeypatch.setattr(PyraTokModel, "encode", lambda self, values: seen.append(values) or encode(self, values))
    video = AnsweredVideo(videos[0].name, videos[0].media, caption)
    random_views(tiny_model, video, 30, 1000, (0,))
    steps = [float((values[0, 1:, :, :, 1:] - values[0, :-1, :, :, :-1]).abs().mean()) for values in seen]
    back = [float((values[0, 1:, :, :, :-1] - values[0, :-1, :, :, 1:]).abs().mean()) for values in seen]
    to_the_right = [a < b for a, b in zip(steps, back, strict=True)]  # the film moves to the left
    assert any(to_the_right) == mirrored and not all(to_the_right)


def test_a_whole_video_is_what_a_pipeline_sees(tiny_model, videos):
    (codes,) = whole_video(tiny_model, videos[0])
    expected = tokens_from(tiny_model, PyraTokVideoProcessor(), videos[0].media).video_codes
    assert all(torch.equal(a, b.int()) for a, b in zip(codes, expected, strict=True))


def test_questions_of_one_video_share_its_tokens(videos):
    first = videos[0]
    asked = [first, AnsweredVideo(first.name, first.media, "yes", "is it?"), videos[1]]
    asked.append(AnsweredVideo(first.name, first.media, "no", "is it?", start=0.1))
    calls = []
    found = tokenized(asked, lambda video, number: calls.append((video, number)) or ())
    assert [number for _, number in calls] == [0, 1, 2]
    assert found[0].answers == ((None, first.answer), ("is it?", "yes")) and found[2].answers == (("is it?", "no"),)


def test_unreadable_files_are_named_and_left_out(videos, tiny_model, tmp_path, caplog):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"nothing")
    late = AnsweredVideo("late", videos[0].media, "a", "b", start=100.0)
    found = tokenized(
        [AnsweredVideo("broken.mp4", str(broken), "a"), videos[0], late], lambda v, _: whole_video(tiny_model, v)
    )
    assert len(found) == 1 and "broken.mp4" in caplog.text and "no frame from 100 s" in caplog.text
    with pytest.raises(DataError, match="none of the 1 videos"):
        tokenized([late], lambda v, _: whole_video(tiny_model, v))


def questions_folder(folder, entries, text=None):
    write_videos(folder / "video" / "part", 1)
    (folder / "json").mkdir()
    (folder / "json" / "task.json").write_text(json.dumps(entries) if text is None else text)
    return folder


GOOD = {"video": "part/video_0.mp4", "question": "is it?", "candidates": ["yes", "no"], "answer": "no"}


def test_questions_of_mvbenchs_form(tmp_path):
    found = read_answers(questions_folder(tmp_path, [GOOD, {**GOOD, "start": 1.5, "end": 2}]))
    assert [video.answer for video in found] == ["no", "no"] and found[0].question == "is it?"
    assert (found[1].start, found[1].end) == (1.5, 2) and found[0].start is None
    assert np.array_equal(found[0].media, str(tmp_path / "video/part/video_0.mp4"))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "must hold a list"),
        ([GOOD, 5], "entry 2: 'video' has to be a text"),
        ([{**GOOD, "answer": None}], "entry 1: 'answer' has to be a text, got None"),
        ([{**GOOD, "start": "1"}], "entry 1: 'start' has to be a number of seconds, got '1'"),
        ([{**GOOD, "video": "other.mp4"}], "entry 1: there is no video"),
        ([{**GOOD, "video": "../json/task.json"}], "entry 1: .* is outside"),
    ],
)
def test_broken_questions_name_file_and_entry(tmp_path, entries, message):
    with pytest.raises(DataError, match=message) as problem:
        read_answers(questions_folder(tmp_path, entries))
    assert "task.json" in str(problem.value)


def test_files_that_hold_no_questions(tmp_path):
    with pytest.raises(DataError, match="holds no JSON files"):
        read_answers(tmp_path)
    with pytest.raises(DataError, match="not valid JSON: .*line 1"):
        read_answers(questions_folder(tmp_path, None, "[{"))
