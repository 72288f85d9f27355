"""YouTube-VIS and OVIS files: what is in them comes out, and what is wrong is named with its entry and the reason."""

import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from segmentation_examples import YouTubeVisExample, blobs, compressed, run_list

from pyratok import PyraTokError, VideoReadError
from pyratok.evaluation.coco_masks import checked_mask, decoded_mask, run_length_text, run_lengths
from pyratok.evaluation.youtube_vis import read_youtube_vis


@pytest.fixture
def example(tmp_path) -> YouTubeVisExample:
    return YouTubeVisExample(tmp_path)


def test_videos_objects_and_categories(example):
    data = read_youtube_vis(*example.write())
    assert data.categories == {3: "giant panda", 9: "Person", 12: "boat"}
    assert [clip.name for clip in data.clips] == ["00f88c4f0a", "a1b2"]
    assert [clip.size for clip in data.clips] == [(4, 12, 20), (3, 17, 11)]
    assert data.clips[0].frames_per_second == 6
    objects = [item for clip in data.clips for item in clip.objects]
    assert [(item.name, item.category_id, item.is_crowd) for item in objects] == [
        ("giant panda", 3, False),
        ("Person", 9, False),
        ("Person", 9, False),
        ("giant panda", 3, True),
    ]
    for item, masks in zip(objects, example.masks, strict=True):
        assert item.masks().dtype == bool
        assert np.array_equal(item.masks(), masks)


def test_frames_are_those_that_the_video_lists_in_its_order(example):
    clip = read_youtube_vis(*example.write()).clips[0]
    frames = clip.frames()
    assert frames.shape == (4, 12, 20, 3)
    assert [path.name for path in clip.video] == ["00000.jpg", "00005.jpg", "00010.jpg", "00015.jpg"]
    brightness = frames.float().mean((1, 2, 3))
    assert (brightness.diff() - 10).abs().max() < 2
    assert clip.void() is None


def test_polygons_cover_what_lies_inside_them(example):
    example.document["annotations"][0]["segmentations"][1] = [[2, 1, 8, 1, 8, 5, 2, 5], [10, 6, 12, 6, 12, 8, 10, 8]]
    masks = read_youtube_vis(*example.write()).clips[0].objects[0].masks()
    expected = np.zeros((12, 20), bool)
    expected[1:5, 2:8] = expected[6:8, 10:12] = True
    assert np.array_equal(masks[1], expected)


def test_videos_in_one_folder_are_told_apart_by_their_ids(example):
    names = [f"00f88c4f0a/{index:05d}.jpg" for index in (0, 5, 10)]
    example.document["videos"][1] |= {"file_names": names, "width": 20, "height": 12}
    example.document["annotations"] = example.document["annotations"][:2]
    assert [clip.name for clip in read_youtube_vis(*example.write()).clips] == ["00f88c4f0a (1)", "00f88c4f0a (7)"]


def spoil(*path_and_value):
    """A function that sets an entry of the document."""
    *path, last, value = path_and_value

    def change(document: dict) -> None:
        for key in path:
            document = document[key]
        document[last] = value

    return change


def drop(*path):
    *path, last = path

    def change(document: dict) -> None:
        for key in path:
            document = document[key]
        del document[last]

    return change


