"""Average precision over video instances: against pycocotools by way of files, and against a plain computation."""

import io
import json
import sys
from contextlib import redirect_stdout

import numpy as np
import pytest
from segmentation_examples import blobs, run_list

from pyratok import PyraTokError
from pyratok.evaluation.coco_masks import run_lengths
from pyratok.evaluation.video_instance_precision import VideoInstance, video_instance_average_precision

SIZES = {"a": (3, 14, 20), "b": (5, 11, 16), "c": (2, 17, 13)}
CATEGORIES = (2, 5, 6, 9)

Made = tuple[str, int, np.ndarray, float]
"""(clip, category, masks, score)."""


def made_up(seed: int) -> tuple[list[Made], list[Made]]:
    """Truths, none of the last category, and predictions: some near a truth, some elsewhere, some of another category."""
    generator = np.random.default_rng(seed)
    truths, predictions = [], []
    for clip, size in SIZES.items():
        for index in range(generator.integers(1, 4)):
            category = int(generator.choice(CATEGORIES[:-1]))
            masks = blobs(*size, seed=int(generator.integers(1 << 30)))
            masks[generator.integers(size[0])] &= bool(index)
            truths.append((clip, category, masks, 1.0))
            for _ in range(generator.integers(0, 4)):
                changed = masks ^ (generator.random(size) < generator.choice([0.005, 0.02, 0.05, 0.2]))
                named = category if generator.random() < 0.8 else int(generator.choice(CATEGORIES))
                predictions.append((clip, named, changed, float(generator.random())))
        predictions.append(
            (clip, int(generator.choice(CATEGORIES)), blobs(*size, seed=seed + 99), float(generator.random()))
        )
    return truths, predictions  # fmt: skip


def instances(made: list[Made]) -> list[VideoInstance]:
    return [VideoInstance.from_masks(clip, category, masks, score) for clip, category, masks, score in made]


def measured(truths: list[Made], predictions: list[Made]):
    return video_instance_average_precision(instances(truths), instances(predictions), CATEGORIES)


def plain_average_precision(truths: list[Made], predictions: list[Made]) -> dict[str, float]:
    """By dense masks and loops: greedy matching by falling score, then precision at 101 recalls."""
    thresholds = [0.5 + 0.05 * step for step in range(10)]
    precisions = {threshold: [] for threshold in thresholds}
    recalls = {1: [], 10: []}
    for category in sorted({category for _, category, _, _ in truths}):
        real = [item for item in truths if item[1] == category]
        ranked = sorted((item for item in predictions if item[1] == category), key=lambda item: -item[3])
        for threshold in thresholds:
            hits = matches(real, ranked, threshold)
            found, best = np.cumsum(hits), []
            for recall in np.linspace(0, 1, 101):
                reached = [found[k] / (k + 1) for k in range(len(hits)) if found[k] / len(real) >= recall - 1e-12]
                best.append(max(reached, default=0.0))
            precisions[threshold].append(np.mean(best))
            for most in recalls:
                kept = [item for item in ranked if rank_in_clip(item, ranked) < most]
                recalls[most].append(sum(matches(real, kept, threshold)) / len(real))
    means = [np.mean(precisions[threshold]) for threshold in thresholds]
    return {
        "ap": np.mean(means),
        "ap50": means[0],
        "ap75": means[5],
        "ar1": np.mean(recalls[1]),
        "ar10": np.mean(recalls[10]),
    }


def rank_in_clip(item: Made, ranked: list[Made]) -> int:
    return [other is item for other in ranked if other[0] == item[0]].index(True)


def matches(real: list[Made], ranked: list[Made], threshold: float) -> list[bool]:
    """For each prediction whether it takes a truth of its clip that none before it took."""
    taken, hits = set(), []
    for clip, _, masks, _ in ranked:
        overlaps = [
            (np.sum(masks & true) / max(np.sum(masks | true), 1), index)
            for index, (place, _, true, _) in enumerate(real)
            if place == clip and index not in taken
        ]
        overlap, index = max(overlaps, default=(0.0, -1))
        hits.append(overlap >= threshold - 1e-12)
        if hits[-1]:
            taken.add(index)
    return hits


