"""Files that cannot be read, or not to their end: each a VideoReadError with one sentence, none a shorter video."""

import io
import os

import av
import numpy as np
import pytest
import torch
from clip_examples import CONTAINERS, clip_bytes, quadrants, smooth_frames, write_clip
from PIL import Image

from pyratok.modeling_pyratok.errors import VideoReadError
from pyratok.modeling_pyratok.video_completeness import is_cut_short
from pyratok.modeling_pyratok.video_reading import VideoReader, read_video


def error_of(source) -> str:
    """The message of the VideoReadError that reading `source` raises: one short sentence."""
    with pytest.raises(VideoReadError) as caught:
        read_video(source)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message and len(message) < 300 and "Errno" not in message
    return message


def test_missing_file(tmp_path):
    assert error_of(tmp_path / "no.mp4") == f"'{tmp_path / 'no.mp4'}' does not exist."


def test_folder(tmp_path):
    assert "is a folder" in error_of(tmp_path)


def test_pipes_and_devices(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in error_of(tmp_path / "pipe")
    assert "not a regular file" in error_of("/dev/null")


def test_impossible_name():
    assert "cannot be opened" in error_of("a\0b.mp4")


def test_no_permission(tmp_path, clip):
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip.read_bytes())
    path.chmod(0)
    user = os.geteuid()
    if user == 0:  # nothing is forbidden to the superuser
        os.seteuid(65534)
    try:
        assert "no permission" in error_of(path)
    finally:
        os.seteuid(user)


def test_empty_file(tmp_path):
    (tmp_path / "empty.mp4").touch()
    assert "is empty" in error_of(tmp_path / "empty.mp4")


@pytest.mark.parametrize(
    "text", ["just a text\n" * 50, "#EXTM3U\nfile:///etc/passwd\n", "ffconcat version 1.0\nfile a.mp4\n"]
)
def test_text_named_mp4(tmp_path, text):
    (tmp_path / "text.mp4").write_text(text)
    assert "is not a video or picture" in error_of(tmp_path / "text.mp4")


def test_random_bytes():
    for seed in range(20):
        error_of(np.random.default_rng(seed).bytes(3000))


