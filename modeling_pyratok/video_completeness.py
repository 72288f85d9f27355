"""Was a file cut short? Containers say how many bytes they hold; a file with fewer lost its end.

The demuxers do not tell: for many containers a cut file merely seems to end earlier. Read here, at the price of a few
header reads: the boxes of mp4 and mov, the segment of mkv and webm, RIFF (avi, webp), the blocks of gif, the end
of jpeg. Other formats (mpegts, flv, ...) do not state their size. What follows the end (a thumbnail, the film of a motion
photo, stray bytes) is no part of the video, and players ignore it.
"""

import os
import re
import struct
from typing import BinaryIO

EBML_HEADER = b"\x1a\x45\xdf\xa3"
MATROSKA_SEGMENT = b"\x18\x53\x80\x67"
BOXES = frozenset(b"ftyp styp pdin moov moof mfra mdat sidx ssix prft emsg free skip wide uuid meta meco udta".split())
"""The boxes of mp4 and mov that stand outside all others; any other name may be one that is not known here, or junk."""
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
JPEG_MARK = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
"""A mark outside a scan's data: that holds FF only before 00..7F (stuffing) and D0..D7 (restarts)."""
WEBP_ANIMATION_FLAG = 0x02


class _EndOfFile(Exception):
    """The file ends inside something that announced more bytes."""


def is_cut_short(file: BinaryIO) -> bool:
    """Whether the seekable binary `file` ends before the size its container states; False where no size is stated."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(16)
    try:
        if start[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp"):
            _check_boxes(file, size)
        elif start[:4] == EBML_HEADER:
            _check_matroska(file, size)
        elif start[:4] == b"RIFF":
            _check_riff(start, size)
        elif start[:6] in (b"GIF87a", b"GIF89a"):
            _check_gif(file)
        elif start[:3] == b"\xff\xd8\xff":
            _check_jpeg(file)
    except _EndOfFile:
        return True
    finally:
        file.seek(0)
    return False


def is_animated_webp(file: BinaryIO) -> bool:
    """Whether `file` is a WebP animation, which FFmpeg's decoder does not read."""
    file.seek(0)
    start = file.read(21)
    file.seek(0)
    return start[8:16] == b"WEBPVP8X" and len(start) == 21 and bool(start[20] & WEBP_ANIMATION_FLAG)


def _read(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise _EndOfFile
    return data


def _check_boxes(file: BinaryIO, size: int) -> None:
    """ISO base media: a chain of boxes (u32 size, name); size 1: a u64 size follows; size 0: to the end."""
    position, complete = 0, set()
    while position < size:
        file.seek(position)
        is_whole = complete >= {b"moov", b"mdat"}
        # Of a film in fragments (moof) a next one may begin here, unless their index (mfra) is through.
        if is_whole and size - position < 8 and (b"moof" not in complete or b"mfra" in complete):
            return
        length, box = struct.unpack(">I4s", _read(file, 8))
        if length == 0:
            return
        if length == 1:
            length = struct.unpack(">Q", _read(file, 8))[0]
        if length < 8 or not box.isascii():  # no box: junk after the last one
            return
        position += length
        if position > size:
            if is_whole and box not in BOXES:
                return
            raise _EndOfFile
        complete.add(box)


def _read_ebml_size(file: BinaryIO) -> int | None:
    """A variable-length size of EBML, its length told by the leading zeros of the first byte; None if 'unknown'."""
    first = _read(file, 1)[0]
    length = 9 - first.bit_length()  # 1..8; 9 for the forbidden 0
    value = int.from_bytes(bytes([first & (0xFF >> length)]) + _read(file, length - 1), "big")
    return None if value == (1 << 7 * length) - 1 else value


def _check_matroska(file: BinaryIO, size: int) -> None:
    file.seek(len(EBML_HEADER))
    file.seek(_read_ebml_size(file) or 0, os.SEEK_CUR)
    if _read(file, 4) == MATROSKA_SEGMENT:
        segment = _read_ebml_size(file)
        if segment is not None and file.tell() + segment > size:
            raise _EndOfFile


def _check_riff(start: bytes, size: int) -> None:
    """RIFF: u32 bytes after the first 8 (some count these too); 0 or all ones if never filled in."""
    if len(start) < 8:
        raise _EndOfFile
    length = struct.unpack("<I", start[4:8])[0]
    if size < length < 0xFFFFFFFF:
        raise _EndOfFile


def _check_gif(file: BinaryIO) -> None:
    """The chain of blocks of a gif; the end mark itself may be absent, as many writers leave it out."""
    file.seek(6)
    _skip_gif_colours(file, _read(file, 7)[4])
    while (mark := file.read(1)) not in (b"", b"\x3b"):
        if mark == b"\x2c":  # a picture: position, size and flags, its colours, its code size, its data
            _skip_gif_colours(file, _read(file, 9)[8])
        elif mark != b"\x21":  # junk after the last picture, which players ignore
            return
        _read(file, 1)  # the code size of a picture, the kind of an extension
        while length := _read(file, 1)[0]:
            _read(file, length)


def _skip_gif_colours(file: BinaryIO, flags: int) -> None:
    if flags & 0x80:
        _read(file, 3 * 2 ** ((flags & 7) + 1))


def _check_jpeg(file: BinaryIO) -> None:
    """Every picture that follows the first without a gap (motion JPEG) has its end, too; what comes then does not count."""
    file.seek(0)
    data = file.read()
    position = 0
    while data[position : position + 3] == JPEG_START + b"\xff":
        position = _jpeg_end(data, position + len(JPEG_START))


def _jpeg_end(data: bytes, position: int) -> int:
    """Where the picture whose first segment is at `position` ends: behind the end mark that is in no segment."""
    while mark := JPEG_MARK.search(data, position):
        position = mark.end()
        if mark[0] == JPEG_END:
            return position
        if mark[0] != JPEG_START:  # a segment: its length (u16) counts itself; a scan's data follow it unannounced
            position += int.from_bytes(data[position : position + 2], "big")
    raise _EndOfFile
