"""The tokens of whatever a pipeline is given: a video, which is encoded, or tokens, which are enough."""

import itertools
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import torch

from ..modeling_pyratok.errors import VideoReadError
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.pixel_values import frames_to_values
from ..modeling_pyratok.token_files import TOKEN_FILE_SUFFIX
from ..modeling_pyratok.video_processing_pyratok import PyraTokVideoProcessor, file_of
from ..modeling_pyratok.video_reading import VideoReader
from ..modeling_pyratok.video_tokens import VideoTokens
from .token_streams import DEFAULT_FPS, TokenCollector, recorded_id


def tokens_from(
    vq_model: PyraTokModel,
    video_processor: PyraTokVideoProcessor,
    video: Any,
    *,
    chunk_frames: int | None = 16,
    fps: Fraction | float | None = None,
    start: float | None = None,
    end: float | None = None,
) -> VideoTokens:
    """The tokens of one video, made without a caption; a file is read as it goes, so its pixels are never all in memory.

    Args:
        vq_model, video_processor: of the pipeline.
        video: a path, a float tensor (T, C, H, W) in [0, 1], an array (T, H, W, C) of uint8 or floats in [0, 1], a list of PIL
            images; or a `VideoTokens`, or the path of a token file (.safetensors), which is taken as it is.
        chunk_frames: as in `PyraTokModel.encode`.
        fps: frames per second; by default the file's (the average of a variable rate), and 24 for anything but a file.
            Tokens have their own.
        start, end: seconds of a file; only the frames in [start, end) are taken. At least one is.

    Raises ValueError for a wrong shape or range, for tokens of another model, for `start` and `end` of anything but a video
    file; VideoReadError for a file that cannot be read, or that has no frame between them; TypeError for what is no video.
    """
    check_seconds(start, end)
    cut = start is not None or end is not None
    if isinstance(video, VideoTokens) or is_token_path(video):
        if cut or fps is not None:
            raise ValueError("tokens are taken as they are: start, end and fps are for videos")
        tokens = video if isinstance(video, VideoTokens) else VideoTokens.load(video)
        tokens.check_fits(vq_model)
        return tokens
    file = file_of(video)
    if file is None:
        if cut:
            raise ValueError("start and end are seconds of a video file; cut an array or a tensor yourself")
        collector = _collected(vq_model, video_processor.stream(video), chunk_frames)
        return _tokens(vq_model, collector, DEFAULT_FPS if fps is None else fps)
    with VideoReader(file) as reader:
        frames = _between(reader, start or 0.0, end)
        first = next(frames, None)
        if first is None:
            raise VideoReadError(
                f"the video has no frame from {start or 0.0:g} s to {'its end' if end is None else f'{end:g} s'}"
            )
        frames = itertools.chain([first], frames)
        collector = _collected(vq_model, frames, chunk_frames)
        # The average is known when all frames were read.
        return _tokens(vq_model, collector, reader.frame_rate.average if fps is None else fps)


def is_token_path(video: Any) -> bool:
    """Whether it is the path of a token file, by its extension."""
    return isinstance(video, str | os.PathLike) and os.fspath(video).endswith(TOKEN_FILE_SUFFIX)


def check_seconds(start: float | None, end: float | None) -> None:
    """Raises ValueError unless 0 <= start < end, as far as they are given."""
    if start is not None and not 0 <= start < float("inf"):
        raise ValueError(f"start is a number of seconds from 0 up, got {start!r}")
    if end is not None and not (start or 0.0) < end:
        raise ValueError(f"end comes after start, got start={start!r} and end={end!r}")


def _between(reader: VideoReader, start: float, end: float | None) -> Iterator[torch.Tensor]:
    """(3, H, W) in [-1, 1], the frames in [start, end)."""
    for seconds, frame in reader.timed_frames(start):
        if end is not None and seconds >= end:
            return
        yield frames_to_values(frame)


def _collected(vq_model: PyraTokModel, frames: Iterator[torch.Tensor], chunk_frames: int | None) -> TokenCollector:
    """The codes of frames (3, H, W)."""
    collector = TokenCollector(vq_model)
    on_device = (frame.to(vq_model.device, vq_model.dtype) for frame in frames)
    with torch.no_grad():
        for piece in vq_model.encode_stream(on_device, chunk_frames=chunk_frames):
            collector.add(piece.video_codes, piece.video_size)
    return collector


def _tokens(vq_model: PyraTokModel, collector: TokenCollector, fps: Fraction | float) -> VideoTokens:
    """What was collected, with the fingerprint of the weights as they are now."""
    return collector.tokens(fps, recorded_id(vq_model.name_or_path), vq_model.weights_fingerprint())
