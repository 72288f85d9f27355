"""Files, arrays, tensors and PIL images -> `pixel_values_videos`, and the model's values back to pictures."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.image_processing_utils import BatchFeature
from transformers.video_processing_utils import VideoProcessorMixin

from ..configuration.remote_code import SharesCode
from .errors import PyraTokError
from .media_opening import VideoSource
from .pixel_values import frames_to_values, values_to_frames
from .shares_card import SharesCard
from .video_frames import over_black
from .video_reading import VideoReader, read_video

ROUNDING = 1e-5
"""How far a value in [0, 1] may lie outside for the rounding of whatever computed it."""


class PyraTokVideoProcessor(SharesCard, SharesCode, VideoProcessorMixin):
    """Turns videos into `pixel_values_videos` and back. Nothing is resized, cropped or sampled.

    A video is one of

    - a path (or the bytes, or a binary file object) of a video or picture, as `VideoReader` reads them;
    - a tensor (T, C, H, W), floats in [0, 1] or uint8;
    - an array (T, H, W, C), floats in [0, 1] or uint8;
    - a PIL image or a list of them (transparent pixels are laid over black);

    and a batch is a list of videos of one size, or a tensor or an array with one dimension more.
    """

    model_input_names = ["pixel_values_videos"]

    def preprocess(self, videos: Any, return_tensors: str | None = "pt") -> BatchFeature:
        """A video or a batch -> `pixel_values_videos` (B, T, 3, H, W), float32 in [-1, 1].

        `return_tensors` is "pt" (or None) for a torch tensor or "np" for an array. Also called by `processor(videos)`.

        Raises VideoReadError for a file that cannot be read, PyraTokError for a wrong shape, type of numbers or
        range and for videos of different sizes in one batch, TypeError for anything that is no video.
        """
        values = [self._video_values(video) for video in _split_batch(videos)]
        if not values:
            raise PyraTokError("videos is an empty list; give at least one video")
        for index, video in enumerate(values):
            if video.shape != values[0].shape:
                raise PyraTokError(
                    f"the videos of a batch need one size, but video 0 has {_size(values[0])} and video {index} has "
                    f"{_size(video)}; process them one at a time"
                )
        batch = torch.stack(values)
        return BatchFeature({"pixel_values_videos": batch}, tensor_type=return_tensors or "pt")

    def stream(self, video: Any) -> Iterator[torch.Tensor]:
        """One video -> its frames (3, H, W), float32 in [-1, 1], one at a time, for `model.encode_stream`.

        A file is opened at once (a wrong one raises here) and is never in memory as a whole.
        """
        video = _only_video(video)
        return _stream_file(VideoReader(video)) if _is_file(video) else iter(self._video_values(video))

    def postprocess_video(self, video_values: torch.Tensor, output_type: str = "np") -> Any:
        """The model's values (B, T, C, H, W) in [-1, 1] -> pictures; values outside are clamped.

        "pt": float32 tensor (B, T, C, H, W) in [0, 1]; "np": float32 array (B, T, H, W, C) in [0, 1]; "pil": for each
        video a list of PIL images. Raises ValueError for another `output_type` or number of dimensions.
        """
        if output_type not in ("np", "pt", "pil"):
            raise ValueError(f"output_type must be 'np', 'pt' or 'pil', got {output_type!r}")
        if video_values.ndim != 5:
            raise ValueError(f"video_values must be (B, T, C, H, W), got {tuple(video_values.shape)}")
        if output_type == "pil":
            frames = values_to_frames(video_values).cpu().numpy()  # (B, T, H, W, C)
            return [[Image.fromarray(frame) for frame in video] for video in frames]
        scaled = ((video_values.float() + 1) / 2).clamp(0, 1)
        return scaled if output_type == "pt" else scaled.movedim(2, -1).detach().cpu().numpy()

    def _video_values(self, video: Any) -> torch.Tensor:
        """One video -> (T, 3, H, W) in [-1, 1]."""
        if _is_file(video):
            return frames_to_values(read_video(video)[0])
        if isinstance(video, Image.Image):
            video = [video]
        if isinstance(video, (list, tuple)):
            return frames_to_values(_stack_images(video))
        if isinstance(video, np.ndarray):
            _check_shape(video.shape, "an array", "(T, H, W, 3)", channels=-1)
            return _scaled(torch.from_numpy(_plain(video)).movedim(-1, 1))
        if isinstance(video, torch.Tensor):
            _check_shape(video.shape, "a tensor", "(T, 3, H, W)", channels=1)
            return _scaled(video)
        raise TypeError(f"a video is a path, a tensor, an array or a list of PIL images, got {type(video).__name__}")


def file_of(videos: Any) -> VideoSource | None:
    """The file that a video, or a batch of one, is given as; None if it is given as anything else."""
    split = _split_batch(videos)
    return split[0] if len(split) == 1 and _is_file(split[0]) else None


def _is_file(video: Any) -> bool:
    return isinstance(video, (str, os.PathLike, bytes, bytearray)) or (
        callable(getattr(video, "read", None)) and not isinstance(video, Image.Image)
    )


def _stream_file(reader: VideoReader) -> Iterator[torch.Tensor]:
    with reader:
        for frame in reader:
            yield frames_to_values(frame)


def _split_batch(videos: Any) -> list[Any]:
    """The videos of a batch; a single video is a batch of one."""
    if isinstance(videos, (np.ndarray, torch.Tensor)):
        return list(videos) if videos.ndim == 5 else [videos]
    if isinstance(videos, (list, tuple)) and not (videos and isinstance(videos[0], Image.Image)):
        return list(videos)
    return [videos]


def _only_video(video: Any) -> Any:
    videos = _split_batch(video)
    if len(videos) != 1:
        raise PyraTokError(f"one video at a time can be streamed, got {len(videos)}")
    return videos[0]


def _check_shape(shape: tuple[int, ...], kind: str, wanted: str, channels: int) -> None:
    if len(shape) != 4 or shape[channels] != 3:
        other = (
            "channels last are for arrays: pass tensor.numpy()" if channels == 1 else "channels first are for tensors"
        )
        hint = f" ({other})" if len(shape) == 4 and shape[-1 if channels == 1 else 1] == 3 else ""
        raise PyraTokError(f"a video given as {kind} is {wanted}, got {tuple(shape)}{hint}")
    if 0 in shape:
        raise PyraTokError(f"a video needs at least one frame, row and column, got {tuple(shape)}")


def _plain(array: np.ndarray) -> np.ndarray:
    """The array as torch can take it: without negative strides (`frames[..., ::-1]`), in this machine's byte order."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def _scaled(video: torch.Tensor) -> torch.Tensor:
    """(T, 3, H, W), uint8 or floats in [0, 1] -> float32 in [-1, 1]."""
    if video.dtype == torch.uint8:
        return frames_to_values(video.movedim(1, -1))
    if not video.is_floating_point():
        raise PyraTokError(f"a video's numbers are uint8 in 0..255 or floats in [0, 1], got {video.dtype}")
    lowest, highest = (float(bound) for bound in torch.aminmax(video.detach()))
    if not (lowest >= -ROUNDING and highest <= 1 + ROUNDING):  # also false for NaN
        hint = ""
        if 2 < highest <= 255 and lowest >= 0:
            hint = "; divide by 255"
        elif -1 - ROUNDING <= lowest < 0 and highest <= 1 + ROUNDING:
            hint = "; if they are in [-1, 1], take (values + 1) / 2"
        raise PyraTokError(f"a video's floats lie in [0, 1], got values from {lowest:.6g} to {highest:.6g}{hint}")
    return video.float().clamp(0, 1) * 2 - 1


def _stack_images(images: list[Image.Image]) -> torch.Tensor:
    """PIL images of one size -> uint8 (T, H, W, 3)."""
    if not images:
        raise PyraTokError("a video is an empty list; give at least one image")
    for index, image in enumerate(images):
        if not isinstance(image, Image.Image):
            raise TypeError(f"a video given as a list holds PIL images, got {type(image).__name__} at {index}")
        if image.size != images[0].size:
            raise PyraTokError(
                f"the images of a video need one size, but image 0 is {_pil_size(images[0])} and image {index} is "
                f"{_pil_size(image)}"
            )
    return torch.stack([torch.from_numpy(_rgb_pixels(image)) for image in images])


def _rgb_pixels(image: Image.Image) -> np.ndarray:
    if image.has_transparency_data:
        return np.ascontiguousarray(over_black(np.array(image.convert("RGBA"))))
    return np.array(image.convert("RGB"))


def _pil_size(image: Image.Image) -> str:
    return f"{image.width}x{image.height}"


def _size(video: torch.Tensor) -> str:
    return f"{video.shape[0]} frames of {video.shape[3]}x{video.shape[2]}"
