"""The annotations of Kinetics, in their published forms and broken."""

from pathlib import Path

import pytest

from pyratok.evaluation.classification_data import LabelledVideo
from pyratok.evaluation.kinetics import read_kinetics
from pyratok.modeling_pyratok.errors import PyraTokError

KINETICS_400 = """label,youtube_id,time_start,time_end,split,is_cc
abseiling,-3B32lodo2M,59,69,val,0
"air drumming",_dbcJuKJQNs,40,50,val,1
"petting animal (not cat)",--0dWlqevI4,19,29,val,0
"""

KINETICS_600 = """label,youtube_id,time_start,time_end,split
abseiling,0wR5jVB-WPk,417,427,train
abseiling,3caPS4FHFF8,36,46,val
acting in play,KJ8fJDL4GN8,1539,1549,train
cutting apple,c9ZWYpxefXQ,64,74,val
peeling apples,c9ZWYpxefXQ,14,24,val
"""

KINETICS_700 = "label,youtube_id,time_start,time_end,split\ntestifying,---QUuC4vJs,84,94,validate\n"


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Clips directly in the folder and in folders of labels, with spaces and with underscores."""
    folder = tmp_path / "videos"
    for name in (
        "-3B32lodo2M_000059_000069.mp4",
        "air drumming/_dbcJuKJQNs_000040_000050.webm",
        "0wR5jVB-WPk_000417_000427.mp4",
        "acting_in_play/KJ8fJDL4GN8_001539_001549.mp4",
        "peeling apples/c9ZWYpxefXQ_000014_000024.mp4",
        "testifying/---QUuC4vJs_000084_000094.safetensors",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def written(folder: Path, text: str) -> Path:
    path = folder / "val.csv"
    path.write_text(text, "utf-8", newline="")
    return path


def test_reads_kinetics_400(tmp_path, videos):
    data = read_kinetics(written(tmp_path, KINETICS_400), videos)
    assert data.videos == (
        LabelledVideo(videos / "-3B32lodo2M_000059_000069.mp4", "abseiling", "validation"),
        LabelledVideo(videos / "air drumming/_dbcJuKJQNs_000040_000050.webm", "air drumming", "validation"),
    )
    assert data.labels == ("abseiling", "air drumming", "petting animal (not cat)")
    assert data.missing == ("petting animal (not cat)/--0dWlqevI4_000019_000029",)


def test_reads_kinetics_600_with_its_splits(tmp_path, videos):
    data = read_kinetics(written(tmp_path, KINETICS_600.replace("\n", "\r\n")), videos)
    assert [(video.video.name, video.label) for video in data.of_split("train")] == [
        ("0wR5jVB-WPk_000417_000427.mp4", "abseiling"),
        ("KJ8fJDL4GN8_001539_001549.mp4", "acting in play"),
    ]
    # One film with two clips and two labels, as the published file has some.
    assert [(video.video.name, video.label) for video in data.of_split("validation")] == [
        ("c9ZWYpxefXQ_000014_000024.mp4", "peeling apples")
    ]
    assert data.splits == ("train", "validation")
    assert data.missing == ("abseiling/3caPS4FHFF8_000036_000046", "cutting apple/c9ZWYpxefXQ_000064_000074")
    with pytest.raises(ValueError, match="no videos of the split 'test', only of: train, validation"):
        data.of_split("test")


def test_reads_kinetics_700_from_token_files(tmp_path, videos):
    data = read_kinetics(written(tmp_path, "\ufeff" + KINETICS_700), videos)
    assert [(video.video.suffix, video.split) for video in data.videos] == [(".safetensors", "validation")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("abseiling,abc,1,2", "4 fields where line 1 names 5 columns"),
        ("climbing, high,abc,1,2,val", "6 fields where line 1 names 5 columns"),
        (",abc,1,2,val", "the label must be the name of a class, got ''"),
        ("../secret,abc,1,2,val", "the label must be the name of a class"),
        ("abseiling,../abc,1,2,val", "youtube_id must be letters, digits, - and _, got '../abc'"),
        ("abseiling,,1,2,val", "youtube_id must be letters"),
        ("abseiling,abc,-1,2,val", "must be whole seconds from 0 up, got '-1' and '2'"),
        ("abseiling,abc,1.5,2,val", "must be whole seconds from 0 up"),
        ("abseiling,abc,12,2,val", "time_end 2 must be after time_start 12"),
        ("abseiling,abc,2,2,val", "time_end 2 must be after time_start 2"),
        ("abseiling,abc,1,2,dev", "split must be one of train, validation, test, val, validate, got 'dev'"),
        ("testifying,---QUuC4vJs,84,94,train", "stands in line 2 already"),
        ("abseiling,---QUuC4vJs,84,94,validate", "stands in line 2 already"),
        ('"abseiling,abc,1,2,val', "line 4"),
    ],
)
def test_an_invalid_row_is_named_with_the_reason(tmp_path, videos, row, reason):
    path = written(tmp_path, f"{KINETICS_700}\n{row}\n")
    with pytest.raises(PyraTokError) as caught:
        read_kinetics(path, videos)
    message = str(caught.value)
    assert repr(str(path)) in message and "line 4" in message and reason in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1: it has no column 'label'"),
        ("youtube_id,time_start,time_end,split\n--65_UAU7ao,0,10,test\n", "line 1: it has no column 'label'"),
        ("label;youtube_id;time_start;time_end;split\n", "line 1: it has no column 'label'"),
        ("abseiling,0wR5jVB-WPk,417,427,train\n", "line 1: it has no column 'label'"),
        ("label,youtube_id,time_start,time_end,split\n", "has a header and no rows"),
    ],
)
def test_other_files_are_refused_with_the_reason(tmp_path, videos, text, reason):
    path = written(tmp_path, text)
    with pytest.raises(PyraTokError) as caught:
        read_kinetics(path, videos)
    assert repr(str(path)) in str(caught.value) and reason in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path, videos):
    path = written(tmp_path, KINETICS_700)
    with pytest.raises(PyraTokError, match="none.csv"):
        read_kinetics(tmp_path / "none.csv", videos)
    with pytest.raises(PyraTokError, match="nowhere' does not exist"):
        read_kinetics(path, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        PyraTokError, match="none of the 1 annotated videos is in .*testifying/---QUuC4vJs_000084_000094.mp4"
    ):
        read_kinetics(path, tmp_path / "empty")
