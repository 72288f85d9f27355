"""Figures over files: against the model's own encode and decode, for every subset of levels, unreadable files left out."""

import json
import math
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from small_films import moving_square

from pyratok import PyraTokConfig, PyraTokError, PyraTokModel, VideoReadError, read_video, write_video
from pyratok.modeling_pyratok.pixel_values import frames_to_values
from pyratok.modeling_pyratok.reconstruction_metrics import ClipMetrics, DatasetMetrics
from pyratok.modeling_pyratok.video_reading import VideoReader
from pyratok.training.reconstruction_evaluation import (
    ReconstructionEvaluation,
    StreamOptions,
    evaluate_reconstruction,
    evaluation_record,
    previews,
)

CHUNK = StreamOptions(chunk_frames=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, clips) -> Path:
    """The beginnings of two real clips, of different length and size, and a picture."""
    folder = tmp_path_factory.mktemp("films")
    for name, frames, rows in (("city", 11, 40), ("dog", 6, 64)):
        write_video(folder / f"{name}.mkv", read_video(clips[name])[0][:frames, :rows, :48].clone(), 10)
    write_video(folder / "still.png", moving_square(1, 38, 52), 1)
    return folder


@pytest.fixture(scope="module")
def model() -> PyraTokModel:
    torch.manual_seed(0)
    return PyraTokModel(PyraTokConfig.tiny()).eval()


