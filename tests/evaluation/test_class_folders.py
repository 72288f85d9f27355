"""Folders with one folder for each class."""

from pathlib import Path

import pytest

from pyratok.evaluation.class_folders import read_class_folders
from pyratok.modeling_pyratok.errors import PyraTokError


def filled(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_reads_classes_without_splits(tmp_path):
    folder = filled(
        tmp_path, "riding_a_bike/b.mp4", "riding_a_bike/a.MKV", "archery/c.safetensors", "archery/.hidden.mp4"
    )
    filled(folder, "archery/licence.txt", ".git/x.mp4", "readme.md")
    data = read_class_folders(folder)
    found = [(video.video.relative_to(folder).as_posix(), video.label, video.split) for video in data.videos]
    assert found == [
        ("archery/c.safetensors", "archery", None),
        ("riding_a_bike/a.MKV", "riding a bike", None),
        ("riding_a_bike/b.mp4", "riding a bike", None),
    ]
    assert data.labels == ("archery", "riding a bike")
    assert data.splits == () and data.missing == ()


@pytest.mark.parametrize("validation", ["validation", "val"])
def test_reads_splits(tmp_path, validation):
    filled(tmp_path, "train/archery/a.mp4", "train/judo/b.mp4", f"{validation}/judo/c.mp4", "test/judo/d.mp4")
    data = read_class_folders(tmp_path)
    assert data.splits == ("train", "validation", "test")
    assert [video.video.name for video in data.of_split("train")] == ["a.mp4", "b.mp4"]
    assert [(video.video.name, video.label) for video in data.of_split("validation")] == [("c.mp4", "judo")]
    assert data.measured_split == "validation" and data.measured == data.of_split("validation")


def test_a_class_may_be_called_as_a_split(tmp_path):
    data = read_class_folders(filled(tmp_path, "train/a.mp4", "tram/b.mp4"))
    assert [(video.label, video.split) for video in data.videos] == [("train", None), ("tram", None)]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("train/judo/a.mp4", "archery/b.mp4"), "holds the splits train and beside them archery"),
        (("val/judo/a.mp4", "validation/judo/b.mp4"), "two names for one split: val, validation"),
        (("high_jump/a.mp4", "high jump/b.mp4"), "are one label: 'high jump'"),
        (("judo/a.mp4", "archery/readme.txt"), "archery' holds no videos"),
        (("judo/a.mp4", "archery/deeper/b.mp4"), "archery' holds the folder 'deeper'"),
        (("judo/a.mp4",), "must hold two or more folders, one for each class"),
        (("a.mp4", "b.mp4"), "must hold two or more folders, one for each class"),
    ],
)
def test_other_folders_are_refused_with_the_reason(tmp_path, names, reason):
    with pytest.raises(PyraTokError) as caught:
        read_class_folders(filled(tmp_path / "data", *names))
    assert str(tmp_path / "data") in str(caught.value) and reason in str(caught.value)


def test_a_missing_folder_and_a_file_are_named(tmp_path):
    with pytest.raises(PyraTokError, match="nowhere' does not exist"):
        read_class_folders(tmp_path / "nowhere")
    with pytest.raises(PyraTokError, match="is a file"):
        read_class_folders(filled(tmp_path, "clip.mp4") / "clip.mp4")
