"""`pyratok evaluate TASK --benchmark NAME`: every published format is read by its name, and the paper's row stands beside.

What the readers take and refuse is tested where they are; here that a command hands them what was given.
"""

import csv
import json
import shutil
import warnings

import numpy as np
import pytest
import torch
from class_films import write_classes
from segmentation_examples import YouTubeVisExample, blobs, write_davis
from small_films import moving_square
from tiny_language import save_tiny_repository

from pyratok.evaluation.davis import read_davis
from pyratok.evaluation.localization_metrics import ACTIVITYNET_THRESHOLDS, THUMOS14_THRESHOLDS
from pyratok.evaluation.segmentation_baselines import all_foreground
from pyratok.evaluation.segmentation_evaluation import evaluate_segmentation
from pyratok.evaluation.youtube_vis import read_youtube_vis
from pyratok.modeling_pyratok.video_writing import write_video

SIZE = (3, 13, 18)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return save_tiny_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def measured(run, repository, work_folder):
    """Runs a task on the tiny model; (its output, what it wrote as JSON)."""

    def measure(task, *options):
        result = run("evaluate", task, "--model", repository, "--json", "found.json", *options)
        return result, json.loads((work_folder / "found.json").read_text())

    return measure


def two_objects() -> np.ndarray:
    """uint8 (T, H, W): two objects that overlap nowhere."""
    numbers = blobs(*SIZE).astype(np.uint8)
    numbers[blobs(*SIZE, seed=1) & (numbers == 0)] = 2
    return numbers


@pytest.mark.parametrize(
    ("year", "numbers", "names"),
    [(2016, 255 * blobs(*SIZE).astype(np.uint8), ["goats"]), (2017, two_objects(), ["goats", "goats"])],
)
def test_davis(measured, tmp_path, year, numbers, names):
    root = write_davis(tmp_path / "DAVIS", {"goats": numbers}, year)
    _, found = measured("segmentation", "--data", root, "--benchmark", f"davis-{year}")
    expected = evaluate_segmentation(all_foreground, read_davis(root, year=year))
    assert [item["name"] for item in found["objects"]] == names and found["benchmark"] == f"davis-{year}"
    assert found["baseline_jaccards"]["all foreground"] == pytest.approx(expected.jaccard)


def test_davis_by_referring_expressions(measured, tmp_path):
    root = write_davis(tmp_path / "DAVIS", {"goats": two_objects()})
    (tmp_path / "said.txt").write_text('goats 1 "the first goat"\ngoats 2 "another goat"\n')
    options = ("--benchmark", "davis-2017", "--annotations", tmp_path / "said.txt")
    _, found = measured("segmentation", "--data", root, *options)
    assert [item["name"] for item in found["objects"]] == ["the first goat", "another goat"]


def test_objects_of_one_name_apart_and_together(measured, tmp_path):
    root = write_davis(tmp_path / "DAVIS", {"goats": two_objects()})
    for choice, count in (("apart", 2), ("together", 1)):
        options = ("--benchmark", "davis-2017", "--same-name", choice)
        _, found = measured("segmentation", "--data", root, *options)
        assert (len(found["objects"]), found["same_name"]) == (count, choice)
        expected = evaluate_segmentation(all_foreground, read_davis(root), same_name=choice).jaccard
        assert found["baseline_jaccards"]["all foreground"] == pytest.approx(expected)


def test_ovis_asks_for_all_categories_or_for_those_of_the_clip(measured, tmp_path):
    annotations, frames = YouTubeVisExample(tmp_path).write()
    given = ("--data", frames, "--annotations", annotations, "--benchmark", "ovis")
    for ask in ("all", "clip"):
        result, found = measured("segmentation", *given, "--ask", ask)
        assert found["ask"] == ask and "49.44" in result.stdout and "mAP, AP50, AP75" in result.stdout
    expected = evaluate_segmentation(all_foreground, read_youtube_vis(annotations, frames), "clip")
    assert found["foreground_share"] == pytest.approx(expected.foreground_share)


