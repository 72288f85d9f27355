"""WebVid-10M, COCO-val and MCL-JCV in their published formats: which files there are, their captions, and what is wrong."""

import json
from pathlib import Path

import pytest

from pyratok import PyraTokError
from pyratok.evaluation.captioned_files import CaptionedFile
from pyratok.evaluation.coco_captions import read_coco_captions
from pyratok.evaluation.mcl_jcv import read_mcl_jcv
from pyratok.evaluation.webvid import read_webvid

WEBVID = """videoid,contentUrl,duration,page_dir,name
1066674784,https://ak.picdn.net/shutterstock/videos/1066674784/preview/x.mp4,PT00H00M20S,006001_006050,Travel blogger shoot
21179416,https://ak.picdn.net/shutterstock/videos/21179416/p/y.mp4,PT00H00M10S,083401_083450,"Aerial shot, ""golden"" hour"

5629184,https://ak.picdn.net/shutterstock/videos/5629184/preview/z.mp4,PT00H00M07S,071501_071550,"Hands
at work"
"""


@pytest.fixture
def webvid(tmp_path: Path) -> Path:
    (tmp_path / "results_10M_val.csv").write_text(WEBVID, "utf-8", newline="\r\n")
    place(tmp_path / "videos/006001_006050/1066674784.mp4")
    place(tmp_path / "videos/5629184.mp4")
    return tmp_path


def place(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"film")
    return path


def read_webvid_of(root: Path):
    return read_webvid(root / "results_10M_val.csv", root / "videos")


def test_webvid_gives_the_videos_that_are_there_with_their_captions(webvid):
    data = read_webvid_of(webvid)
    assert data.files == (
        CaptionedFile(webvid / "videos/006001_006050/1066674784.mp4", "Travel blogger shoot"),
        CaptionedFile(webvid / "videos/5629184.mp4", "Hands\r\nat work"),
    )
    assert data.paths == [file.path for file in data] and len(data) == 2 and data.benchmark == "WebVid-10M"
    assert list(data.left_out) == ["083401_083450/21179416.mp4"]
    place(webvid / "videos/083401_083450/21179416.mp4")
    assert read_webvid_of(webvid).files[1].caption == 'Aerial shot, "golden" hour'


def test_webvid_2_5m_has_its_columns_in_another_order(webvid):
    table = "videoid,name,page_idx,page_dir,duration,contentUrl\n1066674784,Shoot,1,006001_006050,PT1S,http\n"
    (webvid / "results_10M_val.csv").write_text(table)
    assert [file.caption for file in read_webvid_of(webvid)] == ["Shoot"]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("videoid,contentUrl,duration,name\n1,u,d,n\n", "line 1: it has no column 'page_dir'"),
        ("", "line 1: it has no column 'videoid', 'page_dir', 'name'"),
        ("videoid,page_dir,name\n1,a,b\n2,a\n", "line 3: 2 fields where line 1 names 3 columns"),
        ("videoid,page_dir,name\n1,a,b\n ,a,b\n", "line 3: the videoid is empty"),
        ("videoid,page_dir,name\n../../x,a,b\n", "line 2: '../../x.mp4' is not the name of a file inside"),
        ("videoid,page_dir,name\n1,/etc,b\n", "line 2: '/etc/1.mp4' is not the name of a file inside"),
        ('videoid,page_dir,name\n1,a,"b"c\n', "line 2: it is not a CSV table"),
    ],
)
def test_a_wrong_webvid_table_is_named_with_line_and_reason(webvid, table, reason):
    path = webvid / "results_10M_val.csv"
    path.write_text(table)
    with pytest.raises(PyraTokError) as problem:
        read_webvid_of(webvid)
    assert str(problem.value).startswith(f"'{path}', ") and reason in str(problem.value)


def test_text_that_is_not_utf_8_and_missing_files_are_named(webvid):
    path = webvid / "results_10M_val.csv"
    path.write_bytes(b"videoid,page_dir,name\n1,a,caf\xe9\n")
    with pytest.raises(PyraTokError, match=f"'{path}', line 2: it is not text in UTF-8"):
        read_webvid_of(webvid)
    path.unlink()
    with pytest.raises(PyraTokError, match=f"cannot read '{path}': no such file"):
        read_webvid_of(webvid)
    with pytest.raises(PyraTokError, match="the folder of videos .* is a file"):
        read_webvid(path, place(webvid / "film.mp4"))


def test_no_video_of_webvid_at_all_is_an_error(webvid):
    (webvid / "nothing").mkdir()
    with pytest.raises(
        PyraTokError, match=r"none of the 3 files of WebVid-10M is there; 006001_006050/1066674784.mp4"
    ):
        read_webvid(webvid / "results_10M_val.csv", webvid / "nothing")


