"""`pyratok segment`."""

import numpy as np
import pytest
import torch
from tiny_language import save_tiny_repository

import pyratok
from pyratok import PyraTokReconstructionPipeline, PyraTokSegmentationPipeline, VideoTokens, read_video
from pyratok.pipelines import segmentation_pipeline


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return save_tiny_repository(tmp_path_factory.mktemp("repository"))


def masks_of(path):
    with np.load(path, allow_pickle=False) as archive:
        return np.unpackbits(archive["masks"], axis=-1)[..., : archive["shape"][2]].astype(bool)


def test_masks_overlay_and_sheet(run, film, work_folder, repository):
    result = run("segment", film, "--text", "a dog and a ball", "--model", repository, "--output", "out")
    assert sorted(path.name for path in (work_folder / "out").iterdir()) == [
        "ball.masks.npz",
        "contact_sheet.png",
        "dog.masks.npz",
        "overlay.mp4",
    ]
    expected = PyraTokSegmentationPipeline.from_pretrained(repository)(film, "a dog and a ball").masks.numpy()
    for index, word in enumerate(("dog", "ball")):
        assert np.array_equal(masks_of(work_folder / f"out/{word}.masks.npz"), expected[index])
        assert f"{expected[index].mean():.1%} of the pixels" in result.stdout
    frames, info = read_video(work_folder / "out/overlay.mp4")
    assert frames.shape == (7, 38 + 16, 52, 3) and info.fps == 10


def test_the_crf_and_several_texts(run, film, work_folder, repository):
    texts = ("--text", "a dog", "--text", "the ball / net")
    run("segment", film, *texts, "--model", repository, "--output", "out", "--crf", "--levels", "1,4")
    pipeline = PyraTokSegmentationPipeline.from_pretrained(repository)
    expected = pipeline(film, ["a dog", "the ball / net"], levels=(1, 4), crf=True).masks.numpy()
    assert np.array_equal(masks_of(work_folder / "out/a_dog.masks.npz"), expected[0])
    assert np.array_equal(masks_of(work_folder / "out/the_ball_net.masks.npz"), expected[1])


def test_a_picture(run, films, work_folder, repository):
    run("segment", films / "still.png", "--text", "dog", "--model", repository)
    folder = work_folder / "still_segmentation"
    assert read_video(folder / "overlay.png")[0].shape == (1, 38 + 16, 52, 3)
    assert masks_of(folder / "dog.masks.npz").shape == (1, 38, 52)


@pytest.mark.parametrize("option", ["--no-crf", "--crf"])
def test_a_token_file_gives_masks_as_its_tokens_do(run, film, work_folder, repository, option):
    run("encode", film, "film.safetensors", "--model", repository)
    given = ("--model", repository, option, "--chunk-frames", 4)
    run("segment", "film.safetensors", "--text", "a dog and a ball", *given)
    folder, tokens = work_folder / "film_segmentation", VideoTokens.load("film.safetensors")
    pipeline = PyraTokSegmentationPipeline.from_pretrained(repository)
    expected = pipeline(tokens, "a dog and a ball", crf=option == "--crf", chunk_frames=4).masks.numpy()
    for index, word in enumerate(("dog", "ball")):
        assert np.array_equal(masks_of(folder / f"{word}.masks.npz"), expected[index])
    frames, info = read_video(folder / "overlay.mp4")
    assert frames.shape == (7, 38 + 16, 52, 3) and info.fps == 10


def test_a_long_text_does_not_push_the_shares_out(run, film, repository, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = ("a person in a red coat walks slowly along a long street with a small brown dog x" * 2)[:82]
    shown = run("segment", film, "--text", text, "--text", "dog", "--model", repository).stdout
    assert max(map(len, shown.split("wrote")[0].splitlines())) <= 80
    assert shown.count("% of the pixels; score from ") == 2
    right = [line.strip("│").split("│")[-1].strip() for line in shown.splitlines() if "│" in line]
    assert "".join(right).replace(" ", "") == text.replace(" ", "") + "dog"


def test_the_masks_of_a_token_file_lie_over_its_decoded_picture(run, films, work_folder, repository):
    run("encode", films / "still.png", "still.safetensors", "--model", repository)
    run("decode", "still.safetensors", "decoded.png", "--model", repository)
    run("segment", "still.safetensors", "--text", "dog", "--model", repository)
    folder = work_folder / "still_segmentation"
    free = ~masks_of(folder / "dog.masks.npz")
    assert 0 < free.mean() < 1
    shown, decoded = read_video(folder / "overlay.png")[0][:, :38], read_video("decoded.png")[0]
    same = (shown == decoded).all(dim=-1).numpy()
    assert same[free].all() and not same[~free].any()


def test_token_files_that_cannot_be_segmented(refused, run, film, repository, tmp_path):
    other = PyraTokReconstructionPipeline.from_pretrained(repository)
    with torch.no_grad():
        next(other.vq_model.parameters()).add_(1)
    other.save_pretrained(tmp_path / "other")
    run("encode", film, "other.safetensors", "--model", tmp_path / "other")
    assert "other weights" in refused("segment", "other.safetensors", "--text", "dog", "--model", repository)
    assert "chunk_frames" in refused("segment", "other.safetensors", "--text", "dog", "--chunk-frames", "6")
    assert "no such file" in refused("segment", "nothing.safetensors", "--text", "dog", "--model", repository)


def test_of_equal_scores_none_stands_out(run, film, repository, monkeypatch):
    similarity_maps = segmentation_pipeline.similarity_maps
    monkeypatch.setattr(segmentation_pipeline, "similarity_maps", lambda *given: 0 * similarity_maps(*given))
    assert "0.0% of the pixels; all score the same" in run("segment", film, "-t", "dog", "-m", repository).stdout


def test_bad_input(refused, film, films, repository, model_folder, tmp_path):
    for arguments, message in (
        ((film, "--text", "the of"), "no word that names something"),
        ((film, "--text", "a b", "--text", "a_b"), "one file"),
        ((film, "--text", "dog", "--text", " "), "none that is empty"),
        ((film, "--text", "dog", "--levels", "9"), "level"),
        ((film, "--text", "dog", "--levels", "x"), "--levels takes level numbers"),
        ((film, "--text", "dog", "--chunk-frames", "3"), "chunk_frames"),
        (("nothing.mp4", "--text", "dog"), "'nothing.mp4' does not exist"),
        ((film, "--text", "dog", "--threshold", "nan"), "threshold is a finite number"),
        ((films / "sound.m4a", "--text", "dog"), "sound"),
    ):
        assert message in refused("segment", *arguments, "--model", repository)
    assert "no text alignment" in refused("segment", film, "--text", "dog", "--model", model_folder)
    assert "there is no model" in refused("segment", film, "--text", "dog", "--model", "nothing")
    (tmp_path / "file").touch()
    assert "is a file" in refused(
        "segment", film, "--text", "dog", "--model", repository, "--output", tmp_path / "file"
    )


def test_the_bundled_model_without_a_name(run, film):
    assert pyratok.PyraTokTextAlignment  # the parts that it needs are public
    assert "wrote" in run("segment", film, "--text", "a square").stdout
