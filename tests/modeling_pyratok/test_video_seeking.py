"""Reading from the middle of a video gives what reading from its beginning gives."""

import io
import itertools
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from clip_examples import clip_bytes, smooth_frames

from pyratok.modeling_pyratok.errors import VideoReadError
from pyratok.modeling_pyratok.video_reading import VideoReader, read_video

FORMATS = {
    "mp4": ("mp4", "libx264", {}),
    "mp4 without B-frames": ("mp4", "libx264", {"bf": "0"}),
    "mp4 with open groups": ("mp4", "libx264", {"x264-params": "open-gop=1:bframes=3"}),
    "mp4 with intra refresh": ("mp4", "libx264", {"intra-refresh": "1"}),
    "mov with MPEG-4": ("mov", "mpeg4", {"bf": "2"}),
    "mkv": ("matroska", "libx264", {}),
    "mkv with open groups": ("matroska", "libx264", {"x264-params": "open-gop=1:bframes=3"}),
    "webm with VP8": ("webm", "libvpx", {"cpu-used": "8", "auto-alt-ref": "1"}),
    "webm with VP9": ("webm", "libvpx-vp9", {"cpu-used": "8"}),
    "avi": ("avi", "mpeg4", {"bf": "2"}),
    "mpegts": ("mpegts", "libx264", {}),
}


def encoded(name: str, frames: np.ndarray, times: np.ndarray | None = None) -> bytes:
    """A file with a key frame at least every 8 frames, at 25 frames per second or at `times`."""
    container, codec, options = FORMATS[name]
    target = io.BytesIO()
    with av.open(target, "w", format=container) as output:
        stream = output.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.codec_context.gop_size = 8
        stream.codec_context.time_base = Fraction(1, 25 if times is None else 1000)
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            frame.pts = index if times is None else round(times[index] * 1000)
            frame.time_base = stream.codec_context.time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return target.getvalue()


@pytest.fixture(scope="module")
def film(clips) -> np.ndarray:
    """Real frames, 49 of 72 x 128."""
    return np.ascontiguousarray(read_video(clips["bunny"])[0][:, ::2, ::2].numpy())


@pytest.mark.parametrize("is_variable", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_the_frames_are_those_of_reading_from_the_start(film, name, is_variable):
    times = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.2, len(film))) if is_variable else None
    with VideoReader(encoded(name, film, times)) as reader:
        whole = list(reader.timed_frames())
        assert len(whole) == len(film)
        for index in (1, 7, 8, 9, 23, 30, 41, len(whole) - 1):
            start = (whole[index - 1][0] + whole[index][0]) / 2
            stretch = list(itertools.islice(reader.timed_frames(start), 9))
            expected = [timed for timed in whole if timed[0] >= start][:9]
            assert [seconds for seconds, _ in stretch] == [seconds for seconds, _ in expected]
            assert all(torch.equal(a, b) for (_, a), (_, b) in zip(stretch, expected, strict=True))


def test_fixtures(clips):
    for path in clips.values():
        with VideoReader(path) as reader:
            whole = list(reader.timed_frames())
            for index in range(0, len(whole), 5):
                seconds, frame = next(reader.timed_frames(whole[index][0]))
                assert seconds == whole[index][0] and torch.equal(frame, whole[index][1])


@pytest.mark.parametrize("name", ["mp4", "mkv"])
def test_frames_before_the_key_frame_are_not_decoded(film, name):
    data = bytearray(encoded(name, film))
    with av.open(io.BytesIO(bytes(data))) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][12]
    data[packet.pos + packet.size // 3 : packet.pos + packet.size] = b"\xaa" * (packet.size - packet.size // 3)
    with VideoReader(bytes(data)) as reader:
        with pytest.raises(VideoReadError, match="damaged after frame"):
            list(reader)
        assert len(list(reader.timed_frames(1.44 - 0.02))) == 49 - 36
        with pytest.raises(VideoReadError, match=r"damaged after (frame \d+|the frame at \d.\d\d s)"):
            list(reader.timed_frames(0.3))


def test_damage_after_the_start_is_told_by_its_time(film):
    data = bytearray(encoded("mp4", film))
    with av.open(io.BytesIO(bytes(data))) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][36]
    data[packet.pos + packet.size // 3 : packet.pos + packet.size] = b"\xaa" * (packet.size - packet.size // 3)
    with VideoReader(bytes(data)) as reader, pytest.raises(VideoReadError, match=r"after the frame at 1\.\d\d s"):
        list(reader.timed_frames(1.0))


def test_starts_outside_the_video(clip):
    with VideoReader(clip) as reader:
        assert len(list(reader.timed_frames(-3.0))) == 33
        assert list(reader.timed_frames(100.0)) == []
        assert len(list(reader)) == 33


def test_an_earlier_reading_does_not_go_on_after_a_later_one_began(clip):
    with VideoReader(clip) as reader:
        earlier = reader.timed_frames()
        next(earlier)
        next(reader.timed_frames(0.5))
        with pytest.raises(VideoReadError, match="another reading of it began"):
            list(earlier)


def test_a_format_that_is_not_sought_in():
    with VideoReader(clip_bytes("gif", smooth_frames(5, 16, 16), codec="gif", pix_fmt="rgb8")) as reader:
        assert [round(seconds, 2) for seconds, _ in reader.timed_frames(0.1)] == [0.12, 0.16]


@pytest.mark.parametrize("name", ["city", "park"])
def test_threads_make_no_difference(clips, name):
    with VideoReader(clips[name], decoder_threads=1) as one, VideoReader(clips[name]) as many:
        assert all(torch.equal(a, b) for a, b in zip(one, many, strict=True))