@pytest.mark.parametrize(("subset", "options"), [("test", ()), ("validation", ("--subset", "validation"))])
def test_thumos14(measured, films, work_folder, subset, options):
    (work_folder / "annotations").mkdir()
    (work_folder / "videos").mkdir()
    for part, short in (("test", "test"), ("validation", "val")):
        name = f"video_{part}_0000324"
        shutil.copy(films / "square.mp4", work_folder / "videos" / f"{name}.mp4")
        (work_folder / f"annotations/BaseballPitch_{short}.txt").write_text(f"{name}  0.1 0.5\n{name}  0.2 0.7\n")
        (work_folder / f"annotations/Ambiguous_{short}.txt").write_text("")
    (work_folder / "annotations/BaseballPitch_test.txt").write_text("video_test_0000324  0.1 0.6\n")
    given = ("--data", "videos", "--annotations", "annotations", "--benchmark", "thumos14", "--window", 1)
    result, found = measured("localization", *given, *options)
    assert "33.17" in result.stdout and found["thresholds"] == list(THUMOS14_THRESHOLDS)
    assert found["actions"] == {"test": 1, "validation": 2}[subset] and [*found["classes"]] == ["baseball pitch"]


def test_a_subset_of_activitynet(measured, films, work_folder):
    shutil.copy(films / "square.mp4", work_folder / "v_one.mp4")
    entry = {"duration": 0.7, "subset": "training", "annotations": [{"segment": [0.1, 0.7], "label": "moving"}]}
    content = {"database": {"one": entry, "two": {**entry, "subset": "validation"}}}
    (work_folder / "net.json").write_text(json.dumps(content))
    given = ("--data", ".", "--annotations", "net.json", "--window", 1, "--subset", "training")
    _, found = measured("localization", *given)
    assert found["videos"] == 1 and found["thresholds"] == list(ACTIVITYNET_THRESHOLDS)


def write_webvid(folder, films):
    with open(folder / "list.csv", "w", newline="") as file:
        csv.writer(file).writerows([("videoid", "page_dir", "name"), (1, "pages", "a square"), (2, "pages", "lost")])
    (folder / "pages").mkdir()
    shutil.copy(films / "square.mp4", folder / "pages/1.mp4")
    return ("--annotations", folder / "list.csv")


def write_coco(folder, films):
    images = [{"id": number, "file_name": f"{number}.png"} for number in (1, 2)]
    captions = [{"id": 1, "image_id": 1, "caption": "a square"}]
    (folder / "list.json").write_text(json.dumps({"images": images, "annotations": captions}))
    shutil.copy(films / "still.png", folder / "1.png")
    return ("--annotations", folder / "list.json")


def write_mcl(folder, films):
    pixels = np.random.default_rng(0).integers(16, 236, 2 * 24 * 16 * 3 // 2, np.uint8)
    (folder / "videoSRC03_24x16_30.yuv").write_bytes(pixels.tobytes())
    return ()


@pytest.mark.parametrize(
    ("benchmark", "write", "figure", "missing"),
    [
        ("webvid-10m", write_webvid, "35.72 dB", "pages/2.mp4"),
        ("coco-val", write_coco, "36.05 dB", "2.png"),
        ("mcl-jcv", write_mcl, "29.82 dB", "videoSRC04"),
    ],
)
def test_reconstruction(measured, films, tmp_path, benchmark, write, figure, missing):
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(films / "square.mp4", data / "not_of_the_set.mp4")
    result, found = measured("reconstruction", "--data", data, "--benchmark", benchmark, *write(data, films))
    assert len(found["files"]) == 1 and figure in result.stdout
    assert f"{found['psnr_frames']:.2f} dB" in result.stdout and f"left out: {missing}: " in result.stderr


class TinyI3D(torch.nn.Module):
    """Three features of a clip (B, 3, T, 224, 224)."""

    def forward(self, x: torch.Tensor):
        return x.mean(dim=(2, 3, 4))


def test_with_an_i3d_network_the_distance_stands_beside_the_papers(run, tmp_path, work_folder):
    data = write_classes(tmp_path / "classes", train=2, validation=2)
    for path in (data / "validation").rglob("*.mp4"):
        write_video(path, [frame // 2 for frame in moving_square(4, 32, 32)], 10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(TinyI3D()).save(str(tmp_path / "i3d.pt"))
    given = ("--data", data / "train", "--generated", data / "validation", "--frames", 3, "--benchmark", "ucf-101")
    result = run("evaluate", "generation", *given, "--features", tmp_path / "i3d.pt", "--json", "found.json")
    found = json.loads((work_folder / "found.json").read_text())
    rows = [[cell.strip() for cell in line.split("│")] for line in result.stdout.splitlines() if "gFVD" in line]
    assert found["value"] > 0 and len(rows) == 1
    assert f"{found['value']:.0f}" in rows[0] and "51" in rows[0] and "not measured" not in result.stdout
