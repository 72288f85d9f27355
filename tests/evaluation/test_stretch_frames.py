"""Frames from the middles of equal parts of a stretch: of a video file and of a folder of pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from clip_examples import smooth_frames, write_clip
from PIL import Image

from pyratok import PyraTokVideoProcessor, VideoReadError
from pyratok.evaluation.stretch_frames import stretch_frames

FRAMES = smooth_frames(50, 16, 24)
"""Two seconds at 25 frames per second."""


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.mkv"
    write_clip(path, FRAMES)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Twelve pictures, four seconds; picture k is all k."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(1, 13):
        Image.fromarray(np.full((16, 24, 3), number, np.uint8)).save(folder / f"{number:05d}.png")
    (folder / "notes.txt").touch()
    return folder


def nearest(frames: torch.Tensor) -> list[int]:
    """Which frame of FRAMES each one is."""
    errors = np.abs(frames.movedim(1, -1).numpy()[:, None].astype(int) - FRAMES[None]).mean(axis=(2, 3, 4))
    return errors.argmin(axis=1).tolist()


def test_middles_of_the_whole_video(film):
    frames = stretch_frames(film, 5)
    assert frames.shape == (5, 3, 16, 24) and frames.dtype == torch.uint8
    assert nearest(frames) == [5, 15, 25, 35, 45]
    assert PyraTokVideoProcessor()(frames)["pixel_values_videos"].shape == (1, 5, 3, 16, 24)


def test_middles_of_a_stretch(film):
    # Parts of 0.2 s from 0.5 s on; their middles are 0.6 s, 0.8 s, ... , and frame k is shown from k / 25 s on.
    assert nearest(stretch_frames(film, 3, 0.51, 1.11)) == [15, 20, 25]
    assert nearest(stretch_frames(film, 1, 1.0, 1.01)) == [25]


def test_an_end_behind_the_end_is_the_end(film):
    assert nearest(stretch_frames(film, 2, 1.0, 99.0)) == nearest(stretch_frames(film, 2, 1.0)) == [31, 43]


def test_few_frames_are_repeated(film):
    assert nearest(stretch_frames(film, 6, 1.92)) == [48, 48, 48, 49, 49, 49]
    assert stretch_frames(film, 120).shape[0] == 120


def test_a_folder_has_three_pictures_a_second(folder):
    assert stretch_frames(folder, 4)[:, 0, 0, 0].tolist() == [2, 4, 8, 10]  # at 0.5 s, 1.5 s, 2.5 s and 3.5 s
    assert stretch_frames(folder, 1, 1.9, 2.1)[:, 0, 0, 0].tolist() == [6]
    assert stretch_frames(folder, 3, 0, 0.3)[:, 0, 0, 0].tolist() == [1, 1, 1]
    assert stretch_frames(folder, 2, 3.0, 99)[:, 0, 0, 0].tolist() == [10, 11]


def test_a_stretch_behind_the_end_is_an_error(film, folder):
    with pytest.raises(VideoReadError, match="is over before the stretch starts: it has 2 s and that is 7 s"):
        stretch_frames(film, 2, 7.0)
    with pytest.raises(VideoReadError, match="it has 4 s and that is 4 s"):
        stretch_frames(folder, 2, 4.0)


def test_what_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(VideoReadError, match="holds no pictures"):
        stretch_frames(tmp_path, 2)
    with pytest.raises(VideoReadError, match="does not exist"):
        stretch_frames(tmp_path / "none.mp4", 2)
    for number, size in enumerate(((8, 8), (8, 10)), start=1):
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / f"{number:05d}.jpg")
    with pytest.raises(VideoReadError, match="different sizes: 00002.jpg is 10x8 where 00001.jpg is 8x8"):
        stretch_frames(tmp_path, 8)


def test_wrong_calls_are_refused(film):
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        stretch_frames(film, 0)
    for start, end in ((1.0, 1.0), (2.0, 1.0), (-1.0, None)):
        with pytest.raises(ValueError, match="ends after it starts"):
            stretch_frames(film, 1, start, end)
