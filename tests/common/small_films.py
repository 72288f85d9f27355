"""Films for tests, made rather than stored."""

from pathlib import Path

import av
import numpy as np
import torch


def moving_square(frames: int, height: int, width: int) -> list[torch.Tensor]:
    """Frames uint8 (H, W, 3): a bright square that moves over a gradient."""
    ramp = torch.linspace(0, 200, width).expand(height, width)
    background = torch.stack((ramp, ramp.flip(1), torch.full((height, width), 90.0)), dim=-1).to(torch.uint8)
    film = []
    for index in range(frames):
        frame = background.clone()
        frame[4:14, 2 * index : 2 * index + 10] = 250
        film.append(frame)
    return film


def write_sound(path: Path, seconds: float) -> None:
    """A file with a tone and nothing else."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        wave = np.sin(np.arange(int(16000 * seconds)) / 8).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux([*stream.encode(frame), *stream.encode(None)])