def test_sound_only(tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as output:
        track = output.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        output.mux(track.encode(frame))
        output.mux(track.encode(None))
    assert "holds sound but no video" in error_of(tmp_path / "sound.mp4")


def test_animated_webp():
    images = [Image.fromarray(frame) for frame in smooth_frames(3, 16, 16)]
    target = io.BytesIO()
    images[0].save(target, "webp", save_all=True, append_images=images[1:])
    assert "animated WebP" in error_of(target.getvalue())


def test_a_name_with_a_number_pattern_is_one_file(tmp_path):
    """FFmpeg would read frame1.png, frame2.png, ... by this name."""
    for name in ("frame%d.png", "frame1.png", "frame2.png"):
        Image.fromarray(quadrants()).save(tmp_path / name, "png")
    assert len(read_video(tmp_path / "frame%d.png")[0]) == 1


def test_other_types():
    with pytest.raises(TypeError, match="path, bytes or a binary file object"):
        read_video(3)


@pytest.mark.parametrize(
    "suffix", ["mp4", "fast.mp4", "fragmented.mp4", "mkv", "webm", "avi", "gif", "png", "jpeg", "webp"]
)
def test_a_file_that_was_cut_short_raises(tmp_path, suffix):
    """Every cut but one that leaves all frames there: of the padding after them, or of an end mark."""
    frames = smooth_frames(10, 32, 48)
    kind = suffix.split(".")[-1]
    if kind in CONTAINERS:
        codec, pix_fmt = CONTAINERS[kind]
        movflags = {"fast.mp4": "faststart", "fragmented.mp4": "frag_keyframe+empty_moov"}.get(suffix)
        options = {"movflags": movflags} if movflags else {}
        path = tmp_path / f"clip.{suffix}"
        write_clip(path, frames, codec=codec, pix_fmt=pix_fmt, muxer_options=options)
        data = path.read_bytes()
    else:
        target = io.BytesIO()
        Image.fromarray(frames[0]).save(target, kind)
        data = target.getvalue()
    complete = read_video(data)[0]
    assert not is_cut_short(io.BytesIO(data))
    generator = np.random.default_rng(0)
    for length in [len(data) - 1, len(data) - 20, *generator.integers(1, len(data), 12).tolist()]:
        if len(data) - length <= 8 and suffix in ("gif", "avi"):
            assert len(read_video(data[:length])[0]) == len(complete)
        else:
            error_of(data[:length])


PROGRESSIVE = {"progressive": True, "quality": 95}


@pytest.mark.parametrize(
    "options", [{}, PROGRESSIVE, {"comment": b"\xff\xd9 \xff\xda"}], ids=["plain", "scans", "comment"]
)
@pytest.mark.parametrize("junk", [b"", b"\0", b"MotionPhoto\xff\xda\xff\xd8", b"\xff\xd8\xff"[:2]])
def test_a_jpeg_ends_with_its_last_scan(options, junk):
    """What follows, the film of a motion photo for one, is none of its business; a cut picture is cut in any case."""
    target = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)  # FFmpeg looks into the first 2 KB alone
    Image.fromarray(noise).save(target, "jpeg", **options)
    data = target.getvalue()
    assert torch.equal(read_video(data + junk)[0], read_video(data)[0])
    for length in (len(data) - 1, len(data) // 2, len(data) // 4):
        assert "cut short" in error_of(data[:length])
    assert "cut short" in error_of(data + data[:-100])  # as motion JPEG, whose last picture lacks its end


@pytest.mark.parametrize("movflags", ["disable_chpl", "faststart", "frag_keyframe+empty_moov"])
@pytest.mark.parametrize("junk", [b"\0", b"\r\n", b"1234567", b"some text that is no box", b"\x00\x01\x00\x00junk"])
def test_stray_bytes_after_an_mp4_are_ignored(tmp_path, junk, movflags):
    write_clip(tmp_path / "clip.mp4", smooth_frames(10, 32, 48), muxer_options={"movflags": movflags})
    data = (tmp_path / "clip.mp4").read_bytes()
    assert torch.equal(read_video(data + junk)[0], read_video(data)[0])


def test_a_film_in_fragments_that_ends_where_one_begins_is_cut_short():
    data = clip_bytes("mp4", smooth_frames(30, 32, 48), muxer_options={"movflags": "frag_every_frame+empty_moov"})
    last = data.rfind(b"moof") - 4
    assert all("cut short" in error_of(data[: last + extra]) for extra in (1, 4, 7, 8, 20))


def test_the_fixtures_cut_short_raise(clips):
    for path in clips.values():
        data = path.read_bytes()
        for share in (0.999, 0.9, 0.5, 0.1):
            assert "cut short" in error_of(data[: int(len(data) * share)])


def test_damage_in_the_middle_raises(clip):
    data = bytearray(clip.read_bytes())
    start = len(data) // 3
    data[start : start + 4000] = np.random.default_rng(0).bytes(4000)
    assert "is damaged after frame" in error_of(bytes(data))


def test_a_size_that_changes_on_the_way_raises():
    first, second = smooth_frames(5, 32, 48), smooth_frames(5, 48, 64)
    joined = clip_bytes("h264", first) + clip_bytes("h264", second)
    assert "changes its size on the way: frame 5 is 64x48" in error_of(joined)


def test_a_broadcast_may_be_joined_midway():
    options = {"pix_fmt": "yuv420p", "codec": "libx264", "gop_size": 10}
    data = clip_bytes("mpegts", smooth_frames(40, 32, 48), **options)
    video, _ = read_video(data[len(data) * 2 // 5 // 188 * 188 :])
    assert 10 <= len(video) < 40


def test_a_closed_reader_raises(clip):
    reader = VideoReader(clip)
    started = iter(reader)
    next(started)
    reader.close()
    with pytest.raises(VideoReadError, match="was closed"):
        next(started)
    with pytest.raises(VideoReadError, match="was closed"):
        next(iter(reader))


def test_the_terminal_stays_clean(capfd, clip):
    data = bytearray(clip.read_bytes())
    data[5000:9000] = bytes(4000)
    error_of(bytes(data))
    error_of(b"\0" * 5000)
    assert capfd.readouterr() == ("", "")
