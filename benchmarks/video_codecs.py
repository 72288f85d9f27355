"""What everyday codecs make of a clip: H.264 and H.265 (x264 and x265 in PyAV), and JPEG frame by frame (Pillow).

A codec is a function from a clip and a quality to the bytes it takes and the frames that come back; both as RGB, so that
all are measured alike. No container counts, and none of the encoders' notes about themselves.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import torch
from av.bitstream import BitStreamFilterContext
from av.video.reformatter import ColorRange, VideoReformatter
from PIL import Image

from pyratok.modeling_pyratok.video_formats import BT709, CHROMA_SITE, VIDEO_FORMATS, conversion_graph, pixel_format
from pyratok.modeling_pyratok.video_frames import frame_to_rgb

RATE = Fraction(25)
"""Frames per second; at a constant quality the encoders make little of it."""

NARROW = 64
"""x265 4.2 with its cutree on writes beyond its memory for frames of 50 pixels in width and fewer, and the process
dies; found by trying, and kept well away from."""

PIXELS = VIDEO_FORMATS[".mp4"]
"""How RGB becomes what the encoders take: BT.709, limited range, 4:2:0 (4:4:4 for an odd side), as VideoWriter does."""

Codec = Callable[[Sequence[torch.Tensor], int], tuple[int, list[torch.Tensor]]]
"""(frames, quality) to (bytes, frames); frames are uint8 RGB (H, W, 3)."""


@dataclass(frozen=True)
class _VideoCodec:
    """One of FFmpeg's video encoders at a constant quality."""

    encoder: str
    raw_format: str
    """FFmpeg's name of the bare stream."""
    notes: str
    """Kinds of unit (NAL) in which the encoder writes its name and settings, 500 bytes and more: SEI."""
    options: dict[str, str]
    narrow_options: dict[str, str]
    """In their place for frames of less than `NARROW` pixels in width."""

    def __call__(self, frames: Sequence[torch.Tensor], crf: int) -> tuple[int, list[torch.Tensor]]:
        """Encode and decode all frames with this constant rate factor (0 best, 51 worst)."""
        packets = self._packets(frames, crf)
        decoder = av.CodecContext.create(self.raw_format, "r")
        reformatter = VideoReformatter()
        decoded = [frame_to_rgb(frame, reformatter) for packet in [*packets, None] for frame in decoder.decode(packet)]
        if len(decoded) != len(frames):
            raise RuntimeError(f"{self.encoder} was given {len(frames)} frames, {len(decoded)} came back")
        return sum(packet.size for packet in packets), decoded

    def _packets(self, frames: Sequence[torch.Tensor], crf: int) -> list[av.Packet]:
        height, width, _ = frames[0].shape
        with av.open(io.BytesIO(), "w", format=self.raw_format) as container:
            options = {"preset": "medium", "crf": str(crf), "chroma_sample_location": CHROMA_SITE}
            options |= self.narrow_options if width < NARROW else self.options
            stream = container.add_stream(self.encoder, rate=RATE, options=options)
            context = stream.codec_context
            context.width, context.height, context.pix_fmt = width, height, pixel_format(PIXELS, height, width)
            context.colorspace = context.color_primaries = context.color_trc = BT709
            context.color_range = ColorRange.MPEG
            graph = conversion_graph(PIXELS, height, width, 1 / RATE)
            packets = []
            for number, frame in enumerate(frames):
                pixels = av.VideoFrame.from_ndarray(frame.numpy(), format="rgb24")
                pixels.pts, pixels.time_base = number, 1 / RATE
                graph.push(pixels)
                packets += stream.encode(graph.vpull())
            packets += stream.encode(None)
            notes = BitStreamFilterContext(f"filter_units=remove_types={self.notes}", stream)
            return [kept for packet in packets for kept in notes.filter(packet)]


def jpeg(frames: Sequence[torch.Tensor], quality: int) -> tuple[int, list[torch.Tensor]]:
    """Every frame as a JPEG file of its own, 4:2:0, with Huffman tables of its own; quality 1 worst to 95 best."""
    size, decoded = 0, []
    for frame in frames:
        file = io.BytesIO()
        Image.fromarray(frame.numpy()).save(file, "jpeg", quality=quality, subsampling="4:2:0", optimize=True)
        size += file.tell()
        decoded.append(torch.from_numpy(np.array(Image.open(file))))
    return size, decoded


def video_codecs() -> dict[str, Codec]:
    """The video codecs that this build of PyAV can encode with, by their name."""
    quiet = "log-level=error"
    codecs = {
        "H.264": _VideoCodec("libx264", "h264", "6", {}, {}),
        "H.265": _VideoCodec("libx265", "hevc", "39-40", {"x265-params": quiet}, {"x265-params": f"{quiet}:cutree=0"}),
    }
    return {name: codec for name, codec in codecs.items() if codec.encoder in av.codecs_available}
