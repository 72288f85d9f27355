"""The memory of a stream does not grow with its length."""

import multiprocessing
import re
from pathlib import Path

import torch

from pyratok import PyraTokConfig, PyraTokModel


def _peak_megabytes(frames: int, results) -> None:
    torch.set_num_threads(1)
    model, generator = PyraTokModel(PyraTokConfig.tiny()).eval(), torch.Generator().manual_seed(0)
    stream = (torch.rand(3, 96, 128, generator=generator) * 2 - 1 for _ in range(frames))
    count = sum(piece.shape[0] for piece in model.decode_stream(model.encode_stream(stream)))
    status = Path("/proc/self/status").read_text()  # getrusage's maximum would begin with that of the parent
    results.put((count, int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) / 1024))


def test_a_stream_ten_times_as_long_needs_no_more_memory():
    """300 frames of 96 x 128 kept as float32 would take 44 MB more than 30, features several times that."""
    context = multiprocessing.get_context("spawn")
    results, peaks = context.Queue(), []
    for frames in (30, 300):
        process = context.Process(target=_peak_megabytes, args=(frames, results))
        process.start()
        count, peak = results.get(timeout=300)
        process.join()
        assert count == frames
        peaks.append(peak)
    assert peaks[1] < 1.1 * peaks[0] and peaks[1] - peaks[0] < 30
