"""Opening a media file: every way it can be wrong before its first packet is read becomes one clear sentence."""

import io
import os
import stat
from typing import BinaryIO

import av

from .errors import VideoReadError
from .video_completeness import is_animated_webp, is_cut_short

VideoSource = str | os.PathLike | bytes | BinaryIO
"""A path, the bytes of a file, or a seekable binary file object (read from its start)."""

READABLE_FORMATS = (
    "mov,mp4,matroska,webm,avi,gif,apng,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe,ppm_pipe,pgm_pipe,mpegts,mpeg,"
    "mpegvideo,flv,ogg,asf,yuv4mpegpipe,h264,hevc,ivf,obu,mjpeg,mp3,wav,flac,aac"
)
"""What may be opened (sound formats as sources of sound). A list, because some formats, playlists for one, are
texts that make the library open other files and addresses."""

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".flv", ".wmv", ".ogv")
    + (".gif", ".ivf")
)
PICTURE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"))
MEDIA_SUFFIXES = VIDEO_SUFFIXES | PICTURE_SUFFIXES
"""What the names of videos and pictures end with, where a folder is searched for them."""

READ_BUFFER = 1 << 17
"""Bytes per read from a file object: with PyAV's own 32 KB the calls cost more than the work."""


def source_name(source: VideoSource) -> str:
    """How an error calls the source."""
    if isinstance(source, (str, os.PathLike)):
        return f"'{os.fspath(source)}'"
    return "The video given as bytes" if isinstance(source, (bytes, bytearray)) else "The video given as a file object"


def error_reason(error: BaseException) -> str:
    """What the system or the decoder says, without error numbers, file names or a full stop."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[0].lower() + text[1:].rstrip(".")


def open_source(source: VideoSource) -> BinaryIO:
    """The source as a seekable binary file at its start; the caller closes it, unless it is its own file object.

    Raises VideoReadError if it is missing, no regular file, not permitted, empty or cut short, and TypeError if
    `source` is none of the kinds that `VideoSource` names.
    """
    name = source_name(source)
    if isinstance(source, (bytes, bytearray)):
        file: BinaryIO = io.BytesIO(source)
    elif isinstance(source, (str, os.PathLike)):
        file = _open_path(source, name)
    elif callable(getattr(source, "read", None)) and callable(getattr(source, "seek", None)):
        file = source
    else:
        raise TypeError(f"a video source is a path, bytes or a binary file object, got {type(source).__name__}")
    try:
        _check_contents(file, name)
    except BaseException:
        if file is not source:
            file.close()
        raise
    return file


def _check_contents(file: BinaryIO, name: str) -> None:
    try:
        if file.seek(0, os.SEEK_END) == 0:
            raise VideoReadError(f"{name} is empty (0 bytes).")
        if is_cut_short(file):
            raise VideoReadError(
                f"{name} is cut short: it ends before the size that its header states; copy or download it again."
            )
        if is_animated_webp(file):
            raise VideoReadError(
                f"{name} is an animated WebP, which cannot be decoded; convert it to gif, mp4 or webm."
            )
    except OSError as error:
        raise VideoReadError(f"{name} cannot be read: {error_reason(error)}.") from error


def _open_path(path: str | os.PathLike, name: str) -> BinaryIO:
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            return open(path, "rb")
    except FileNotFoundError as error:
        raise VideoReadError(f"{name} does not exist.") from error
    except PermissionError as error:
        raise VideoReadError(f"{name} cannot be read: no permission.") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise VideoReadError(f"{name} cannot be opened: {error_reason(error)}.") from error
    kind = "a folder, not a video" if stat.S_ISDIR(mode) else "not a regular file"
    raise VideoReadError(f"{name} is {kind}; give the path of a video or picture.")


class _Nameless:
    """A file without its name, so that the format is found by content alone.

    By a name like `frame%03d.png` the library would open the numbered pictures of a folder instead of the file it
    is given.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def open_container(file: BinaryIO, name: str, max_pixels: int | None = None) -> av.container.InputContainer:
    """The container in `file`; to learn what is in it no frame of more than `max_pixels` is decoded.

    Raises VideoReadError if it is none that is read here.
    """
    options = {"format_whitelist": READABLE_FORMATS}
    streams = {} if max_pixels is None else {"max_pixels": str(max_pixels)}
    try:
        return av.open(
            _Nameless(file),
            "r",
            options=streams,
            container_options=options,
            metadata_errors="ignore",
            buffer_size=READ_BUFFER,
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoReadError(f"{name} is not a video or picture that can be read, or is damaged.") from error