def by_files(folder, truths: list[Made], predictions: list[Made]) -> list[float]:
    """pycocotools as its own users call it: two files, `loadRes`, `summarize`; run lengths joined from those of the frames."""
    from pycocotools import mask as mask_functions
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    ids = {clip: index for index, clip in enumerate(SIZES, start=40)}

    def joined(masks: np.ndarray) -> dict:
        runs = []
        for frame in masks:
            for index, count in enumerate(run_list(frame)):
                same = len(runs) % 2 == (index + 1) % 2  # the run before it is of the same kind
                if same and runs:
                    runs[-1] += count
                else:
                    runs.append(count)
        return {"size": [masks.shape[1], masks.shape[0] * masks.shape[2]], "counts": merged(runs)}

    truth_entries = [
        {"id": index, "image_id": ids[clip], "category_id": category, "iscrowd": 0, "area": int(masks.sum()),
         "segmentation": joined(masks), "bbox": [0, 0, 1, 1]}
        for index, (clip, category, masks, _) in enumerate(truths, start=1)
    ]  # fmt: skip
    images = [{"id": ids[clip], "height": size[1], "width": size[0] * size[2]} for clip, size in SIZES.items()]
    truth_file, prediction_file = folder / "truths.json", folder / "predictions.json"
    categories = [{"id": category, "name": str(category)} for category in CATEGORIES]
    truth_file.write_text(json.dumps({"images": images, "annotations": truth_entries, "categories": categories}))
    entries = []
    for clip, category, masks, score in predictions:
        long = np.concatenate(list(masks), axis=1)
        runs = mask_functions.encode(np.asfortranarray(long.astype(np.uint8)))
        segmentation = {"size": list(long.shape), "counts": runs["counts"].decode()}
        entries.append({"image_id": ids[clip], "category_id": category, "segmentation": segmentation, "score": score})
    prediction_file.write_text(json.dumps(entries))
    with redirect_stdout(io.StringIO()):
        truth = COCO(str(truth_file))
        evaluation = COCOeval(truth, truth.loadRes(str(prediction_file)), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [evaluation.stats[index] for index in (0, 1, 2, 6, 7)]


def merged(runs: list[int]) -> list[int]:
    """Without runs of no pixels, except at the start."""
    kept = runs[:1]
    for run in runs[1:]:
        kept.append(run)
        while len(kept) > 2 and kept[-2] == 0:
            last = kept.pop()
            kept.pop()
            kept[-1] += last
    return kept


@pytest.mark.parametrize("seed", range(6))
def test_equal_to_pycocotools_by_files_and_to_a_plain_computation(tmp_path, seed):
    truths, predictions = made_up(seed)
    found = measured(truths, predictions)
    figures = [found.ap, found.ap50, found.ap75, found.ar1, found.ar10]
    assert 0 < found.ap < 1
    assert figures == pytest.approx(by_files(tmp_path, truths, predictions), abs=1e-6)
    assert figures == pytest.approx(list(plain_average_precision(truths, predictions).values()), abs=1e-6)
    for category in CATEGORIES:
        of_one = [[item for item in made if item[1] == category] for made in (truths, predictions)]
        if of_one[0]:
            assert found.per_category[category] == pytest.approx(plain_average_precision(*of_one)["ap"], abs=1e-6)
        else:
            assert np.isnan(found.per_category[category])


def test_nothing_is_printed(capsys):
    measured(*made_up(0))
    assert capsys.readouterr().out == ""


def test_right_answers_and_none():
    truths, _ = made_up(3)
    perfect = measured(truths, truths)
    assert (perfect.ap, perfect.ap50, perfect.ar10) == (1, 1, 1)
    nothing = measured(truths, [])
    assert (nothing.ap, nothing.ap75, nothing.ar1) == (0, 0, 0)
    unknown = measured([], truths)
    assert np.isnan([unknown.ap, unknown.ar10, *unknown.per_category.values()]).all()


def test_no_object_is_left_out_for_its_size():
    whole = np.ones((300, 200, 200), bool)
    speck = np.zeros((1, 9, 9), bool)
    speck[0, 4, 4] = True
    truths = [("a", 2, whole, 1.0), ("b", 2, speck, 1.0)]
    assert measured(truths, truths).ap == 1
    assert measured(truths, truths[:1]).ap == pytest.approx(51 / 101)


def test_finding_a_crowd_neither_gains_nor_loses():
    single, crowd = blobs(3, 14, 20, seed=1), blobs(3, 14, 20, seed=2)
    crowd &= ~single
    truths = [
        VideoInstance.from_masks("a", 2, single),
        VideoInstance.from_masks("a", 2, crowd, is_crowd=True),
    ]
    found = [VideoInstance.from_masks("a", 2, crowd, 0.9), VideoInstance.from_masks("a", 2, single, 0.5)]
    assert video_instance_average_precision(truths, found, [2]).ap == pytest.approx(1)
    assert video_instance_average_precision(truths[:1], found, [2]).ap == pytest.approx(0.5)


def test_the_masks_are_those_of_the_frames_side_by_side():
    from pycocotools import mask as mask_functions

    masks = blobs(4, 9, 7)
    decoded = mask_functions.decode(VideoInstance.from_masks("a", 1, masks).run_lengths)
    assert np.array_equal(decoded, np.concatenate(list(masks), axis=1))


@pytest.mark.parametrize(
    "masks",
    [
        blobs(4, 9, 7),
        ~blobs(3, 6, 5),
        np.zeros((2, 3, 4), bool),
        np.ones((2, 3, 4), bool),
        np.eye(5, dtype=bool)[None],
    ],
    ids=["blobs", "holes", "nothing", "everything", "diagonal"],
)
def test_run_lengths_are_written_as_pycocotools_writes_them(masks):
    from pycocotools import mask as mask_functions

    side_by_side = np.asfortranarray(np.concatenate(list(masks), axis=1).astype(np.uint8))
    assert VideoInstance.from_masks("a", 1, masks).run_lengths == mask_functions.encode(side_by_side)


def test_long_runs_leave_the_memory_of_the_process_alone():
    """Four runs of 2**24 and more: pycocotools' own writer reserves 24 bytes for the 25 that they need."""
    masks = np.zeros((5, 4096, 4096), bool)
    masks[1], masks[3:] = True, True
    instance = VideoInstance.from_masks("a", 1, masks)
    assert run_lengths(instance.run_lengths["counts"].decode("ascii")) == [2**24, 2**24, 2**24, 2**25]
    assert video_instance_average_precision([instance], [instance], [1]).ap == pytest.approx(1)


def late_and_early(gap: int) -> np.ndarray:
    """Frames of 1080 x 1920 with an object in the first one and, so many frames later, in the last."""
    masks = np.zeros((gap + 2, 1080, 1920), bool)
    masks[0, :, 500:600] = masks[-1, :, 300:900] = True
    return masks


def test_the_longest_runs_that_pycocotools_reads():
    from pycocotools import mask as mask_functions

    instance = VideoInstance.from_masks("a", 1, late_and_early(258))
    assert mask_functions.area(instance.run_lengths) == (100 + 600) * 1080
    assert video_instance_average_precision([instance], [instance], [1]).ap == pytest.approx(1)


def test_runs_that_pycocotools_misreads_are_refused():
    """It would compare such masks without an end."""
    with pytest.raises(
        PyraTokError, match=r"in 'a' or out of it for so long .* \(more than 536870912 pixels\); cut the video"
    ):
        VideoInstance.from_masks("a", 1, late_and_early(259))


def test_wrong_instances_are_refused():
    masks = blobs(2, 5, 6)
    with pytest.raises(ValueError, match=r"masks must be bool \(frames, height, width\), got uint8"):
        VideoInstance.from_masks("a", 1, masks.astype(np.uint8))
    with pytest.raises(ValueError, match="score must be finite, got nan"):
        VideoInstance.from_masks("a", 1, masks, float("nan"))
    with pytest.raises(PyraTokError, match="'a' have 4294967296 pixels; cut the video"):
        VideoInstance.from_masks("a", 1, np.broadcast_to(masks[:1, :1, :1], (2**20, 64, 64)))
    one, other = VideoInstance.from_masks("a", 1, masks), VideoInstance.from_masks("a", 1, masks[:1])
    with pytest.raises(ValueError, match="'a' has an object of the category 1, not in \\[2\\]"):
        video_instance_average_precision([one], [], [2])
    with pytest.raises(ValueError, match=r"masks of 'a' are of two sizes: \[5, 12\] and \[5, 6\]"):
        video_instance_average_precision([one], [other], [1])


def test_without_pycocotools_the_extra_is_named(monkeypatch):
    instance = VideoInstance.from_masks("a", 1, blobs(2, 5, 6))
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(PyraTokError, match="pycocotools.* extra `evaluate`"):
        video_instance_average_precision([instance], [instance], [1])
