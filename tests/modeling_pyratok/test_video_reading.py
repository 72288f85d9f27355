"""Reading: every container, the look of the pixels, and the times of the frames."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from attack_files import huge_picture
from clip_examples import CONTAINERS, clip_bytes, psnr, quadrants, smooth_frames, write_clip
from PIL import Image, ImageOps

from pyratok.modeling_pyratok.errors import VideoReadError
from pyratok.modeling_pyratok.video_frames import upright
from pyratok.modeling_pyratok.video_reading import VideoReader, read_video

# --- what comes out


@pytest.mark.parametrize(
    ("name", "frames", "size", "fps"),
    [
        ("bunny", 49, (144, 256), 25),
        ("city", 33, (144, 256), 25),
        ("dog", 41, (144, 256), 25),
        ("earth", 33, (144, 256), 25),
        ("park", 17, (480, 640), Fraction(30000, 1001)),
    ],
)
def test_fixtures(clips, name, frames, size, fps):
    video, info = read_video(clips[name])
    assert video.dtype == torch.uint8 and video.shape == (frames, *size, 3) and video.is_contiguous()
    assert (info.height, info.width) == size and info.fps == fps
    assert not info.is_image and info.has_audio == (name == "park")
    assert info.duration == pytest.approx(frames / fps, abs=0.02)


def test_a_header_that_announces_more_frames_than_are_shown_is_normal(clips):
    video, info = read_video(clips["park"])
    assert info.num_frames == 18 and len(video) == 17


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_containers(tmp_path, suffix):
    codec, pix_fmt = CONTAINERS[suffix]
    frames = smooth_frames(6, 32, 48)
    write_clip(tmp_path / f"clip.{suffix}", frames, codec=codec, pix_fmt=pix_fmt)
    video, info = read_video(tmp_path / f"clip.{suffix}")
    assert video.shape == frames.shape and info.fps == 25
    assert psnr(video.numpy(), frames) > (20 if suffix == "gif" else 40)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "bmp", "tiff"])
def test_pictures(tmp_path, kind):
    picture = smooth_frames(1, 31, 47)[0]
    Image.fromarray(picture).save(tmp_path / "picture.bin", kind, **({"quality": 95} if kind == "jpeg" else {}))
    video, info = read_video(tmp_path / "picture.bin")
    assert info.is_image and info.fps == 1 and info.num_frames == 1 and info.duration is None
    assert video.shape == (1, 31, 47, 3)
    assert psnr(video[0].numpy(), picture) > (30 if kind in ("jpeg", "webp") else 99)


def test_bytes_and_file_objects_give_the_same_frames(clip):
    expected, info = read_video(clip)
    data = clip.read_bytes()
    assert torch.equal(read_video(data)[0], expected)
    file = io.BytesIO(data)
    file.seek(1000)
    video, info_of_file = read_video(file)
    assert torch.equal(video, expected) and info_of_file == info
    assert not file.closed


def test_frames_are_streamed_and_can_be_read_again(clip):
    with VideoReader(clip) as reader:
        first = [frame for _, frame in zip(range(3), reader, strict=False)]
        again = list(reader)
        assert torch.equal(torch.stack(first), torch.stack(again[:3])) and len(again) == 33
        again[0].zero_()  # a frame owns its memory
        assert torch.equal(next(iter(reader)), first[0])


def test_max_frames(clip):
    assert torch.equal(read_video(clip, max_frames=5)[0], read_video(clip)[0][:5])
    assert len(read_video(clip, max_frames=1000)[0]) == 33
    with pytest.raises(ValueError, match="at least 1"):
        read_video(clip, max_frames=0)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (17, 33), (31, 48), (30, 47)])
@pytest.mark.parametrize(("container", "codec"), [("mp4", "libx264"), ("webm", "libvpx-vp9"), ("avi", "ffv1")])
def test_odd_sizes(size, container, codec):
    frames = smooth_frames(3, *size)
    video, _ = read_video(clip_bytes(container, frames, codec=codec))
    assert video.shape == frames.shape and psnr(video.numpy(), frames) > 38


def test_4_2_0_chroma_of_odd_sizes():
    frames = smooth_frames(3, 31, 47)
    video, _ = read_video(clip_bytes("webm", frames, codec="libvpx-vp9", pix_fmt="yuv420p"))
    assert video.shape == frames.shape and psnr(video.numpy(), frames) > 35


# --- orientation


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_rotation_metadata(turns, is_mirrored):
    """`set_display_rotation` turns counterclockwise, then mirrors left and right; np.rot90 turns counterclockwise."""
    stored = quadrants()
    video, info = read_video(clip_bytes("mp4", [stored] * 2, rotation=(90 * turns, is_mirrored)))
    expected = np.rot90(stored, turns)
    expected = expected[:, ::-1] if is_mirrored else expected
    assert video[0].shape == expected.shape and (info.height, info.width) == expected.shape[:2]
    assert np.abs(video[0].numpy().astype(int) - expected).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation):
    image = Image.fromarray(quadrants())
    exif = Image.Exif()
    exif[0x0112] = orientation
    target = io.BytesIO()
    image.save(target, "jpeg", quality=95, subsampling=0, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(target.getvalue()))))
    video, _ = read_video(target.getvalue())
    assert video[0].shape == expected.shape
    assert np.abs(video[0].numpy().astype(int) - expected).max() <= 4


def test_a_rotation_that_is_no_quarter_turn_is_left_alone():
    video, _ = read_video(clip_bytes("mp4", [quadrants()] * 2, rotation=(30,)))
    assert video.shape == (2, 32, 48, 3)
    assert (upright(quadrants(), (1, 0, 0, 1)) == quadrants()).all()


# --- colour

MATRICES = {709: (0.2126, 0.0722), 601: (0.299, 0.114)}  # Kr, Kb
TAGS = {709: 1, 601: 6}
PATCHES = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [90, 140, 200]], np.uint8)


def yuv_planes(picture: np.ndarray, matrix: int, is_full_range: bool) -> np.ndarray:
    """RGB (H, W, 3) -> YUV planes (3, H, W) by the definition of the matrix, not by the library under test."""
    kr, kb = MATRICES[matrix]
    red, green, blue = (picture[..., channel] / 255 for channel in range(3))
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = np.stack([(blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))])
    if is_full_range:
        planes = np.concatenate([luma[None] * 255, chroma * 255 + 128])
    else:
        planes = np.concatenate([luma[None] * 219 + 16, chroma * 224 + 128])
    return planes.round().clip(0, 255).astype(np.uint8)


def colour_clip(matrix: int, is_full_range: bool, tag: int | None, height: int = 16, width: int = 96) -> bytes:
    picture = np.repeat(PATCHES, width // len(PATCHES), axis=0)[None].repeat(height, 0)
    target = io.BytesIO()
    with av.open(target, "w", format="matroska") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = height, picture.shape[1], "yuv444p"
        if tag is not None:
            stream.codec_context.colorspace = tag
            stream.codec_context.color_range = 2 if is_full_range else 1
        planes = yuv_planes(picture, matrix, is_full_range)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv444p")
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return target.getvalue()


def patches_of(video: torch.Tensor) -> np.ndarray:
    step = video.shape[2] // len(PATCHES)
    return video[0, 4, step // 2 :: step].numpy().astype(int)


@pytest.mark.parametrize("matrix", [601, 709])
@pytest.mark.parametrize("is_full_range", [False, True])
def test_tagged_matrix_and_range_are_honoured(matrix, is_full_range):
    video, _ = read_video(colour_clip(matrix, is_full_range, TAGS[matrix]))
    assert np.abs(patches_of(video) - PATCHES).max() <= 2


@pytest.mark.parametrize(("size", "matrix"), [((16, 96), 601), ((576, 96), 601), ((16, 1284), 709), ((578, 96), 709)])
def test_untagged_video_is_bt709_in_high_definition_and_bt601_below(size, matrix):
    video, _ = read_video(colour_clip(matrix, False, None, *size))
    assert np.abs(patches_of(video) - PATCHES).max() <= 2


@pytest.mark.parametrize(("codec", "pix_fmt"), [("ffv1", "yuv444p10le"), ("libx265", "yuv420p10le")])
def test_ten_bits(codec, pix_fmt):
    frames = smooth_frames(3, 64, 64)
    video, _ = read_video(clip_bytes("matroska", frames, codec=codec, pix_fmt=pix_fmt))
    assert video.dtype == torch.uint8 and psnr(video.numpy(), frames) > (45 if codec == "ffv1" else 30)


@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le"])
def test_grey_video(pix_fmt):
    grey = smooth_frames(3, 16, 32)[..., :1].repeat(3, axis=-1)
    video, _ = read_video(clip_bytes("matroska", grey, codec="ffv1", pix_fmt=pix_fmt))
    assert np.abs(video.numpy().astype(int) - grey).max() <= 2


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "RGBA", "I;16"])
def test_kinds_of_png(mode):
    colours = smooth_frames(1, 16, 24)[0]
    if mode == "I;16":
        image = Image.fromarray(colours[..., 0].astype(np.uint16) * 257)
        expected = colours[..., :1].repeat(3, axis=-1)
    else:
        image = Image.fromarray(colours).convert(mode)
        expected = np.asarray(image.convert("RGB"))
    target = io.BytesIO()
    image.save(target, "png")
    video, _ = read_video(target.getvalue())
    assert np.abs(video[0].numpy().astype(int) - expected).max() <= 1


def test_alpha_is_laid_over_black():
    pixels = np.full((16, 16, 4), 200, np.uint8)
    pixels[..., 3] = np.linspace(0, 255, 16).astype(np.uint8)
    expected = (pixels[..., :3] * (pixels[..., 3:] / 255)).round()
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "png")
    assert np.abs(read_video(target.getvalue())[0][0].numpy() - expected).max() <= 1
    video, _ = read_video(clip_bytes("matroska", [pixels] * 2, codec="ffv1", pix_fmt="yuva444p"))
    assert np.abs(video[0].numpy() - expected).max() <= 3


def test_transparent_gif_is_laid_over_black():
    image = Image.fromarray(np.array([[1, 2], [2, 1]], np.uint8).repeat(8, 0).repeat(8, 1), "P")
    image.putpalette([9, 9, 9, 250, 0, 0, 0, 0, 250])
    target = io.BytesIO()
    image.save(target, "gif", transparency=2)
    frame = read_video(target.getvalue())[0][0]
    assert frame[0, 0].tolist() == [250, 0, 0] and frame[0, 15].tolist() == [0, 0, 0]


# --- time

TIMES = [0.0, 0.04, 0.1, 0.13, 0.25, 0.5, 0.52, 0.8]


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_times_of_a_variable_frame_rate(container):
    with VideoReader(clip_bytes(container, smooth_frames(8, 16, 16), times=TIMES)) as reader:
        times = [seconds for seconds, _ in reader.timed_frames()]
    assert times == pytest.approx(TIMES, abs=0.001)


def test_time_0_is_the_start_of_the_file_not_of_the_pictures():
    later = [seconds + 0.5 for seconds in TIMES]
    data = clip_bytes("matroska", smooth_frames(8, 16, 16), times=later, sound="flac")
    with VideoReader(data) as reader:
        assert [seconds for seconds, _ in reader.timed_frames()] == pytest.approx(later, abs=0.001)
        assert reader.info.has_audio


UNEVEN = (0, 0.04, 0.4, 0.44, 1, 1.04)


@pytest.mark.parametrize("container", ["matroska", "webm", "mp4"])
def test_the_rate_of_uneven_frames_is_their_average(container):
    codec = "libvpx-vp9" if container == "webm" else "libx264"
    data = clip_bytes(container, smooth_frames(6, 16, 16), codec=codec, times=UNEVEN)
    assert read_video(data)[1].fps == Fraction(5) / Fraction("1.04")
    with VideoReader(data) as reader:
        frames = reader.timed_frames()
        assert [next(frames)[0] for _ in range(2)] == pytest.approx([0, 0.04], abs=0.001)
        if container != "mp4":  # whose header has the average
            assert reader.frame_rate.is_kept and reader.frame_rate.average == reader.info.fps == 25
        list(frames)
        assert not reader.frame_rate.is_kept and reader.frame_rate.average == Fraction(125, 26)
        list(reader.timed_frames(0.39))
        assert reader.frame_rate.average == Fraction(3) / Fraction("0.64")


@pytest.mark.parametrize("container", ["matroska", "mp4", "avi"])
def test_the_rate_of_even_frames_is_exactly_the_headers(container):
    rate = Fraction(30000, 1001)
    frames = torch.from_numpy(smooth_frames(40, 16, 16))
    target = io.BytesIO()
    with av.open(target, "w", format=container) as output:
        stream = output.add_stream("mpeg4", rate=rate, width=16, height=16)
        for pixels in frames.numpy():
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode(None))
    with VideoReader(target) as reader:
        list(reader)
        assert reader.frame_rate.is_kept and reader.frame_rate.average == reader.info.fps == rate


def test_frames_without_times_follow_each_other():
    with VideoReader(clip_bytes("h264", smooth_frames(4, 16, 16))) as reader:
        times = [seconds for seconds, _ in reader.timed_frames()]
    assert np.diff(times) == pytest.approx([1 / float(reader.info.fps)] * 3)


def test_delays_of_a_gif():
    images = [Image.fromarray(frame) for frame in smooth_frames(4, 16, 16)]
    target = io.BytesIO()
    images[0].save(target, "gif", save_all=True, append_images=images[1:], duration=[100, 300, 50, 150])
    with VideoReader(target.getvalue()) as reader:
        assert [seconds for seconds, _ in reader.timed_frames()] == pytest.approx([0, 0.1, 0.4, 0.45])
        assert reader.info.fps == pytest.approx(4 / 0.6) and reader.info.num_frames == 4


def test_path_like_and_str(clip):
    assert torch.equal(read_video(str(clip), 1)[0], read_video(Path(clip), 1)[0])


def test_frames_above_the_limit_are_refused(clips):
    with pytest.raises(
        VideoReadError, match=r"has frames of 640x480, more than the 100,000 pixels that are taken here"
    ):
        VideoReader(clips["park"], max_pixels=100_000)
    with VideoReader(clips["park"], max_pixels=640 * 480) as reader:
        assert sum(1 for _ in reader) == sum(1 for _ in reader) == 17  # read again, it is bounded and opened again


def test_a_picture_whose_size_is_above_the_limit_is_not_even_looked_at(tmp_path):
    bomb = huge_picture(tmp_path / "bomb.png", side=3000)
    with pytest.raises(VideoReadError, match="damaged, or its frames have more than the 100,000 pixels"):
        VideoReader(bomb, max_pixels=100_000)
    with pytest.raises(VideoReadError, match="has frames of 3000x3000, more than the 8,999,999 pixels"):
        VideoReader(bomb, max_pixels=3000 * 3000 - 1)
    with VideoReader(bomb, max_pixels=3000 * 3000) as reader:
        assert next(iter(reader)).shape == (3000, 3000, 3)
