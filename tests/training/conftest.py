"""A small data folder, written on the spot: four short videos, one damaged, two validation videos, two photographs."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image


def write_video(path: Path, frames: np.ndarray) -> None:
    """uint8 (T, H, W, 3) -> mp4."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "18"})
        stream.thread_count = 1  # with several, a busy machine makes other bytes of the same frames
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def moving_pattern(seed: int, num_frames: int = 8, height: int = 48, width: int = 64) -> np.ndarray:
    """A coarse, bright random pattern that slides to the right, uint8 (T, H, W, 3)."""
    coarse = np.random.default_rng(seed).integers(130, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    picture = coarse.repeat(8, axis=0).repeat(8, axis=1)
    return np.stack([np.roll(picture, 2 * step, axis=1) for step in range(num_frames)])


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for split, count in (("train", 4), ("validation", 2)):
        (folder / "video" / split).mkdir(parents=True)
        rows = []
        for number in range(count):
            name = f"{split}_{number}.mp4"
            write_video(folder / "video" / split / name, moving_pattern(number + 10 * len(split), 4 + number))
            rows.append({"file_name": name, "text": f"pattern {number}"})
        if split == "train":
            (folder / "video" / split / "broken.mp4").write_bytes(b"this is no video")
            rows.append({"file_name": "broken.mp4", "text": "nothing"})
        (folder / "video" / split / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "images" / "train").mkdir(parents=True)
    for number in range(2):
        Image.fromarray(moving_pattern(100 + number, 1, 96, 128)[0]).save(
            folder / "images" / "train" / f"{number}.jpg"
        )
    return folder


@pytest.fixture(autouse=True)
def fresh_accelerator():
    """Accelerate holds the precision of the first run for the life of the process."""
    yield
    AcceleratorState._reset_state()


@pytest.fixture(autouse=True)
def one_thread():
    """Tests share the machine; small convolutions lose by threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
