"""What is written for each file name extension: container, codec, quality, pixel format, and the sound with it."""

from dataclasses import dataclass, field
from fractions import Fraction

import av

from .video_frames import assumed_colorspace

BT709, BT601 = 1, 6
"""Colour matrices by FFmpeg's numbers (AVCOL_SPC_BT709, AVCOL_SPC_SMPTE170M)."""

CHROMA_SITE = "left"
"""Where 4:2:0 chroma samples lie, as players assume. (A plain conversion in PyAV centres them: half a pixel off.)"""


@dataclass(frozen=True)
class VideoFormat:
    """How videos of one extension are written."""

    muxer: str
    codec: str
    options: dict[str, str] = field(default_factory=dict)
    """Of the encoder. The default quality is visually lossless: H.264 crf 15, VP9 crf 15, MPEG-4 quantizer 2."""
    muxer_options: dict[str, str] = field(default_factory=dict)
    has_crf: bool = False
    needs_even_size: bool = False
    """4:2:0 chroma exists only for even sizes; an odd size is then written as 4:4:4, never scaled or cut."""
    has_colour_tags: bool = True
    """Without tags the matrix is the one that readers assume for the size."""
    copied_sound: frozenset[str] | None = frozenset()
    """Sound codecs that are copied as they are; None for any."""
    sound_encoder: str | None = None
    """What other sound is encoded with; None: the format holds no sound."""
    keeps_priming: bool = False
    """Sound may start before time 0 (the run-up of its codec) without moving the pictures: mp4's edit lists."""


@dataclass(frozen=True)
class PictureFormat:
    """How single pictures of one extension are written."""

    codec: str
    pix_fmt: str
    options: dict[str, str] = field(default_factory=dict)


_H264 = {"crf": "15", "preset": "medium"}

VIDEO_FORMATS = {
    ".mp4": VideoFormat(
        "mp4",
        "libx264",
        _H264,
        {"movflags": "+faststart"},
        has_crf=True,
        needs_even_size=True,
        copied_sound=frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"}),
        sound_encoder="aac",
        keeps_priming=True,
    ),
    ".mkv": VideoFormat(
        "matroska", "libx264", _H264, has_crf=True, needs_even_size=True, copied_sound=None, sound_encoder="aac"
    ),
    ".webm": VideoFormat(
        "webm",
        "libvpx-vp9",
        {"crf": "15", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
        has_crf=True,
        copied_sound=frozenset({"opus", "vorbis"}),
        sound_encoder="libopus",
    ),
    ".avi": VideoFormat(
        "avi",
        "mpeg4",
        {"qmin": "2", "qmax": "2"},
        has_colour_tags=False,
        copied_sound=frozenset({"mp3", "ac3", "pcm_s16le", "pcm_u8"}),
        sound_encoder="libmp3lame",
    ),
    ".gif": VideoFormat("gif", "gif"),
}

PICTURE_FORMATS = {
    ".png": PictureFormat("png", "rgb24"),
    ".jpg": PictureFormat("mjpeg", "yuvj444p", {"qmin": "2", "qmax": "2"}),
    ".jpeg": PictureFormat("mjpeg", "yuvj444p", {"qmin": "2", "qmax": "2"}),
    ".webp": PictureFormat("libwebp", "bgra", {"lossless": "1"}),
}


def pixel_format(video_format: VideoFormat, height: int, width: int) -> str:
    """The stored pixel format of a (height, width) video."""
    if video_format.codec == "gif":
        return "pal8"
    is_odd = height % 2 or width % 2
    return "yuv444p" if video_format.needs_even_size and is_odd else "yuv420p"


def colour_matrix(video_format: VideoFormat, height: int, width: int) -> int:
    """The colour matrix (FFmpeg's number) of a (height, width) video: BT.709; without tags, what readers assume."""
    if video_format.has_colour_tags or assumed_colorspace(height, width) == BT709:
        return BT709
    return BT601


def conversion_graph(video_format: VideoFormat, height: int, width: int, time_base: Fraction) -> av.filter.Graph:
    """The filters that turn pushed rgb24 frames (height, width) into the stored pixels; times pass through unchanged.

    For gif: a palette of its own for every frame, so that nothing of the film has to be held back.
    """
    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format="rgb24", time_base=time_base)
    sink = graph.add("buffersink")
    if video_format.codec == "gif":
        split = graph.add("split")
        palette = graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
        mapped = graph.add("paletteuse", "new=1:dither=sierra2_4a")
        source.link_to(split)
        split.link_to(palette, 0, 0)
        split.link_to(mapped, 1, 0)
        palette.link_to(mapped, 0, 1)
        mapped.link_to(sink)
    else:
        matrix = "bt709" if colour_matrix(video_format, height, width) == BT709 else "smpte170m"
        scale = graph.add(
            "scale",
            f"out_color_matrix={matrix}:out_range=tv:out_chroma_loc={CHROMA_SITE}:"
            "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp",
        )
        stored = graph.add("format", pixel_format(video_format, height, width))
        source.link_to(scale)
        scale.link_to(stored)
        stored.link_to(sink)
    graph.configure()
    return graph
