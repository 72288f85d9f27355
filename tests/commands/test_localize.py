"""`pyratok localize`."""

import json
import subprocess
import sys

import pytest
from PIL import Image
from tiny_language import save_tiny_repository

from pyratok import PyraTokActionLocalizationPipeline


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return save_tiny_repository(tmp_path_factory.mktemp("repository"))


def test_segments_a_plot_and_json(run, film, work_folder, repository):
    result = run(
        *("localize", film, "--text", "a person falls", "--text", "a dog", "--window", 1, "--segments", 3),
        *("--model", repository, "--json", "found.json"),
    )
    pipeline = PyraTokActionLocalizationPipeline.from_pretrained(repository)
    expected = pipeline(film, ["a person falls", "a dog"], window=1, max_segments=3)
    found = json.loads((work_folder / "found.json").read_text())
    assert found["segments"] == {
        text: [list(run) for run in runs] for text, runs in zip(expected.texts, expected.segments, strict=True)
    }
    assert found["times"] == pytest.approx(expected.times.tolist())
    start, end, score = expected.segments[0][0]
    assert f"{start:.2f} to {end:.2f} s, score {score:.4f}" in result.stdout
    assert Image.open(work_folder / "square_localization.png").size == (800, 440)


def test_tokens_are_enough(run, film, work_folder, repository):
    run("encode", film, "tokens.safetensors", "--model", repository)
    options = ("--text", "dog", "--window", 1, "--model", repository)
    one = run("localize", film, *options, "--plot", "a.png", "--json", "a.json")
    other = run("localize", "tokens.safetensors", *options, "--plot", "b.png", "--json", "b.json")
    assert json.loads((work_folder / "a.json").read_text())["segments"]["dog"]
    assert (work_folder / "a.json").read_text() == (work_folder / "b.json").read_text()
    assert (work_folder / "a.png").read_bytes() == (work_folder / "b.png").read_bytes()
    assert one.stdout != other.stdout  # they say which file it was


def test_what_nothing_reaches_is_not_found(run, film, repository):
    assert "not found" in run("localize", film, "--text", "dog", "--threshold", 5, "--model", repository).stdout


def test_a_window_over_the_whole_clip_finds_nothing_and_is_named(run, film, work_folder, repository):
    """Seven frames are three features; a window of five reaches all of them from any."""
    given = ("--text", "dog", "--text", "a cat", "--model", repository, "--json", "found.json")
    result = run("localize", film, *given)
    assert result.stdout.count("not found") == 2
    assert "the clip has 3 features of 4 frames and the window of 25 covers them all" in result.stderr
    assert "give a smaller --window" in result.stderr
    record = json.loads((work_folder / "found.json").read_text())
    assert record["segments"] == {"dog": [], "a cat": []} and all(
        len(set(row)) == 1 for row in record["scores"].values()
    )
    assert "covers them all" in run("localize", film, *given, "--window", 5).stderr
    smaller = run("localize", film, *given, "--window", 4)
    assert "not found" not in smaller.stdout and smaller.stderr == ""
    stated = run("localize", film, *given, "--threshold", -1)
    assert "0.00 to 0.70 s" in stated.stdout and "covers them all" in stated.stderr


def test_one_frame_has_no_time(run, films, repository):
    result = run("localize", films / "still.png", "--text", "dog", "--model", repository, "--window", 1)
    assert "not found" in result.stdout and "give a longer clip" in result.stderr


def test_a_long_text_does_not_push_the_times_out(run, film, repository, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = ("a person in a red coat walks slowly along a long street with a small brown dog x" * 2)[:82]
    shown = run("localize", film, "--text", text, "--window", 1, "--model", repository).stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert " s, score " in shown
    right = [line.strip("│").split("│")[-1].strip() for line in shown.splitlines() if "│" in line]
    assert "".join(right).replace(" ", "") == text.replace(" ", "")


def test_letters_without_a_glyph_are_not_warned_of(film, work_folder, repository):
    """In a process of its own: pytest would keep the warnings to itself."""
    command = [sys.executable, "-m", "pyratok", "localize", film, "--text", "日本 dog नमस्ते", "--window", "1"]
    result = subprocess.run([*command, "--model", str(repository)], capture_output=True, text=True, cwd=work_folder)
    assert result.returncode == 0, result.stderr
    assert result.stderr == "" and (work_folder / "square_localization.png").is_file()


def test_what_no_model_allows_is_said_before_one_is_loaded(refused, film):
    for arguments, message in (
        (("--text", " "), "--text holds at least one text, and none that is empty"),
        (("--text", "dog", "--threshold", "nan"), "threshold is a finite number"),
        (("--text", "dog", "--chunk-frames", "3"), "chunk_frames"),
        (("--text", "dog", "--plot", "x.jpg"), "--plot takes NAME.png, got 'x.jpg'"),
    ):
        assert message in refused("localize", film, *arguments, "--model", "no/such/model")


def test_bad_input(refused, film, repository, model_folder):
    for arguments, message in (
        ((film, "--text", " "), "none that is empty"),
        ((film, "--text", "dog", "--level", "9"), "level"),
        ((film, "--text", "dog", "--plot", "no/such/folder/a.png"), "folder"),
        (("nothing.mp4", "--text", "dog"), "'nothing.mp4' does not exist"),
        ((film, "--text", "dog", "--text", "dog"), "stands there twice"),
        ((film, "--text", "dog", "--plot", "a.png", "--json", "./a.png"), "are one file"),
        ((film, "--text", "dog", "--json", "no/such/folder/a.json"), "folder"),
        ((film, "--text", "dog", "--threshold", "inf"), "threshold is a finite number"),
        (("nothing.safetensors", "--text", "dog"), "nothing.safetensors"),
    ):
        assert message in refused("localize", *arguments, "--model", repository)
    assert "no text alignment" in refused("localize", film, "--text", "dog", "--model", model_folder)
