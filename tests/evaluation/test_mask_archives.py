"""Films with masks in numpy archives, and all the ways in which such a folder can be wrong."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from clip_examples import write_clip
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from segmentation_examples import blobs, grey_ramps, write_archive, write_archives

from pyratok import PyraTokError
from pyratok.evaluation.mask_archives import read_mask_archives

SIZE = (5, 20, 22)


@pytest.fixture
def folder(tmp_path) -> Path:
    line = {"file_name": "a.mp4", "masks": blobs(*SIZE), "expression": "grey goat", "text": "a goat", "frames": 5}
    return write_archives(tmp_path / "data", [line])


def test_a_line_with_an_expression_is_one_object_without_a_category(folder):
    data = read_mask_archives(folder)
    (clip,) = data.clips
    assert (clip.name, clip.size, clip.frames_per_second, data.categories) == ("a.mp4", SIZE, 25, {})
    (item,) = clip.objects
    assert (item.name, item.category_id) == ("grey goat", None)
    assert np.array_equal(item.masks(), blobs(*SIZE))
    assert clip.frames().shape == (*SIZE, 3)


def test_names_of_listed_objects_are_the_categories(tmp_path):
    first = [{"name": name, "masks": blobs(*SIZE, seed=seed)} for seed, name in enumerate(("imp", "armour", "imp"))]
    second = [{"name": "zombie", "masks": blobs(3, 16, 32)}]
    lines = [
        {"file_name": "a.mp4", "objects": first},
        {"file_name": "b.mp4", "objects": second},
        {"file_name": "c.mp4", "objects": [], "size": (2, 18, 20)},
    ]
    data = read_mask_archives(write_archives(tmp_path / "data", lines))
    assert data.categories == {1: "armour", 2: "imp", 3: "zombie"}
    assert [[(item.name, item.category_id) for item in clip.objects] for clip in data.clips] == [
        [("imp", 2), ("armour", 1), ("imp", 2)],
        [("zombie", 3)],
        [],
    ]
    assert [clip.size for clip in data.clips] == [SIZE, (3, 16, 32), (2, 18, 20)]
    for item, entry in zip(data.clips[0].objects, first, strict=True):
        assert np.array_equal(item.masks(), entry["masks"])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 5), st.integers(16, 40), st.integers(16, 40))
def test_any_size(tmp_path, frames, height, width):
    masks = blobs(frames, height, width)
    write_archives(tmp_path / "data", [{"file_name": "a.mkv", "masks": masks, "expression": "x"}])
    clip = read_mask_archives(tmp_path / "data").clips[0]
    assert np.array_equal(clip.objects[0].masks(), masks)
    assert clip.frames().shape == (frames, height, width, 3)


LINE = {"file_name": "a.mp4", "masks": "a.0.masks.npz", "expression": "goat"}


@pytest.mark.parametrize(
    "lines, message",
    [
        ([json.dumps(LINE), "{,}"], "line 2, column 2: not valid JSON"),
        ([json.dumps(LINE), "", "7"], "line 3: an object is needed here, got 7"),
        ([""], "has no lines"),
        ([LINE, LINE], "line 2: 'a.mp4' has a line before it: line 1"),
        ([{**LINE, "file_name": "b.mp4"}], "line 1: the file .*b.mp4' does not exist"),
        ([{**LINE, "file_name": "../a.mp4"}], "line 1: '../a.mp4' is not the name of a file inside"),
        ([{**LINE, "masks": "b.npz"}], "line 1: the file .*b.npz' does not exist"),
        ([{**LINE, "masks": "/etc/passwd"}], "line 1: '/etc/passwd' is not the name of a file inside"),
        ([{**LINE, "masks": None}], "line 1: 'masks' must be a text, got None"),
        ([{"file_name": "a.mp4"}], "line 1: either 'objects', or 'expression' and 'masks' are needed"),
        ([{**LINE, "objects": []}], "line 1: either 'objects', or"),
        ([{"file_name": "a.mp4", "masks": "a.0.masks.npz"}], "line 1: 'expression' is missing"),
        ([{"file_name": "a.mp4", "objects": {}}], "line 1: 'objects' must be a list, got {}"),
        (
            [{"file_name": "a.mp4", "objects": [{"masks": "a.0.masks.npz"}]}],
            r"line 1, objects\[0\]: 'name' is missing",
        ),
        ([{"file_name": "a.mp4", "objects": [{"name": "x"}]}], r"line 1, objects\[0\]: 'masks' is missing"),
        ([{**LINE, "file_name": "metadata.jsonl"}], "line 1: .*metadata.jsonl' is not a video"),
    ],
)
def test_wrong_lines_are_named(folder, lines, message):
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (folder / "metadata.jsonl").write_text(text)
    with pytest.raises(PyraTokError, match=f"metadata.jsonl'.*{message}"):
        read_mask_archives(folder)


def test_a_folder_that_is_not_there_or_has_no_list(tmp_path):
    with pytest.raises(PyraTokError, match="folder of mask archives .*nowhere' does not exist"):
        read_mask_archives(tmp_path / "nowhere")
    with pytest.raises(PyraTokError, match="metadata.jsonl"):
        read_mask_archives(tmp_path)


PACKED = np.packbits(blobs(*SIZE), axis=-1)


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"masks": PACKED}, "a.0.masks.npz' is no archive of masks that can be read: .*shape.npy"),
        ({"shape": np.array(SIZE)}, "is no archive of masks that can be read: .*masks.npy"),
        ({"masks": PACKED, "shape": np.array(SIZE[:2])}, r"'shape' must be three whole numbers, but is int64 \(2,\)"),
        ({"masks": PACKED, "shape": np.array(SIZE) * 1.0}, r"'shape' must be three whole numbers, but is float64"),
        ({"masks": PACKED, "shape": np.array([5, 20, 0])}, r"the shape \(5, 20, 0\); it must be 1 or more each"),
        ({"masks": PACKED, "shape": np.array([5, 20, 2**40])}, r"4294967296 pixels at most"),
        ({"masks": PACKED, "shape": np.array([5, 20, 23])}, r"masks of \(5, 20, 23\) .* the film is \(5, 20, 22\)"),
        ({"masks": PACKED, "shape": np.array([6, 20, 22])}, r"masks of \(6, 20, 22\) .* the film is \(5, 20, 22\)"),
        ({"masks": PACKED[:4], "shape": np.array(SIZE)}, r"'masks' of uint8 \(4, 20, 3\), but .* uint8 \(5, 20, 3\)"),
        ({"masks": PACKED.astype(bool), "shape": np.array(SIZE)}, r"'masks' of bool \(5, 20, 3\)"),
        ({"masks": np.array([{}]), "shape": np.array(SIZE)}, r"'masks' of object \(1,\)"),
        ({"masks": PACKED, "shape": np.array([{}, 1, 2])}, r"'shape' must be three whole numbers, but is object"),
    ],
)
def test_wrong_archives_are_named_with_the_line_that_names_them(folder, arrays, message):
    np.savez(folder / "a.0.masks.npz", **arrays)
    with pytest.raises(PyraTokError, match=f"metadata.jsonl', line 1: .*{message}"):
        read_mask_archives(folder)


def test_a_header_that_announces_terabytes_is_refused_before_they_are_asked_for(folder):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (2**44,)})
    for name in ("masks", "shape"):
        with zipfile.ZipFile(folder / "a.0.masks.npz", "w") as archive:
            for member in ("masks", "shape"):
                plain = io.BytesIO()
                np.save(plain, PACKED if member == "masks" else np.array(SIZE))
                archive.writestr(f"{member}.npy", header.getvalue() if member == name else plain.getvalue())
        with pytest.raises(PyraTokError, match=f"'{name}'.*17592186044416"):
            read_mask_archives(folder)


def test_objects_of_one_film_have_one_length(tmp_path):
    objects = [{"name": name, "masks": blobs(*SIZE)} for name in "xy"]
    folder = write_archives(tmp_path / "data", [{"file_name": "a.mp4", "objects": objects}])
    write_archive(folder / "a.1.masks.npz", blobs(4, *SIZE[1:]))
    with pytest.raises(PyraTokError, match=r"line 1, objects\[1\]: the masks are \(4, 20, 22\) .* \(5, 20, 22\)"):
        read_mask_archives(folder)


def test_a_film_of_another_length_or_an_archive_that_changed_is_named_when_it_is_read(folder):
    clip = read_mask_archives(folder).clips[0]
    write_clip(folder / "a.mp4", grey_ramps(4, *SIZE[1:]))
    with pytest.raises(PyraTokError, match=r"a.mp4': its .* is \(4, 20, 22\), .* \(5, 20, 22\)"):
        clip.frames()
    write_archive(folder / "a.0.masks.npz", blobs(4, *SIZE[1:]))
    with pytest.raises(PyraTokError, match="a.0.masks.npz' is no archive of masks that can be read"):
        clip.objects[0].masks()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_a_clear_error_or_does_no_harm(folder, data):
    path = folder / "a.0.masks.npz"
    write_archive(path, blobs(*SIZE))
    contents = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        contents[data.draw(st.integers(0, len(contents) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(contents[: data.draw(st.sampled_from([len(contents), len(contents) // 2]))])
    try:
        masks = read_mask_archives(folder).clips[0].objects[0].masks()
    except PyraTokError as problem:
        assert "a.0.masks.npz" in str(problem)
    else:
        assert masks.shape == SIZE
