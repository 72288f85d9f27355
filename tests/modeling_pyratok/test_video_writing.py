"""Writing: every format, sizes, colours, times, sound in step, and failures that leave nothing behind."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from clip_examples import beep_time, psnr, smooth_frames, write_clip
from PIL import Image

from pyratok.modeling_pyratok.errors import VideoReadError, VideoWriteError
from pyratok.modeling_pyratok.video_reading import VideoReader, read_video
from pyratok.modeling_pyratok.video_writing import VideoWriter, write_video

VIDEOS = ["mp4", "mkv", "webm", "avi", "gif"]
WITH_SOUND = ["mp4", "mkv", "webm", "avi"]
PICTURES = ["png", "jpg", "jpeg", "webp"]
TIMES = [0.0, 0.04, 0.1, 0.13, 0.25, 0.5, 0.52, 0.8, 0.83, 1.0]


def tensor_clip(count: int = 6, height: int = 32, width: int = 48) -> torch.Tensor:
    return torch.from_numpy(smooth_frames(count, height, width))


def sound_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


# --- what is written


@pytest.mark.parametrize("suffix", VIDEOS)
def test_a_real_clip_looks_the_same(tmp_path, clips, suffix):
    frames, info = read_video(clips["park"], max_frames=4)
    write_video(tmp_path / f"out.{suffix}", frames, info.fps)
    video, copied = read_video(tmp_path / f"out.{suffix}")
    assert video.shape == frames.shape
    assert psnr(video.numpy(), frames.numpy()) > (33 if suffix == "gif" else 40)
    assert copied.fps == pytest.approx(info.fps, rel=0.15 if suffix == "gif" else 1e-6)
    assert [path.name for path in tmp_path.iterdir()] == [f"out.{suffix}"]


@pytest.mark.parametrize("suffix", PICTURES)
@pytest.mark.parametrize("size", [(32, 48), (31, 47), (1, 1)])
def test_pictures(tmp_path, suffix, size):
    frame = tensor_clip(1, *size)
    path = tmp_path / f"Out.{suffix.upper()}"
    write_video(path, frame, 25)
    picture, info = read_video(path)
    assert info.is_image and picture.shape == frame.shape
    if suffix.startswith("j"):
        assert psnr(picture.numpy(), frame.numpy()) > 40
    else:
        assert torch.equal(picture, frame)
    with Image.open(path) as image:  # another decoder sees the same
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - picture[0].numpy()).max() <= 3


@pytest.mark.parametrize("suffix", VIDEOS)
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (5, 3), (17, 255), (31, 48), (32, 47)])
def test_no_size_is_changed(tmp_path, suffix, size):
    frames = tensor_clip(3, *size)
    write_video(tmp_path / f"out.{suffix}", frames, 25)
    video, _ = read_video(tmp_path / f"out.{suffix}")
    assert video.shape == frames.shape


@pytest.mark.parametrize("suffix", VIDEOS)
def test_colours_are_right(tmp_path, suffix):
    """Flat colours of two sizes: below and above the one where readers of untagged files change their mind."""
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (90, 140, 200)]
    for height in (32, 640):
        frames = torch.tensor(colours, dtype=torch.uint8)[:, None, None].expand(-1, height, 16, 3)
        write_video(tmp_path / f"out.{suffix}", frames, 25)
        video, _ = read_video(tmp_path / f"out.{suffix}")
        assert (video.int() - frames.int()).abs().max() <= (6 if suffix == "avi" else 3)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
@pytest.mark.parametrize("size", [(32, 48), (31, 47)])
def test_colour_tags(tmp_path, suffix, size):
    write_video(tmp_path / f"out.{suffix}", tensor_clip(2, *size), 25)
    with av.open(str(tmp_path / f"out.{suffix}")) as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range) == (1, 1, 1, 1)
    is_h264_and_odd = suffix != "webm" and size == (31, 47)
    assert frame.format.name == ("yuv444p" if is_h264_and_odd else "yuv420p")


def test_chroma_is_not_shifted(tmp_path):
    """A ramp of blue: chroma written between the pixels and read beside them would shift it by half a pixel."""
    ramp = torch.zeros(2, 32, 64, 3, dtype=torch.uint8)
    ramp[..., 2] = torch.arange(64) * 4
    for suffix in WITH_SOUND:
        write_video(tmp_path / f"out.{suffix}", ramp, 25, **({} if suffix == "avi" else {"crf": 1}))
        blue = read_video(tmp_path / f"out.{suffix}")[0][..., 8:-8, 2].float()
        assert abs((blue - ramp[..., 8:-8, 2]).mean()) < 0.8, suffix


def test_crf_sets_the_quality(tmp_path):
    frames = tensor_clip()
    for suffix in ("mp4", "webm"):
        write_video(tmp_path / f"fine.{suffix}", frames, 25, crf=5)
        write_video(tmp_path / f"coarse.{suffix}", frames, 25, crf=45)
        assert (tmp_path / f"fine.{suffix}").stat().st_size > (tmp_path / f"coarse.{suffix}").stat().st_size


def test_frames_need_not_be_contiguous(tmp_path):
    frames = tensor_clip()
    write_video(tmp_path / "a.mp4", frames, 25)
    write_video(tmp_path / "b.mp4", frames.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1), 25)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


# --- time


@pytest.mark.parametrize("suffix", WITH_SOUND)
@pytest.mark.parametrize("fps", [25, 7.5, 29.97002997, Fraction(24000, 1001), 60])
def test_constant_rates_are_kept(tmp_path, suffix, fps):
    path = tmp_path / f"out.{suffix}"
    write_video(path, tensor_clip(), fps)
    with VideoReader(path) as reader:
        times = [seconds for seconds, _ in reader.timed_frames()]
        assert float(reader.info.fps) == pytest.approx(float(fps), rel=1e-4)
    assert times == pytest.approx([index / float(fps) for index in range(6)], abs=0.0006)


@pytest.mark.parametrize("fps", [25, Fraction(30000, 1001)])
def test_a_gif_keeps_time_to_a_hundredth(tmp_path, fps):
    write_video(tmp_path / "out.gif", tensor_clip(20), fps)
    with VideoReader(tmp_path / "out.gif") as reader:
        times = [seconds for seconds, _ in reader.timed_frames()]
    assert times == pytest.approx([index / float(fps) for index in range(20)], abs=0.0051)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "gif"])
@pytest.mark.parametrize("start", [0.0, 0.3])
def test_given_times_are_kept(tmp_path, suffix, start):
    times = [start + seconds for seconds in TIMES]
    path = tmp_path / f"out.{suffix}"
    write_video(path, tensor_clip(len(times)), 10, times=times)
    with VideoReader(path) as reader:
        read = [seconds for seconds, _ in reader.timed_frames()]
    # Without sound the file starts with its first frame.
    assert np.diff(read) == pytest.approx(np.diff(times), abs=0.011 if suffix == "gif" else 0.0011)


@pytest.mark.parametrize("suffix", VIDEOS)
def test_equal_times_drop_no_frame(tmp_path, suffix):
    write_video(tmp_path / f"out.{suffix}", tensor_clip(5), 25, times=[0, 0.04, 0.04, 0.04, 0.2])
    assert len(read_video(tmp_path / f"out.{suffix}")[0]) == 5


def test_times_are_given_for_all_frames_or_for_none(tmp_path):
    frames = tensor_clip()
    with pytest.raises(ValueError, match="every frame, or for none"), VideoWriter(tmp_path / "out.mp4", 25) as writer:
        writer.write(frames[0], 0.0)
        writer.write(frames[1])
    with pytest.raises(ValueError, match="at least 0"):
        write_video(tmp_path / "out.mp4", frames[:1], 25, times=[-1.0])
    with pytest.raises(ValueError, match="shorter"):
        write_video(tmp_path / "out.mp4", frames, 25, times=[0.0])
    assert not list(tmp_path.iterdir())


# --- sound


def write_flash(path: Path, sound: str, start: float = 0.0, codec: str = "libx264") -> None:
    """A dark clip of variable rate with one white frame, and a tone that begins with it."""
    frames = np.full((len(TIMES), 32, 48, 3), 20, np.uint8)
    frames[5] = 250
    times = [start + seconds for seconds in TIMES]
    write_clip(path, frames, codec=codec, pix_fmt="yuv420p", times=times, sound=sound, beep_at=times[5])


def flash_time(path: Path) -> float:
    with VideoReader(path) as reader:
        return next(seconds for seconds, frame in reader.timed_frames() if frame.float().mean() > 128)


@pytest.mark.parametrize("source", ["aac.mp4", "libopus.mkv", "flac.mkv", "pcm_s16le.mkv", "libmp3lame.mp4", "aac.ts"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
def test_sound_stays_in_step_with_a_variable_rate(tmp_path, source, suffix):
    start = 0.3 if source.startswith("flac") else 0.0
    write_flash(tmp_path / source, source.split(".")[0], start)
    target = tmp_path / f"out.{suffix}"
    with (
        VideoReader(tmp_path / source) as reader,
        VideoWriter(target, reader.info.fps, copy_audio_from=tmp_path / source) as writer,
    ):
        for seconds, frame in reader.timed_frames():
            writer.write(frame, seconds)
    assert flash_time(target) == pytest.approx(flash_time(tmp_path / source), abs=0.002)
    assert beep_time(target) == pytest.approx(beep_time(tmp_path / source), abs=0.002)


def test_sound_in_an_avi(tmp_path):
    frames = np.full((25, 32, 48, 3), 20, np.uint8)
    frames[12] = 250
    write_clip(tmp_path / "in.mkv", frames, sound="aac", beep_at=0.48)
    write_video(tmp_path / "out.avi", torch.from_numpy(frames), 25, copy_audio_from=tmp_path / "in.mkv")
    assert flash_time(tmp_path / "out.avi") == pytest.approx(0.48, abs=0.001)
    assert beep_time(tmp_path / "out.avi") == pytest.approx(0.48, abs=0.01)


@pytest.mark.parametrize(
    ("suffix", "sound", "codec"),
    [("mp4", "copied", "aac"), ("mkv", "copied", "aac"), ("webm", "re-encoded", "opus"), ("avi", "re-encoded", "mp3")],
)
def test_sound_is_copied_where_the_container_takes_it(tmp_path, clips, suffix, sound, codec):
    frames, info = read_video(clips["park"])
    path = tmp_path / f"out.{suffix}"
    with VideoWriter(path, info.fps, copy_audio_from=clips["park"]) as writer:
        for frame in frames:
            writer.write(frame[:64, :64])
    assert writer.sound == sound
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.codec.canonical_name.startswith(codec)
    if sound == "copied":
        assert sound_packets(path) == sound_packets(clips["park"])


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_sound_is_left_out_where_there_is_none(tmp_path, clips, suffix):
    with VideoWriter(tmp_path / f"out.{suffix}", 25, copy_audio_from=clips["park"]) as writer:
        writer.write(tensor_clip()[0])
    assert writer.sound == "left out"


def test_a_source_without_sound(tmp_path, clip):
    with VideoWriter(tmp_path / "out.mp4", 25, copy_audio_from=clip) as writer:
        writer.write(tensor_clip()[0])
    assert writer.sound == "none" and not read_video(tmp_path / "out.mp4")[1].has_audio


@pytest.mark.parametrize("suffix", ["mp4", "webm"])
def test_sound_can_end_with_the_last_frame(tmp_path, clips, suffix):
    lengths = {}
    for is_trimmed in (False, True):
        path = tmp_path / f"out.{suffix}"
        write_video(path, tensor_clip(3), 25, copy_audio_from=clips["park"], trim_audio=is_trimmed)
        with av.open(str(path)) as container:
            lengths[is_trimmed] = container.duration / av.time_base
    assert lengths[False] > 0.5 and lengths[True] == pytest.approx(0.12, abs=0.03)


def test_sound_of_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(VideoReadError, match="does not exist"):
        write_video(tmp_path / "out.mp4", tensor_clip(), 25, copy_audio_from=tmp_path / "no.mp4")
    assert not list(tmp_path.iterdir())


# --- what cannot be written


def error_of(path, frames: torch.Tensor | None = None, **options) -> str:
    """The message of the VideoWriteError that writing raises: one short line."""
    with pytest.raises(VideoWriteError) as caught:
        write_video(path, tensor_clip() if frames is None else frames, 25, **options)
    message = str(caught.value)
    assert message.startswith("cannot write") and "\n" not in message and len(message) < 300 and "Errno" not in message
    return message


def test_unknown_extensions(tmp_path):
    assert "'.xyz' is not one of .mp4, .mkv" in error_of(tmp_path / "out.xyz")
    assert "without an extension" in error_of(tmp_path / "out")


def test_missing_folder(tmp_path):
    assert "does not exist" in error_of(tmp_path / "no" / "out.mp4")


def test_targets_that_are_no_regular_files(tmp_path):
    (tmp_path / "folder.mp4").mkdir()
    assert "folder" in error_of(tmp_path / "folder.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "not a regular file" in error_of(tmp_path / "pipe.mp4")
    (tmp_path / "null.mp4").symlink_to("/dev/null")
    assert "not a regular file" in error_of(tmp_path / "null.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.mp4", "null.mp4", "pipe.mp4"]


@pytest.mark.parametrize("suffix", ["mp4", "png"])
def test_no_frame(tmp_path, suffix):
    assert "no frame" in error_of(tmp_path / f"out.{suffix}", torch.empty(0, 8, 8, 3, dtype=torch.uint8))
    assert not list(tmp_path.iterdir())


def test_frames_of_two_sizes(tmp_path):
    with pytest.raises(VideoWriteError, match="frame 1 is 16x16 and the first is 48x32"):
        write_video(tmp_path / "out.mp4", [tensor_clip()[0], torch.zeros(16, 16, 3, dtype=torch.uint8)], 25)
    assert not list(tmp_path.iterdir())


def test_two_frames_in_a_picture(tmp_path):
    assert "a picture holds one frame" in error_of(tmp_path / "out.png")
    assert not list(tmp_path.iterdir())


def test_sizes_beyond_the_codec(tmp_path):
    message = error_of(tmp_path / "out.webm", torch.zeros(1, 1, 70000, 3, dtype=torch.uint8))
    assert "libvpx-vp9 fails on 70000x1 frames" in message


@pytest.mark.parametrize(
    "frame", [torch.zeros(8, 8, 3), torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(0, 8, 3)]
)
def test_what_is_no_frame(tmp_path, frame):
    with pytest.raises(ValueError, match="uint8 tensor"):
        write_video(tmp_path / "out.mp4", [frame], 25)
    assert not list(tmp_path.iterdir())


def test_wrong_arguments(tmp_path):
    for fps in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="above 0"):
            VideoWriter(tmp_path / "out.mp4", fps)
    with pytest.raises(ValueError, match="crf applies"):
        VideoWriter(tmp_path / "out.gif", 25, crf=5)
    with pytest.raises(ValueError, match="inside its `with` block"):
        VideoWriter(tmp_path / "out.mp4", 25).write(tensor_clip()[0])


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("suffix", ["mp4", "webm", "gif", "png"])
def test_a_failure_leaves_what_was_there(tmp_path, clips, failure, suffix):
    path = tmp_path / f"out.{suffix}"
    path.write_bytes(b"older")
    with pytest.raises(failure), VideoWriter(path, 25, copy_audio_from=clips["park"]) as writer:
        writer.write(tensor_clip()[0])
        raise failure
    assert path.read_bytes() == b"older" and list(tmp_path.iterdir()) == [path]


def test_an_existing_file_is_replaced_when_the_new_one_is_whole(tmp_path):
    path = tmp_path / "out.mp4"
    path.write_bytes(b"older")
    with VideoWriter(path, 25) as writer:
        writer.write(tensor_clip()[0])
        assert path.read_bytes() == b"older"
    assert len(read_video(path)[0]) == 1


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import torch
from pyratok.modeling_pyratok.errors import VideoWriteError
from pyratok.modeling_pyratok.video_reading import read_video
from pyratok.modeling_pyratok.video_writing import write_video

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder, sound = Path(sys.argv[1]), sys.argv[2]
noise = torch.randint(0, 256, (5, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
for suffix in ("mp4", "mkv", "webm", "avi", "gif", "png", "jpg", "webp"):
    path = folder / f"out.{suffix}"
    frames = noise if suffix in ("mp4", "mkv", "webm", "avi", "gif") else noise[:1]
    write_video(path, frames, 25, copy_audio_from=sound)
    size = path.stat().st_size
    path.unlink()
    for limit in (0, 100, size // 2, size - 700, size - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            write_video(path, frames, 25, copy_audio_from=sound)
        except VideoWriteError as error:
            assert "file too large" in str(error), error
        else:
            # H.264 of the same noise varies by some bytes from run to run: near its size a file may fit, but then it is whole.
            assert limit >= size - 700, f"{suffix} of {size} bytes was written under a limit of {limit}"
            assert len(read_video(path)[0]) == len(frames), f"{suffix} is not whole under a limit of {limit}"
            path.unlink()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert not list(folder.iterdir()), (suffix, limit, list(folder.iterdir()))
"""


def test_a_full_disk_leaves_nothing(tmp_path, clips):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path), str(clips["park"])],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