COCO = {
    "info": {"description": "COCO 2017 Dataset", "year": 2017},
    "licenses": [{"id": 1, "name": "a licence"}],
    "images": [
        {"license": 4, "file_name": "000000397133.jpg", "height": 427, "width": 640, "id": 397133},
        {"license": 1, "file_name": "000000037777.jpg", "height": 230, "width": 352, "id": 37777},
        {"license": 1, "file_name": "000000252219.jpg", "height": 428, "width": 640, "id": 252219},
    ],
    "annotations": [
        {"image_id": 397133, "id": 370509, "caption": "A man is in a kitchen making pizzas."},
        {"image_id": 397133, "id": 37, "caption": "Man in apron standing on front of oven. \n"},
    ],
}


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    (tmp_path / "captions_val2017.json").write_text(json.dumps(COCO), "utf-8")
    for name in ("000000397133.jpg", "000000252219.jpg"):
        place(tmp_path / "val2017" / name)
    return tmp_path


def read_coco(root: Path):
    return read_coco_captions(root / "captions_val2017.json", root / "val2017")


def test_coco_gives_pictures_with_the_caption_of_the_lowest_id(coco):
    data = read_coco(coco)
    assert data.files == (
        CaptionedFile(coco / "val2017/000000397133.jpg", "Man in apron standing on front of oven."),
        CaptionedFile(coco / "val2017/000000252219.jpg", None),
    )
    assert list(data.left_out) == ["000000037777.jpg"] and "val2017" in data.left_out["000000037777.jpg"]


def test_a_blank_caption_of_coco_is_none(coco):
    annotations = [*COCO["annotations"], {"image_id": 252219, "id": 1, "caption": " \n"}]
    (coco / "captions_val2017.json").write_text(json.dumps(COCO | {"annotations": annotations}), "utf-8")
    assert [file.caption for file in read_coco(coco)][1] is None


@pytest.mark.parametrize(
    ("key", "entry", "reason"),
    [
        ("images", {"id": "1", "file_name": "a.jpg"}, "images[3]: 'id' must be a whole number, got '1'"),
        ("images", {"id": 1}, "images[3]: 'file_name' is missing"),
        ("images", {"id": 1, "file_name": "../a.jpg"}, "images[3]: '../a.jpg' is not the name of a file inside"),
        ("annotations", {"id": 1, "image_id": 397133}, "annotations[2]: 'caption' is missing"),
        ("annotations", {"id": 1, "image_id": 5, "caption": "a"}, "captions of the image 5, and no such image"),
        ("annotations", ["a"], "annotations[2]: an object is needed here"),
    ],
)
def test_a_wrong_coco_entry_is_named(coco, key, entry, reason):
    path = coco / "captions_val2017.json"
    path.write_text(json.dumps(COCO | {key: [*COCO[key], entry]}), "utf-8")
    with pytest.raises(PyraTokError) as problem:
        read_coco(coco)
    assert str(problem.value).startswith(f"'{path}'") and reason in str(problem.value)


def test_a_broken_coco_file_is_named_with_its_line(coco):
    path = coco / "captions_val2017.json"
    path.write_text('{"images": [\n {"id": 1\n', "utf-8")
    with pytest.raises(PyraTokError, match=f"'{path}', line 3"):
        read_coco(coco)
    path.write_text('{"images": []}')
    with pytest.raises(PyraTokError, match="'annotations' is missing"):
        read_coco(coco)


def test_mcl_jcv_has_thirty_sources_raw_or_as_mp4(tmp_path):
    first = place(tmp_path / "raw/videoSRC01_1920x1080_30.yuv")
    second = place(tmp_path / "videoSRC05_1920x1080_25.mp4")
    third = place(tmp_path / "videoSRC17.mp4")
    place(tmp_path / "videoSRC01.mp4")
    place(tmp_path / "videoSRC02_1920x1080_30_qp_20.mp4")
    place(tmp_path / "videoSRC31_1920x1080_30.yuv")
    data = read_mcl_jcv(tmp_path)
    assert data.files == tuple(CaptionedFile(path, None) for path in (first, second, third))
    assert data.left_out["videoSRC01.mp4"] == "raw/videoSRC01_1920x1080_30.yuv is taken for this source"
    assert len(data.left_out) == 1 + 27 and "videoSRC02" in data.left_out and "videoSRC30" in data.left_out


def test_a_folder_without_mcl_jcv_is_refused(tmp_path):
    place(tmp_path / "film.mp4")
    with pytest.raises(PyraTokError, match=r"none of the 30 files of MCL-JCV is there; videoSRC01: neither"):
        read_mcl_jcv(tmp_path)
    with pytest.raises(PyraTokError, match="the folder of MCL-JCV .* does not exist"):
        read_mcl_jcv(tmp_path / "none")