def difference(reconstruction: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    """In the place of a perceptual distance."""
    return (reconstruction - original).abs().mean(dim=(2, 3, 4)).mean()


def directly(model: PyraTokModel, path: Path, levels: tuple[int, ...], distance=None) -> ClipMetrics:
    """The figures of a file by way of `encode` and `decode`, all of it at once in memory."""
    original = frames_to_values(read_video(path)[0])
    out = model.encode(original[None], chunk_frames=4)
    copy = model.decode(out.video_codes, out.video_size, chunk_frames=4, levels=levels).video_values[0]
    metrics = ClipMetrics(4, model.config.codebook_bits, distance)
    metrics.update_frames((original + 1) / 2, (copy + 1) / 2)
    metrics.update_codes([codes if i in levels else None for i, codes in enumerate(out.video_codes, start=1)])
    return metrics


def assert_same(report, expected) -> None:
    for name, value in asdict(expected).items():
        assert getattr(report, name) == pytest.approx(value, rel=1e-4, nan_ok=True), name


def test_every_subset_of_levels_has_the_figures_of_encode_and_decode(model, folder):
    files = sorted(folder.iterdir())
    sets = [None, *previews(4), (1, 3)]
    evaluation = evaluate_reconstruction(model, files, sets, difference, CHUNK)
    assert evaluation.level_sets == ((1, 2, 3, 4), (4,), (3, 4), (2, 3, 4), (1, 3))
    assert list(evaluation.file_reports) == [str(file) for file in files]
    for index, levels in enumerate(evaluation.level_sets):
        total = DatasetMetrics(4, model.config.codebook_bits)
        for file in files:
            clip = directly(model, file, levels, difference if index == 0 else None)
            assert_same(evaluation.file_reports[str(file)][index], clip.report())
            total.add(clip)
        assert_same(evaluation.reports[index], total.report())


def test_chunks_and_tiles_reach_the_model(model, clips, tmp_path):
    """Across chunk lengths the figures are the same; in tiles they are not, for tiles are blended."""
    files = [tmp_path / "dog.mkv"]
    write_video(files[0], read_video(clips["dog"])[0][:6, :64, :128].clone(), 10)
    whole = evaluate_reconstruction(model, files, options=StreamOptions(chunk_frames=64)).reports[0]
    assert_same(evaluate_reconstruction(model, files, options=CHUNK).reports[0], whole)
    tiled = evaluate_reconstruction(model, files, options=StreamOptions(4, tile_size=64, tile_overlap=32)).reports[0]
    assert tiled.psnr_clip != pytest.approx(whole.psnr_clip, rel=1e-4) and tiled.frames == whole.frames
    with pytest.raises(ValueError, match="multiple of 4"):
        evaluate_reconstruction(model, files, options=StreamOptions(chunk_frames=6))
    with pytest.raises(ValueError, match="1 to 4"):
        evaluate_reconstruction(model, files, [(5,)])


def test_no_more_than_a_chunk_of_frames_is_read_ahead(model, folder, monkeypatch):
    read, measured, lead = [], [], []
    frames, update = VideoReader.timed_frames, ClipMetrics.update_frames

    def counted(reader):
        for frame in frames(reader):
            read.append(frame)
            lead.append(len(read) - sum(measured))
            yield frame

    def counted_update(metrics, original, copy):
        measured.append(len(original))
        update(metrics, original, copy)

    monkeypatch.setattr(VideoReader, "timed_frames", counted)
    monkeypatch.setattr(ClipMetrics, "update_frames", counted_update)
    evaluate_reconstruction(model, [folder / "city.mkv"], options=CHUNK)
    assert sum(measured) == 11 and measured[0] == 5
    assert max(lead) <= 6


def test_unreadable_files_are_named_and_count_in_nothing(model, folder, tmp_path, monkeypatch):
    (tmp_path / "text.mp4").write_text("no video")
    shutil.copy(folder / "dog.mkv", tmp_path / "breaks.mkv")
    frames = VideoReader.timed_frames

    def damaged(reader):
        for index, frame in enumerate(frames(reader)):
            if index == 5 and "breaks" in str(reader._source):
                raise VideoReadError("it is damaged after frame 5")
            yield frame

    monkeypatch.setattr(VideoReader, "timed_frames", damaged)
    files = [tmp_path / "breaks.mkv", folder / "city.mkv", tmp_path / "text.mp4"]
    evaluation = evaluate_reconstruction(model, files, options=CHUNK)
    assert_same(evaluation.reports[0], directly(model, folder / "city.mkv", (1, 2, 3, 4)).report())
    assert list(evaluation.unreadable) == [str(files[0]), str(files[2])]
    assert evaluation.unreadable[str(files[0])] == "it is damaged after frame 5"
    with pytest.raises(PyraTokError, match="none of the 2 files can be read; the first: it is damaged"):
        evaluate_reconstruction(model, [files[0], files[2]], options=CHUNK)
    with pytest.raises(PyraTokError, match="none of the 0 files"):
        evaluate_reconstruction(model, [])


def test_progress_sees_every_file(model, folder):
    seen = []

    def progress(files):
        for file in files:
            yield file
            seen.append(file.name)

    evaluate_reconstruction(model, [folder / "still.png", folder / "dog.mkv"], [(4,)], progress=progress)
    assert seen == ["still.png", "dog.mkv"]


def test_the_record_is_json_with_figures_of_all_and_of_each_file(model, folder):
    files = [folder / "dog.mkv", folder / "still.png"]
    evaluation = evaluate_reconstruction(model, files, [(3, 4)], difference, CHUNK)
    evaluation = ReconstructionEvaluation(**{**vars(evaluation), "unreadable": {str(folder / "x" / "y.mp4"): "bad"}})
    record = evaluation_record(evaluation, folder, "mine", "0f" * 32, "difference")
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    report = evaluation.reports[0]
    assert record["psnr_clip"] == report.psnr_clip and record["tokens_per_level"] == list(report.tokens_per_level)
    assert record["code_use"][:2] == record["perplexity"][:2] == [None, None]
    assert math.isnan(report.code_use[0]) and record["code_use"][2:] == list(report.code_use[2:])
    assert (record["model"], record["weights_fingerprint"], record["levels"]) == ("mine", "0f" * 32, [3, 4])
    assert record["perceptual_distance_name"] == "difference" and record["perceptual_distance"] > 0
    assert list(record["files"]) == ["dog.mkv", "still.png"]
    assert [figures["frames"] for figures in record["files"].values()] == [6, 1]
    assert record["unreadable_files"] == {"x/y.mp4": "bad"}
