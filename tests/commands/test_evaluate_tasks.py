"""`pyratok evaluate segmentation | localization | questions | generation`: tiny models on tiny data in published formats.

What the figures mean is tested where they are made; here that each command reads, measures, prints and writes.
"""

import json
import shutil

import numpy as np
import pytest
from asking_repository import save_asking_repository
from class_films import write_classes
from small_films import moving_square
from tiny_language import save_tiny_repository

from pyratok import PyraTokActionLocalizationPipeline, PyraTokClassificationPipeline, PyraTokSegmentationPipeline
from pyratok.evaluation.activitynet import read_activitynet
from pyratok.evaluation.localization_baselines import WholeVideo
from pyratok.evaluation.localization_evaluation import evaluate_localization
from pyratok.evaluation.localization_metrics import ACTIVITYNET_THRESHOLDS
from pyratok.evaluation.mask_archives import read_mask_archives
from pyratok.evaluation.segmentation_baselines import all_foreground, centre_box
from pyratok.evaluation.segmentation_evaluation import evaluate_segmentation
from pyratok.modeling_pyratok.video_writing import write_video
from pyratok.pipelines.question_answering_loading import load_question_answering

FRAMES, HEIGHT, WIDTH = 9, 38, 52


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return save_tiny_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    """Two clips with a mask each, as archives."""
    folder = tmp_path_factory.mktemp("masks")
    lines = []
    for name in ("one", "two"):
        write_video(folder / f"{name}.mp4", moving_square(FRAMES, HEIGHT, WIDTH), 10)
        truth = np.zeros((FRAMES, HEIGHT, WIDTH), bool)
        truth[:, 4:14, 2:30] = True
        np.savez_compressed(folder / f"{name}.masks.npz", masks=np.packbits(truth, axis=-1), shape=truth.shape)
        lines.append({"file_name": f"{name}.mp4", "masks": f"{name}.masks.npz", "expression": "square"})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    return write_classes(tmp_path_factory.mktemp("classes"), train=4, validation=2)


def test_segmentation(run, repository, masks, work_folder):
    given = ("--data", masks, "--model", repository, "--levels", "1,4", "--json", "found.json")
    result = run("evaluate", "segmentation", *given)
    found = json.loads((work_folder / "found.json").read_text())
    pipeline = PyraTokSegmentationPipeline.from_pretrained(repository)
    truth = np.zeros((FRAMES, HEIGHT, WIDTH), bool)
    truth[:, 4:14, 2:30] = True
    mask = pipeline(masks / "one.mp4", ["square"], levels=(1, 4)).masks[0].numpy()
    expected = np.mean([(a & b).sum() / (a | b).sum() for a, b in zip(mask, truth, strict=True)])
    assert found["jaccard"] == pytest.approx(expected) and found["clips"] == 2 and found["levels"] == "1,4"
    assert f"{expected:.2%}" in result.stdout and "by chance" in result.stdout
    for name, baseline in (("all foreground", all_foreground), ("box in the middle", centre_box)):
        blind = evaluate_segmentation(baseline, read_mask_archives(masks)).jaccard
        assert found["baseline_jaccards"][name] == pytest.approx(blind) and blind > 0
        assert any(f"J, {name}" in line and f"{blind:.2%}" in line for line in result.stdout.splitlines())
    one = run("evaluate", "segmentation", *given, "--max-clips", 1, "--crf")
    assert "1, 9, 1" in one.stdout and json.loads((work_folder / "found.json").read_text())["crf"] is True


def test_instances_print_the_papers_row(run, repository, masks, work_folder):
    """YouTube-VIS, from the same clips: frames as pictures, masks as run lengths."""
    from PIL import Image

    (work_folder / "frames/one").mkdir(parents=True)
    names = [f"one/{index:05d}.jpg" for index in range(2)]
    for index, name in enumerate(names):
        Image.fromarray(moving_square(2, 20, 24)[index].numpy()).save(work_folder / "frames" / name)
    counts = [0, 20 * 4, 20 * 20]  # the first four columns
    annotation = {"id": 1, "video_id": 7, "category_id": 3, "iscrowd": 0, "width": 24, "height": 20}
    annotation["segmentations"] = [{"size": [20, 24], "counts": counts}] * 2
    annotation["areas"], annotation["bboxes"] = [80, 80], [[0, 0, 4, 20]] * 2
    content = {
        "info": {},
        "videos": [{"id": 7, "width": 24, "height": 20, "length": 2, "file_names": names}],
        "categories": [{"id": 3, "name": "square"}, {"id": 4, "name": "dog"}],
        "annotations": [annotation],
    }
    (work_folder / "instances.json").write_text(json.dumps(content))
    given = ("--data", "frames", "--annotations", "instances.json", "--benchmark", "youtube-vis-2021")
    result = run("evaluate", "segmentation", *given, "--model", repository, "--json", "found.json")
    assert "24.54" in result.stdout and "OmniTokenizer" in result.stdout
    assert 0 <= json.loads((work_folder / "found.json").read_text())["average_precision"]["ap"] <= 1