WRONG = {
    "no videos key": (drop("videos"), ": 'videos' is missing"),
    "no annotations": (spoil("annotations", None), "no 'annotations'"),
    "no video": (spoil("videos", []), "no videos"),
    "videos no list": (spoil("videos", {}), "'videos' must be a list, got {}"),
    "video no object": (spoil("videos", 1, 5), r"videos\[1\]: an object is needed here, got 5"),
    "no id": (drop("videos", 1, "id"), r"videos\[1\]: 'id' is missing"),
    "same id": (spoil("videos", 1, "id", 1), r"videos\[1\]: 'id' is 1, as that of an entry before"),
    "width true": (spoil("videos", 0, "width", True), r"videos\[0\]: 'width' must be a whole number, got True"),
    "width 0": (spoil("videos", 0, "width", 0), r"videos\[0\]: 'width' must be at least 1, got 0"),
    "width of another": (spoil("videos", 0, "width", 10**9), r"videos\[0\]: .*1000000000\).*\(12, 20\)"),
    "length": (spoil("videos", 0, "length", 5), r"videos\[0\]: 'length' is 5, but there are 4 'file_names'"),
    "file name": (spoil("videos", 0, "file_names", 2, 3), r"videos\[0\]: 'file_names' must hold texts, got 3"),
    "missing frame": (spoil("videos", 0, "file_names", 2, "00f88c4f0a/7.jpg"), r"videos\[0\]: .*7.jpg' does not exist"),
    "outside": (spoil("videos", 0, "file_names", 0, "../instances.json"), r"videos\[0\]: '../instances.json' is not"),
    "category id": (spoil("categories", 1, "id", 3), r"categories\[1\]: 'id' is 3, as"),
    "category name": (spoil("categories", 1, "name", "giant panda"), r"categories\[1\]: another category .*'giant panda'"),
    "blank name": (spoil("categories", 0, "name", " "), r"categories\[0\]: 'name' is blank"),
    "annotation id": (spoil("annotations", 1, "id", 1), r"annotations\[1\]: 'id' is 1, as"),
    "unknown video": (spoil("annotations", 2, "video_id", 99), r"annotations\[2\]: 'video_id' is 99, but"),
    "unknown category": (spoil("annotations", 2, "category_id", 4), r"annotations\[2\]: 'category_id' is 4, but"),
    "no masks": (drop("annotations", 2, "segmentations"), r"annotations\[2\]: 'segmentations' is missing"),
    "too few masks": (drop("annotations", 2, "segmentations", 0), r"annotations\[2\]: there are 2 'segmentations' for .* 3"),
    "crowd": (spoil("annotations", 2, "iscrowd", 2), r"annotations\[2\]: 'iscrowd' must be 0 or 1, got 2"),
    "mask text": (spoil("annotations", 0, "segmentations", 1, "x"), r"annotations\[0\]: segmentations\[1\]: run lengths,"),
    "mask size": (
        spoil("annotations", 0, "segmentations", 1, "size", [20, 12]),
        r"annotations\[0\]: segmentations\[1\]: the mask's 'size' is \[20, 12\], the video's \[12, 20\]",
    ),
    "no counts": (drop("annotations", 0, "segmentations", 1, "counts"), r"annotations\[0\]: segmentations\[1\]: .*'counts'"),
    "negative": (spoil("annotations", 0, "segmentations", 1, "counts", [-1, 241]), r"segmentations\[1\]: .*from 0 on"),
    "sum": (spoil("annotations", 0, "segmentations", 1, "counts", [40, 3]), r"segmentations\[1\]: .*43 pixels, 12 x 20 are"),
    "short polygon": (spoil("annotations", 0, "segmentations", 1, [[1, 2, 3, 4]]), r"segmentations\[1\]: a polygon is"),
    "no number": (
        spoil("annotations", 0, "segmentations", 1, [[1, 2, 3, 4, float("nan"), 6]]),
        r"segmentations\[1\]: a polygon holds finite",
    ),
}  # fmt: skip


