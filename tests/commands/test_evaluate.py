"""`pyratok evaluate reconstruction`: the table, the JSON, files that cannot be read, and what is refused."""

import json
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import pyratok
from pyratok.commands.app import app
from pyratok.training.reconstruction_evaluation import evaluate_reconstruction

COMMAND = ("evaluate", "reconstruction")


@pytest.fixture
def data(films: Path, tmp_path: Path) -> Path:
    """A folder of a video, a picture in a subfolder, and a table of captions that is no clip."""
    folder = tmp_path / "data"
    (folder / "pictures").mkdir(parents=True)
    shutil.copy(films / "square.mp4", folder)
    shutil.copy(films / "still.png", folder / "pictures")
    (folder / "metadata.jsonl").write_text('{"file_name": "square.mp4", "text": "a square"}\n')
    return folder


def table(text: str) -> dict[str, str]:
    """The rows by their names, lines joined."""
    rows, name = {}, ""
    for line in (line.split("│")[1:3] for line in text.splitlines() if line.count("│") == 3):
        name = line[0].strip() or name
        rows[name] = f"{rows.get(name, '')} {line[1].strip()}".strip()
    return rows


def test_table_and_json_are_those_of_the_evaluation(run, data, model_folder, work_folder):
    result = run(*COMMAND, "--data", data, "--model", model_folder, "--json", "out.json", "--levels", "4,3")
    model = pyratok.PyraTokModel.from_pretrained(model_folder).eval()
    files = [data / "pictures" / "still.png", data / "square.mp4"]
    report = evaluate_reconstruction(model, files, [(3, 4)]).reports[0]

    figures = json.loads((work_folder / "out.json").read_text())
    assert figures["psnr_clip"] == pytest.approx(report.psnr_clip) and figures["ssim"] == pytest.approx(report.ssim)
    assert figures["weights_fingerprint"] == model.weights_fingerprint() and figures["model"] == str(model_folder)
    assert list(figures["files"]) == ["pictures/still.png", "square.mp4"] and figures["unreadable_files"] == {}

    rows = table(result.stdout)
    assert rows["clips, frames"] == "2, 8" and "unreadable files" not in rows
    assert rows["PSNR, whole clip"] == f"{report.psnr_clip:.2f} dB"
    assert rows["PSNR, mean of frames"] == f"{report.psnr_frames:.2f} dB"
    assert rows["SSIM"] == f"{report.ssim:.4f}"
    assert rows["bits per pixel"] == f"{report.bits_per_pixel:.4f}"
    counts, shares, perplexities = report.tokens_per_level[2:], report.code_use[2:], report.perplexity[2:]
    assert rows["tokens per level"] == f"1: 0 2: 0 3: {counts[0]:,} 4: {counts[1]:,}"
    assert rows["share of codes used"] == f"1: none 2: none 3: {shares[0]:.1%} 4: {shares[1]:.1%}"
    assert rows["perplexity of codes"] == f"1: none 2: none 3: {perplexities[0]:,.1f} 4: {perplexities[1]:,.1f}"
    assert rows["weights"].replace(" ", "") == figures["weights_fingerprint"]
    assert "wrote out.json" in result.stdout and result.stderr == ""