def test_localization(run, repository, masks, work_folder):
    shutil.copy(masks / "one.mp4", work_folder / "v_one.mp4")
    entry = {"duration": 0.9, "subset": "validation", "resolution": "52x38", "url": ""}
    entry["annotations"] = [{"segment": [0.1, 0.5], "label": "moving"}, {"segment": [0.2, 0.9], "label": "still"}]
    database = {"one": entry, "gone": {**entry}}
    (work_folder / "net.json").write_text(json.dumps({"version": "VERSION 1.3", "taxonomy": [], "database": database}))
    given = ("--data", ".", "--annotations", "net.json", "--window", 1, "--segments", 2)
    result = run("evaluate", "localization", *given, "--model", repository, "--json", "found.json")
    assert "29.11" in result.stdout and "gone" in result.stderr
    found = json.loads((work_folder / "found.json").read_text())
    pipeline = PyraTokActionLocalizationPipeline.from_pretrained(repository)
    segments = pipeline(work_folder / "v_one.mp4", ["moving", "still"], window=1, max_segments=2).segments
    assert found["predictions"] == sum(map(len, segments)) and found["missing_videos"] == ["gone"]
    runs = zip(("moving", "still"), segments, strict=True)
    assert found["segments"] == {"one": {label: [list(run) for run in several] for label, several in runs}}
    assert 0 <= found["chance"] <= 1 and "random segments" in result.stdout
    for name in ("chance", "whole_video"):
        assert len(found[f"{name}_by_threshold"]) == len(found["thresholds"])
        assert np.mean(found[f"{name}_by_threshold"]) == pytest.approx(found[name])
    whole = evaluate_localization(
        WholeVideo(0), read_activitynet("net.json", "."), ACTIVITYNET_THRESHOLDS
    ).mean_average_precision
    said = " ".join(result.stdout.replace("│", " ").split())
    assert found["whole_video"] == whole > 0 and f"whole video {whole:.2%}" in said


def test_generation(run, classes, work_folder):
    given = ("--data", classes / "train", "--generated", classes / "validation", "--frames", 3, "--resolution", 32)
    result = run("evaluate", "generation", *given, "--json", "found.json")
    found = json.loads((work_folder / "found.json").read_text())
    assert "Frechet distance (EfficientNet-Lite0)" in result.stdout and "FVD" not in result.stdout
    assert "too large" in result.stdout and found["value"] > 0 and found["generated_videos"] == 4
    row = run("evaluate", "generation", *given, "--benchmark", "ucf-101").stdout
    assert "not measured" in row and "51" in row  # another distance is not put beside the paper's


def test_ucf101_by_its_lists(run, repository, classes, work_folder):
    lists = work_folder / "ucfTrainTestlist"
    lists.mkdir()
    names = {"square": "TaiChi", "dark field": "YoYo"}
    (lists / "classInd.txt").write_text("1 TaiChi\n2 YoYo\n")
    for part, split in (("train", "train"), ("test", "validation")):
        lines = []
        for source in sorted((classes / split).rglob("*.mp4")):
            label = names[source.parent.name]
            path = work_folder / "UCF-101" / label / f"v_{label}_{split}_{source.stem}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, path)
            number = f" {1 + list(names.values()).index(label)}" if part == "train" else ""
            lines.append(f"{label}/{path.name}{number}\n")
        (lists / f"{part}list02.txt").write_text("".join(lines))
    given = (
        "--data",
        "UCF-101",
        "--benchmark",
        "ucf-101",
        "--annotations",
        lists,
        "--fold",
        2,
        "--json",
        "found.json",
    )

    named = run("evaluate", "classification", *given, "--model", repository).stdout
    found = json.loads((work_folder / "found.json").read_text())
    pipeline = PyraTokClassificationPipeline.from_pretrained(repository)
    videos = sorted((work_folder / "UCF-101").rglob("*_validation_*.mp4"))
    right = [pipeline(path, ["Tai Chi", "Yo Yo"]).label.replace(" ", "") == path.parent.name for path in videos]
    assert found["top_1"] == np.mean(right) and len(videos) == 4 and f"{np.mean(right):.2%} (chance 50.00%" in named
    assert "gFVD" not in named, "the paper's figure for UCF-101 is of generated videos"
    assert "100.00%" in run("evaluate", "classification", *given, "--model", repository, "--probe").stdout

    (work_folder / "UCF-101/TaiChi/v_TaiChi_train_0.mp4").unlink()
    options = ("--generated", classes / "validation", "--frames", 3, "--resolution", 32)
    compared = run("evaluate", "generation", *given, *options)
    found = json.loads((work_folder / "found.json").read_text())
    assert found["real_videos"] == 7 and "TaiChi/v_TaiChi_train_0.mp4" in compared.stderr and "51" in compared.stdout
    run("evaluate", "generation", *given, *options, "--split", "test")
    found = json.loads((work_folder / "found.json").read_text())
    assert (found["real_videos"], found["benchmark"], found["split"], found["fold"]) == (4, "ucf-101", "test", 2)