@pytest.mark.parametrize("change, message", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_with_its_entry(example, change, message):
    change(example.document)
    with pytest.raises(PyraTokError, match=rf"instances.json'.*{message}"):
        read_youtube_vis(*example.write())


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"videos": [\n  1,,\n]}', "line 2, column 5: not valid JSON"),
        ("", "line 1, column 1: not valid JSON"),
        ("[1]", r"an object is needed here, got \[1\]"),
        ("[" * 100000, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_json_object_says_where(example, text, message):
    example.json.write_text(text)
    with pytest.raises(PyraTokError, match=f"instances.json'.*{message}"):
        read_youtube_vis(example.json, example.frames)


def test_files_that_are_not_there(example, tmp_path):
    with pytest.raises(PyraTokError, match="nowhere.json"):
        read_youtube_vis(tmp_path / "nowhere.json", example.frames)
    with pytest.raises(PyraTokError, match="folder of frames .*nowhere' does not exist"):
        read_youtube_vis(example.write()[0], tmp_path / "nowhere")


def test_compressed_masks_are_read_when_they_are_asked_for_and_then_checked(example):
    example.document["annotations"][1]["segmentations"][0]["counts"] = compressed(blobs(1, 12, 19)[0])["counts"]
    first, second = read_youtube_vis(*example.write()).clips[0].objects
    assert first.masks().any()
    with pytest.raises(PyraTokError, match=r"instances.json', annotations\[1\]: segmentations\[0\]: .* 228 pixels"):
        second.masks()


def test_a_frame_of_another_size_or_damaged_is_named_when_it_is_read(example):
    from PIL import Image

    clips = read_youtube_vis(*example.write()).clips
    Image.new("RGB", (21, 12)).save(clips[0].video[2])
    with pytest.raises(PyraTokError, match=r"00010.jpg': its \(height, width\) is \(12, 21\), .* \(12, 20\)"):
        clips[0].frames()
    clips[1].video[1].write_bytes(clips[1].video[1].read_bytes()[:40])
    with pytest.raises(VideoReadError, match="00001.jpg"):
        clips[1].frames()
    clips[1].video[0].write_text("no picture")
    with pytest.raises(PyraTokError, match=r"instances.json', videos\[1\]: .*00000.jpg' is no picture"):
        read_youtube_vis(example.json, example.frames)


def test_polygons_without_the_library_name_the_extra(example, monkeypatch):
    example.document["annotations"][0]["segmentations"][1] = [[2, 1, 8, 1, 8, 5]]
    masks = read_youtube_vis(*example.write()).clips[0].objects[0].masks
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(PyraTokError, match="pycocotools.* not installed; install pyratok with its extra `evaluate`"):
        masks()


MASKS = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


@settings(deadline=None)
@given(MASKS)
def test_both_kinds_of_run_lengths_give_the_mask(mask):
    entry = compressed(mask)
    counts = run_list(mask)
    assert run_lengths(entry["counts"]) == counts
    for value in (entry, {"size": list(mask.shape), "counts": counts}):
        stored = checked_mask(json.loads(json.dumps(value)), *mask.shape)
        assert np.array_equal(decoded_mask(stored, *mask.shape), mask)


def test_polygons_in_huge_frames_are_refused():
    """What pycocotools makes of them could have run lengths for which it reserves too little memory."""
    polygon = [[2, 1, 8, 1, 8, 5]]
    assert checked_mask(polygon, 4320, 7680) == polygon
    with pytest.raises(ValueError, match="below 33554432 pixels, 8192 x 4096 are 33554432; write run lengths"):
        checked_mask(polygon, 8192, 4096)


RUNS = st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 40), max_size=9)


@settings(deadline=None)
@given(RUNS)
def test_any_run_lengths_are_read_from_their_text(counts):
    assert run_lengths(run_length_text(np.array(counts, np.int64)).decode("ascii")) == counts


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**20), min_size=1, max_size=40))
def test_the_text_of_run_lengths_is_that_of_pycocotools(counts):
    """Below 2**24 alone: from there on its writer spoils the memory of the process."""
    from pycocotools import mask

    text = mask.frPyObjects({"size": [1, 1], "counts": counts}, 1, 1)["counts"]
    assert run_length_text(np.array(counts, np.int64)) == text
    assert run_lengths(text.decode()) == counts


@settings(deadline=None)
@given(st.text(max_size=12))
def test_no_text_gives_a_mask_that_is_not_filled(text):
    try:
        mask = decoded_mask(text, 4, 5)
    except ValueError:
        return
    assert mask.shape == (4, 5)
    assert np.array_equal(mask, decoded_mask(np.array(run_list(mask)), 4, 5))
