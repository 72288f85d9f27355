"""UCF-101 in its published format: class folders of avi files, numbered classes, lists for training and testing."""

from pathlib import Path

import pytest

from pyratok import PyraTokError
from pyratok.evaluation.classification_data import LabelledVideo
from pyratok.evaluation.ucf101 import read_ucf101

CLASSES = "1 ApplyEyeMakeup\r\n2 HandstandPushups\r\n3 TaiChi\r\n"
TEST = "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi\r\nHandstandPushups/v_HandStandPushups_g01_c02.avi\r\n"
TRAIN = "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\r\nTaiChi/v_TaiChi_g08_c01.avi 3\r\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lists = tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    for name, text in (("classInd", CLASSES), ("testlist01", TEST), ("trainlist01", TRAIN)):
        (lists / f"{name}.txt").write_bytes(text.encode())
    for line in [*TEST.split(), *TRAIN.split()]:
        if "/" in line:
            path = tmp_path / "UCF-101" / line
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return tmp_path


def read(root: Path, **options):
    return read_ucf101(root / "UCF-101", root / "ucfTrainTestlist", **options)


def test_the_test_list_with_labels_in_words(root):
    data, videos = read(root), root / "UCF-101"
    assert data.videos == (
        LabelledVideo(videos / "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi", "Apply Eye Makeup", "test"),
        LabelledVideo(videos / "HandstandPushups/v_HandStandPushups_g01_c02.avi", "Handstand Pushups", "test"),
    )
    assert data.labels == ("Apply Eye Makeup", "Handstand Pushups", "Tai Chi") and data.missing == ()


def test_the_training_list_has_numbers(root):
    assert [(one.label, one.split) for one in read(root, split="train").videos] == [
        ("Apply Eye Makeup", "train"),
        ("Tai Chi", "train"),
    ]


def test_missing_videos_are_named_and_none_at_all_is_an_error(root):
    (root / "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi").unlink()
    data = read(root)
    assert data.missing == ("ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi",) and len(data.videos) == 1
    (root / "UCF-101/HandstandPushups/v_HandStandPushups_g01_c02.avi").unlink()
    with pytest.raises(PyraTokError, match="none of the 2 videos of UCF-101 .*v_ApplyEyeMakeup_g01_c01.avi"):
        read(root)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (
            "trainlist01",
            TRAIN + "TaiChi/v_TaiChi_g08_c02.avi\n",
            "line 3: it has to be CLASS/VIDEO.avi and the number",
        ),
        ("trainlist01", TRAIN + "TaiChi/v_TaiChi_g08_c02.avi 2\n", "line 3: the class 'TaiChi' is number 3"),
        ("trainlist01", TRAIN + "\nYoYo/v_YoYo_g08_c02.avi 4\n", "line 4: 'YoYo' is no class of classInd.txt"),
        ("trainlist01", "../TaiChi/x.avi 3", "line 1: '../TaiChi/x.avi' is not the name of a file inside"),
        ("classInd", CLASSES + "YoYo\n", "line 4: it has to be a number and the name of a class, got 'YoYo'"),
        ("classInd", CLASSES + "3 YoYo\n", "line 4: the class 3 YoYo stands there twice"),
        ("classInd", CLASSES + "4 TaiChi\n", "line 4: the class 4 TaiChi stands there twice"),
    ],
)
def test_a_wrong_list_is_named_with_line_and_reason(root, name, text, reason):
    path = root / "ucfTrainTestlist" / f"{name}.txt"
    path.write_text(text)
    with pytest.raises(PyraTokError) as problem:
        read(root, split="train")
    assert str(problem.value).startswith(f"'{path}', ") and reason in str(problem.value)


def test_lists_and_folders_that_are_not_there(root):
    with pytest.raises(PyraTokError, match=r"cannot read '.*testlist03.txt': no such file"):
        read(root, fold=3)
    with pytest.raises(PyraTokError, match="the folder of videos .* does not exist"):
        read_ucf101(root / "videos", root / "ucfTrainTestlist")


@pytest.mark.parametrize("options", [{"split": "validation"}, {"fold": 4}, {"fold": 0}])
def test_an_unknown_part_is_refused(root, options):
    with pytest.raises(ValueError, match="split is 'train' or 'test' and fold 1, 2 or 3"):
        read(root, **options)