def test_questions_with_the_video_and_without_it(run, film, work_folder, tmp_path_factory):
    repository = save_asking_repository(tmp_path_factory.mktemp("asking"))
    shutil.copy(film, work_folder / "film.mp4")
    asked = [
        {"video": "film.mp4", "question": text, "candidates": ["a cat", "a dog", "nothing at all"], "answer": answer}
        for text, answer in (("what is it?", "a cat"), ("what else?", "nothing at all"), ("why?", "a dog"))
    ]
    lost = {**asked[0], "video": "gone.mp4"}
    damaged = {**asked[0], "video": "damaged.safetensors"}
    (work_folder / "damaged.safetensors").write_bytes(b"no tokens")
    (work_folder / "action_antonym.json").write_text(json.dumps([*asked, lost, damaged]))
    given = ("--data", ".", "--annotations", "action_antonym.json", "--model", repository)
    result = run("evaluate", "questions", *given, "--json", "found.json")
    found = json.loads((work_folder / "found.json").read_text())
    pipeline = load_question_answering(repository)
    right, alone = [], []
    for entry in asked:
        choices = entry["candidates"]
        right.append(pipeline(film, entry["question"], choices).answer == entry["answer"])
        alone.append(choices[int(pipeline.blind_scores(entry["question"], choices).argmax())] == entry["answer"])
    assert found["accuracy"] == pytest.approx(np.mean(right)) and found["chance"] == pytest.approx(1 / 3)
    without = found["without_video"]
    assert without["the language model alone"]["accuracy"] == pytest.approx(np.mean(alone))
    assert without["the longest choice"]["mean_over_tasks"] == pytest.approx(1 / 3)
    assert "86.03" in result.stdout and "gone.mp4" in result.stderr and "damaged.safetensors" in result.stderr
    assert (
        "the language model alone" in result.stdout and "33.33% (mean over tasks, without the video)" in result.stdout
    )
    one = run("evaluate", "questions", *given, "--max-questions", 1, "--projector", repository).stdout
    assert "of 1 (chance 33.33%)" in one


def test_bad_input(refused, repository, masks, tmp_path):
    model = ("--model", repository)
    for arguments, message in (
        (("segmentation", "--data", tmp_path / "nothing"), "nothing"),
        (("segmentation", "--data", masks, "--benchmark", "ovis"), "needs --annotations"),
        (("segmentation", "--data", masks, "--annotations", "no.json"), "ovis; masks takes none"),
        (("segmentation", "--data", masks, "--levels", "9"), "level"),
        (("localization", "--data", masks, "--annotations", tmp_path / "no.json"), "no.json"),
    ):
        assert message in refused("evaluate", *arguments, *model)
    assert "nothing" in refused("evaluate", "generation", "--data", masks, "--generated", tmp_path / "nothing")
    given = ("--data", masks, "--generated", masks, "--benchmark", "ucf-101")
    assert "--split test takes a part of ucf-101" in refused("evaluate", "generation", *given, "--split", "test")
    assert "--fold 2 takes a part of ucf-101" in refused("evaluate", "generation", *given, "--fold", 2)
    given = ("--data", masks, "--generated", masks, "--annotations", tmp_path)
    assert "needs --benchmark ucf-101" in refused("evaluate", "generation", *given)
    assert "classInd.txt" in refused("evaluate", "generation", *given, "--benchmark", "ucf-101")
    given = ("--data", masks, "--generated", masks, "--features", "nothing.pt")
    assert "nothing.pt" in refused("evaluate", "generation", *given)