def test_files_that_cannot_be_read_are_named_and_the_rest_counts(run, data, model_folder, work_folder):
    whole = (data / "square.mp4").read_bytes()
    (data / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    result = run(*COMMAND, "-d", data, "-m", model_folder, "--json", "out.json")
    assert table(result.stdout)["clips, frames"] == "2, 8"
    assert table(result.stdout)["unreadable files"] == "1, left out"
    assert result.stderr.startswith("left out: ") and "cut.mp4" in result.stderr and result.stderr.count("\n") == 1
    assert list(json.loads((work_folder / "out.json").read_text())["unreadable_files"]) == ["cut.mp4"]


def test_a_few_clips(run, data, model_folder):
    assert table(run(*COMMAND, "-d", data, "-m", model_folder, "--max-clips", "1").stdout)["clips, frames"] == "1, 1"


def test_no_file_can_be_read(refused, data, model_folder):
    shutil.rmtree(data / "pictures")
    (data / "square.mp4").write_bytes(b"no video")
    assert "none of the 1 files can be read" in refused(*COMMAND, "-d", data, "-m", model_folder, "--json", "out.json")


def test_bad_input_is_refused_in_one_sentence(refused, data, films, model_folder, tmp_path):
    assert "does not exist" in refused(*COMMAND, "--data", "nowhere", "-m", model_folder)
    assert "is a file" in refused(*COMMAND, "--data", data / "square.mp4", "-m", model_folder)
    (tmp_path / "empty").mkdir()
    assert "no videos or pictures" in refused(*COMMAND, "--data", tmp_path / "empty", "-m", model_folder)
    assert "there is no model" in refused(*COMMAND, "--data", data, "-m", "nowhere")
    for option, sentence in (
        (("--levels", "5"), "1 to 4"),
        (("--levels", "deep"), "3,4"),
        (("--chunk-frames", "6"), "multiple of 4"),
        (("--tile-size", "40"), "tile_size"),
        (("--device", "abacus"), "abacus"),
        (("--json", "nowhere/out.json"), "folder"),
        (("--annotations", "no.json"), "needs --benchmark webvid-10m or coco-val; folder takes none"),
        (("--annotations", "no.json", "--benchmark", "mcl-jcv"), "mcl-jcv takes none"),
        (("--benchmark", "coco-val"), "--benchmark coco-val needs --annotations"),
    ):
        assert sentence in refused(*COMMAND, "--data", data, "-m", model_folder, *option)


@pytest.fixture
def distances(monkeypatch) -> list[str]:
    """The perceptual distances, by stand-ins that need no weights; the names that were asked for."""
    asked = []

    class Difference(torch.nn.Module):
        def forward(self, reconstruction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            assert not self.training
            return (reconstruction - target).abs().mean()

    def perceptual_distance(name: str) -> torch.nn.Module:
        asked.append(name)
        if name == "needs-more":
            raise ModuleNotFoundError("No module named 'somebody'", name="somebody")
        if name != "difference":
            raise ValueError(f"there is no perceptual distance {name!r}")
        return Difference()

    module = types.ModuleType("pyratok.training.perceptual_distance")
    module.perceptual_distance = perceptual_distance
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return asked


def test_a_perceptual_distance_is_measured_on_request(run, data, model_folder, work_folder, distances):
    result = run(*COMMAND, "-d", data, "-m", model_folder, "--perceptual", "difference", "--json", "out.json")
    figures = json.loads((work_folder / "out.json").read_text())
    assert figures["perceptual_distance_name"] == "difference" and distances == ["difference"]
    model = pyratok.PyraTokModel.from_pretrained(model_folder).eval()
    for name, shown in figures["files"].items():
        values = pyratok.PyraTokVideoProcessor()(str(data / name))["pixel_values_videos"]
        out = model.encode(values)
        copy = model.decode(out.video_codes, out.video_size).video_values
        assert shown["perceptual_distance"] == pytest.approx((copy - values).abs().mean().item(), rel=1e-4)
    assert table(result.stdout)["distance, difference"] == f"{figures['perceptual_distance']:.4f}"


def test_a_distance_that_is_unknown_or_not_installed(refused, data, model_folder, distances):
    asked = ("-d", data, "-m", model_folder, "--perceptual")
    assert "no perceptual distance 'taste'" in refused(*COMMAND, *asked, "taste")
    assert "needs somebody, which is not installed" in refused(*COMMAND, *asked, "needs-more")


def test_it_imports_nothing_that_only_the_extra_for_training_installs(data, model_folder):
    code = (
        "import sys\n"
        "from pyratok.commands.app import app\n"
        "app(standalone_mode=False)\n"
        "print(*sorted({'datasets', 'evaluate', 'tensorboard', 'torchdata'} & set(sys.modules)), file=sys.stderr)\n"
    )
    arguments = [*COMMAND, "-d", str(data), "-m", str(model_folder)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "\n")
    assert table(done.stdout)["clips, frames"] == "2, 8"


def test_interrupted_it_leaves_no_file(data, model_folder, work_folder, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pyratok.PyraTokModel, "encode_stream", interrupt)
    arguments = [*COMMAND, "-d", str(data), "-m", str(model_folder), "--json", "out.json"]
    assert CliRunner().invoke(app, arguments).exit_code == 130
    assert list(work_folder.iterdir()) == []
