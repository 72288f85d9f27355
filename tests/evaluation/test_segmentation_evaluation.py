"""Asking for names and measuring the masks: what is asked, what is measured, and what is left out."""

import gc
import json
import math
import sys
import weakref

import numpy as np
import pytest
import torch
from segmentation_examples import YouTubeVisExample, blobs, made_data, write_archives, write_davis
from sklearn.metrics import jaccard_score

from pyratok import PyraTokError
from pyratok.evaluation.davis import read_davis
from pyratok.evaluation.mask_archives import read_mask_archives
from pyratok.evaluation.segmentation_baselines import RandomMasks, all_foreground, centre_box
from pyratok.evaluation.segmentation_data import SegmentationData
from pyratok.evaluation.segmentation_evaluation import evaluate_segmentation
from pyratok.evaluation.segmentation_metrics import boundary_f_per_frame, jaccard_per_frame
from pyratok.evaluation.video_instance_precision import VideoInstance, video_instance_average_precision
from pyratok.evaluation.youtube_vis import read_youtube_vis

SIZE = (4, 12, 20)


class Answers:
    """A segmenter that knows what to say to each name, and notes what it was asked."""

    def __init__(self, masks: dict[str, np.ndarray], score: float = 0.5) -> None:
        self.masks, self.score, self.asked = masks, score, []

    def __call__(self, frames: torch.Tensor, names: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        assert frames.dtype == torch.uint8
        self.asked.append(names)
        nothing = np.zeros(frames.shape[:3], bool)
        masks = torch.from_numpy(np.stack([self.masks.get(name, nothing) for name in names]))
        return masks, torch.where(masks, self.score, 0.1)


@pytest.fixture
def two_dogs(tmp_path) -> tuple[SegmentationData, list[np.ndarray]]:
    """A clip with two dogs and a cat, and one with a cat."""
    masks = [blobs(*SIZE, seed=seed) for seed in range(4)]
    clips = {"first": list(zip(("dog", "dog", "cat"), masks, strict=False)), "second": [("cat", masks[3])]}
    return made_data(tmp_path, clips, {1: "cat", 4: "dog", 5: "eel"}), masks


def test_each_object_is_measured_on_the_mask_for_its_name(two_dogs):
    data, masks = two_dogs
    answers = {"dog": masks[0] | masks[1], "cat": masks[2]}
    found = evaluate_segmentation(Answers(answers), data)
    assert [(item.clip, item.name) for item in found.objects] == [
        ("first", "cat"),
        ("first", "dog"),
        ("first", "dog"),
        ("second", "cat"),
    ]
    for item, truth in zip(found.objects, (masks[2], masks[0], masks[1], masks[3]), strict=True):
        predicted = answers[item.name]
        frames = [jaccard_score(t.ravel(), p.ravel()) for t, p in zip(truth, predicted, strict=True)]
        assert item.jaccard == pytest.approx(np.mean(frames), abs=1e-6)
        assert item.jaccard_pooled == pytest.approx(jaccard_score(truth.ravel(), predicted.ravel()), abs=1e-6)
        assert item.boundary == pytest.approx(boundary_f_per_frame(predicted, truth).mean(), abs=1e-6)
    assert found.jaccard == pytest.approx(np.mean([item.jaccard for item in found.objects]))
    assert found.jaccard_pooled == pytest.approx(np.mean([item.jaccard_pooled for item in found.objects]))
    assert found.boundary == pytest.approx(np.mean([item.boundary for item in found.objects]))
    assert found.jaccard_and_boundary == pytest.approx((found.jaccard + found.boundary) / 2)
    assert found.foreground_share == pytest.approx(np.mean([mask.mean() for mask in masks]))
    assert (found.clips, found.frames, found.crowds, found.left_out) == (2, 8, 0, {})


def test_objects_of_one_name_can_be_measured_together(two_dogs):
    data, masks = two_dogs
    answers = Answers({"dog": masks[0] | masks[1], "cat": masks[2]})
    found = evaluate_segmentation(answers, data, same_name="together")
    assert [(item.name, item.jaccard == 1) for item in found.objects] == [("cat", True), ("dog", True), ("cat", False)]
    assert found.same_name == "together"
    apart = evaluate_segmentation(answers, data)
    assert found.average_precision == apart.average_precision


@pytest.mark.parametrize("same_name", ["apart", "together"])
def test_the_baselines_are_those_measured_alone(two_dogs, same_name):
    data, _ = two_dogs
    found = evaluate_segmentation(Answers({}), data, same_name=same_name).baseline_jaccards
    for name, baseline in (("all foreground", all_foreground), ("box in the middle", centre_box)):
        assert found[name] == pytest.approx(evaluate_segmentation(baseline, data, same_name=same_name).jaccard)


def test_every_clip_is_asked_for_all_categories_or_for_its_own_names(two_dogs):
    data, _ = two_dogs
    answers = Answers({})
    assert evaluate_segmentation(answers, data, names_at_once=2).ask == "all"
    assert answers.asked == [["cat", "dog"], ["eel"]] * 2
    answers = Answers({})
    assert evaluate_segmentation(answers, data, ask="clip").ask == "clip"
    assert answers.asked == [["dog", "cat"], ["cat"]]


def test_a_name_is_one_instance_whose_score_is_the_mean_inside_it(two_dogs):
    data, masks = two_dogs

    def segment(frames, names):
        known = {"dog": masks[0], "cat": masks[3], "eel": ~masks[3]}
        found = torch.from_numpy(np.stack([known[name] for name in names]))
        return found, torch.where(found, torch.rand(found.shape, generator=torch.Generator().manual_seed(3)), -5.0)

    scores = [segment(None, [name])[1] for name in ("cat", "dog", "eel")]
    scores = [float(score[score > -5].mean()) for score in scores]
    truths = [VideoInstance.from_masks("first", 4, masks[0]), VideoInstance.from_masks("first", 4, masks[1])]
    truths += [VideoInstance.from_masks("first", 1, masks[2]), VideoInstance.from_masks("second", 1, masks[3])]
    predictions = [
        VideoInstance.from_masks(clip, category, mask, score)
        for clip in ("first", "second")
        for category, mask, score in zip((1, 4, 5), (masks[3], masks[0], ~masks[3]), scores, strict=True)
    ]
    expected = video_instance_average_precision(truths, predictions, [1, 4, 5])
    found = evaluate_segmentation(segment, data, names_at_once=1).average_precision
    for name in ("ap", "ap50", "ap75", "ar1", "ar10"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-6)
    assert 0 < found.ap < 1


def test_what_stands_outside_a_mask_is_not_part_of_its_score(two_dogs):
    data, masks = two_dogs

    def segment(frames, names):
        """A small dog with a high score where there is one, a huge one with a lower score where there is none."""
        is_first = calls.pop(0)
        found = torch.from_numpy(masks[0] if is_first else np.ones_like(masks[0]))[None]
        return found, torch.where(found, 0.9 if is_first else 0.6, -5.0)

    calls = [False, True, False, False, False, False]  # for cat, dog and eel in each clip
    found = evaluate_segmentation(segment, data, names_at_once=1).average_precision
    assert found.per_category[4] == pytest.approx(51 / 101)


def test_a_false_find_costs_only_where_it_was_asked_for(two_dogs):
    data, masks = two_dogs

    class SurerOfTheSecond(Answers):
        def __call__(self, frames, names):
            self.score += 0.1
            return super().__call__(frames, names)

    answers = {"dog": masks[0], "cat": masks[3]}  # one of two dogs, and the same dog where there is none
    for ask, expected in (("all", 51 / 101 / 2), ("clip", 51 / 101)):
        found = evaluate_segmentation(SurerOfTheSecond(answers), data, ask=ask).average_precision
        assert found.per_category[4] == pytest.approx(expected)


def test_an_empty_mask_is_no_prediction_and_is_counted(two_dogs):
    data, masks = two_dogs
    found = evaluate_segmentation(Answers({"cat": masks[3]}), data)
    assert found.empty_answers == 4
    assert found.average_precision.per_category[4] == 0
    assert math.isnan(found.average_precision.per_category[5])


def test_a_crowd_has_no_jaccard_and_is_counted(tmp_path):
    example = YouTubeVisExample(tmp_path)
    found = evaluate_segmentation(all_foreground, read_youtube_vis(*example.write()))
    assert [(item.clip, item.name) for item in found.objects] == [
        ("00f88c4f0a", "giant panda"),
        ("00f88c4f0a", "Person"),
        ("a1b2", "Person"),
    ]
    assert found.crowds == 1
    expected = [jaccard_per_frame(np.ones_like(masks), masks).mean() for masks in example.masks[:3]]
    assert [item.jaccard for item in found.objects] == pytest.approx(expected)


def test_void_counts_for_nothing(tmp_path):
    numbers = np.zeros(SIZE, np.uint8)
    numbers[:, 2:8, 3:9], numbers[:, 8:, :] = 1, 255
    data = read_davis(write_davis(tmp_path, {"a-dog": numbers}))
    answer = (numbers == 1) | ((numbers == 255) & blobs(*SIZE))
    found = evaluate_segmentation(Answers({"a dog": answer}), data)
    assert (found.jaccard, found.jaccard_pooled, found.boundary) == (1, 1, 1)
    assert found.foreground_share == pytest.approx(36 / (8 * 20))
    assert found.average_precision is None


def test_archives_are_asked_for_their_expression(tmp_path):
    masks = blobs(3, 16, 24)
    folder = write_archives(tmp_path / "d", [{"file_name": "a.mp4", "masks": masks, "expression": "grey goat"}])
    answers = Answers({"grey goat": masks})
    found = evaluate_segmentation(answers, read_mask_archives(folder))
    assert (found.jaccard, found.ask, answers.asked) == (1, "clip", [["grey goat"]])


def test_the_record_is_json_and_says_what_was_done(two_dogs):
    data, masks = two_dogs
    found = evaluate_segmentation(Answers({"cat": masks[3], "dog": masks[0]}), data)
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert record["jaccard"] == found.jaccard
    assert record["jaccard_and_boundary"] == found.jaccard_and_boundary
    assert record["average_precision"]["ap"] == found.average_precision.ap
    assert record["average_precision"]["per_category"].keys() == {"cat", "dog", "eel"}
    assert record["average_precision"]["per_category"]["eel"] is None
    assert record["objects"][0]["name"] == "cat"
    assert [record[name] for name in ("ask", "names_at_once", "same_name", "clips", "left_out")] == [
        "all",
        4,
        "apart",
        2,
        {},
    ]


def test_clips_that_cannot_be_read_are_left_out_with_the_reason(tmp_path):
    example = YouTubeVisExample(tmp_path)
    example.document["annotations"][2]["segmentations"][0]["counts"] = "0"
    data = read_youtube_vis(*example.write())
    found = evaluate_segmentation(all_foreground, data)
    assert found.left_out.keys() == {"a1b2"}
    assert "annotations[2]: segmentations[0]: " in found.left_out["a1b2"]
    assert (found.clips, found.frames, found.crowds, len(found.objects)) == (1, 4, 0, 2)
    data.clips[0].video[1].write_text("no picture")
    with pytest.raises(PyraTokError, match="none of the 2 clips can be measured; the first: .*00005.jpg"):
        evaluate_segmentation(all_foreground, data)


def test_a_clip_without_objects_counts_where_there_are_categories(tmp_path):
    lines = [
        {"file_name": "a.mp4", "objects": [{"name": "imp", "masks": blobs(2, 16, 16)}]},
        {"file_name": "b.mp4", "objects": [], "size": (2, 16, 16)},
    ]
    data = read_mask_archives(write_archives(tmp_path / "d", lines))
    found = evaluate_segmentation(Answers({"imp": blobs(2, 16, 16)}), data)
    assert (found.clips, found.jaccard) == (2, 1)
    assert 0.5 <= found.average_precision.ap < 1  # it also found an imp in the empty clip, with the same score
    own = evaluate_segmentation(Answers({"imp": blobs(2, 16, 16)}), data, ask="clip")
    assert own.average_precision.ap == pytest.approx(1)
    assert own.left_out == {"b.mp4": "the clip 'b.mp4' has no object to ask for"}


def test_an_error_of_the_segmenter_is_not_hidden(two_dogs):
    def segment(frames, names):
        raise PyraTokError("the text is too long")

    with pytest.raises(PyraTokError, match="the text is too long"):
        evaluate_segmentation(segment, two_dogs[0])


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda m, s: (m[:1], s), r"masks bool \(3, 4, 12, 20\), got torch.bool \(1, 4, 12, 20\)"),
        (lambda m, s: (m[..., 1:], s), r"masks bool \(3, 4, 12, 20\), got torch.bool \(3, 4, 12, 19\)"),
        (lambda m, s: (s, s), r"masks bool .* got torch.float32"),
        (lambda m, s: (m, m), r"scores floating point .* got torch.bool"),
        (lambda m, s: (m, s / 0), "score must be finite, got inf"),
    ],
)
def test_wrong_answers_are_refused(two_dogs, change, message):
    with pytest.raises(ValueError, match=message):
        evaluate_segmentation(lambda frames, names: change(*all_foreground(frames, names)), two_dogs[0])


def test_wrong_choices_are_refused(two_dogs):
    for choice in ({"ask": "some"}, {"same_name": "both"}, {"names_at_once": 0}):
        with pytest.raises(ValueError, match=r"ask must be .* got"):
            evaluate_segmentation(all_foreground, two_dogs[0], **choice)


def test_a_missing_library_is_named_before_the_first_clip(two_dogs, monkeypatch):
    data, masks = two_dogs
    answers = Answers({"dog": masks[0]})
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(PyraTokError, match="pycocotools.* extra `evaluate`"):
        evaluate_segmentation(answers, data)
    assert answers.asked == []


def test_one_clip_is_held_at_a_time(two_dogs):
    frames_seen, masks_seen = [], []

    def segment(frames, names):
        if not frames_seen or frames_seen[-1]() is not frames:
            gc.collect()
            assert [seen() for seen in (*frames_seen, *masks_seen)] == [None] * (len(frames_seen) + len(masks_seen))
            frames_seen.append(weakref.ref(frames))
        masks, scores = all_foreground(frames, names)
        masks_seen.append(weakref.ref(masks))
        return masks, scores

    evaluate_segmentation(segment, two_dogs[0], names_at_once=2)
    assert len(frames_seen) == 2
    assert len(masks_seen) == 4


def test_progress_goes_through_the_clips(two_dogs):
    data, _ = two_dogs
    seen = []

    def progress(clips):
        for clip in clips:
            seen.append(clip.name)
            yield clip

    evaluate_segmentation(all_foreground, data, progress=progress)
    assert seen == ["first", "second"]


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 7, 10), (3, 12, 20)])
def test_the_baselines(size):
    frames = torch.zeros((*size, 3), dtype=torch.uint8)
    masks, scores = all_foreground(frames, ["a", "b"])
    assert masks.shape == scores.shape == (2, *size)
    assert masks.all()
    masks, scores = centre_box(frames, ["a", "b"])
    rows, columns = max(1, round(size[1] / 2)), max(1, round(size[2] / 2))
    assert (masks.sum((2, 3)) == rows * columns).all()
    inside = masks[0, 0].nonzero()
    low, high = inside.min(0).values, inside.max(0).values
    assert torch.equal(high - low + 1, torch.tensor([rows, columns]))
    assert ((low - (torch.tensor(size[1:]) - 1 - high)).abs() <= 1).all()
    assert torch.equal(scores, masks.float())


def test_chance_is_seeded_and_near_what_is_expected_of_it(tmp_path):
    clips = {
        clip: [(name, blobs(4, 60, 80, seed=seed + 9 * index)) for index, name in enumerate("ab")]
        for seed, clip in enumerate("xy")
    }
    data = made_data(tmp_path, clips)
    share = evaluate_segmentation(all_foreground, data).foreground_share
    once, again, other = (evaluate_segmentation(RandomMasks(share, seed), data) for seed in (1, 1, 2))
    assert once == again
    assert once.jaccard != other.jaccard
    assert once.foreground_share == share
    assert once.jaccard == pytest.approx(once.chance_jaccard, rel=0.03)
    masks, scores = RandomMasks(0.25)(torch.zeros(4, 50, 60, 3, dtype=torch.uint8), ["a"])
    assert masks.float().mean() == pytest.approx(0.25, abs=0.03)
    assert scores[masks].min() > scores[~masks].max()
    assert not RandomMasks(0.0)(torch.zeros(1, 99, 99, 3), ["a"])[0].any()
    assert RandomMasks(1.0)(torch.zeros(1, 99, 99, 3), ["a"])[0].all()
    with pytest.raises(ValueError, match="foreground_share must lie in .* got 1.5"):
        RandomMasks(1.5)


def test_clips_and_categories_have_names_that_differ(two_dogs):
    data, _ = two_dogs
    with pytest.raises(PyraTokError, match="two clips have the name 'first'"):
        SegmentationData((data.clips[0], data.clips[0]))
    with pytest.raises(PyraTokError, match="two categories have the name 'dog'"):
        SegmentationData(data.clips, {1: "dog", 2: "dog"})
