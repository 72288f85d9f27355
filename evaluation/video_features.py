"""What a video is as one vector, so that two sets of videos can be compared by the distributions of their vectors."""

import os
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ..modeling_pyratok.errors import PyraTokError
from ..training.image_encoders import EFFICIENTNET, load_image_encoder

I3D_SIZE = 224
"""Rows and columns of what I3D takes."""

I3D_OPTIONS = {"rescale": False, "resize": False, "return_features": True}
"""Of the published i3d_torchscript.pt: the pixels come in [-1, 1] and in size, and what is asked for are features."""


class VideoFeatures(nn.Module):
    """Clips (B, T, 3, H, W) in [-1, 1] -> features (B, num_features), float32.

    distance_name: what a Frechet distance between such features is called. num_features: their dimension.
    """

    distance_name: str
    num_features: int


class I3DFeatures(VideoFeatures):
    """Features of an I3D network (Carreira and Zisserman, CVPR 2017) from a TorchScript file; with those of the published
    i3d_torchscript.pt, trained on Kinetics-400, the distance is the FVD of Unterthiner et al. (2018).

    A TorchScript file is a program that is executed: use one whose origin you trust. It is read by torch's own interpreter;
    Python unpickles nothing of it. The network takes (B, 3, T, 224, 224) in [-1, 1] and gives (B, D); if its forward has the
    published options `rescale`, `resize` and `return_features`, they are set.

    Args:
        path: the file.
        num_frames: of the clips that it will be given, to find out D.

    Raises:
        PyraTokError: if the file is missing, no TorchScript, or a network that takes or gives something else.
    """

    distance_name = "FVD (I3D of the user)"

    def __init__(self, path: str | os.PathLike[str], num_frames: int = 16):
        super().__init__()
        self._path = os.fspath(path)
        if not Path(path).is_file():
            raise PyraTokError(
                f"the I3D network {self._path!r} is no file; give a TorchScript file, i3d_torchscript.pt"
            )
        try:
            with warnings.catch_warnings():
                # The file is published in this form, which torch will read but no longer recommends.
                warnings.simplefilter("ignore", DeprecationWarning)
                self.network = torch.jit.load(self._path, map_location="cpu").eval()
        except (RuntimeError, ValueError) as problem:
            raise PyraTokError(
                f"the I3D network {self._path!r} is no TorchScript file: {_first_line(problem)}; weights alone are not enough"
            ) from problem
        if not hasattr(self.network, "forward"):
            raise PyraTokError(f"the I3D network {self._path!r} is a TorchScript file without a method `forward`")
        known = {argument.name for argument in self.network.forward.schema.arguments}
        self._options = I3D_OPTIONS if I3D_OPTIONS.keys() <= known else {}
        with torch.no_grad():
            self.num_features = self(torch.zeros(1, num_frames, 3, I3D_SIZE, I3D_SIZE)).shape[1]

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """(B, T, 3, H, W) in [-1, 1] -> (B, D). Raises PyraTokError if the network does not take such clips."""
        batch, length = clips.shape[:2]
        if clips.shape[-2:] != (I3D_SIZE, I3D_SIZE):
            frames = F.interpolate(clips.flatten(0, 1), (I3D_SIZE, I3D_SIZE), mode="bilinear", antialias=True)
            clips = frames.unflatten(0, (batch, length))
        try:
            features = self.network(clips.transpose(1, 2), **self._options)  # of (B, 3, T, 224, 224)
        except (RuntimeError, torch.jit.Error) as problem:
            raise PyraTokError(
                f"the I3D network {self._path!r} cannot take clips of {length} frames of {I3D_SIZE}x{I3D_SIZE}: "
                f"{_first_line(problem)}"
            ) from problem
        if not isinstance(features, torch.Tensor) or features.dim() != 2 or features.shape[0] != batch:
            shape = tuple(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
            raise PyraTokError(f"the I3D network {self._path!r} has to give ({batch}, features), it gives {shape}")
        return features.float()


class EfficientNetFeatures(VideoFeatures):
    """Features of an image network that needs no download, made to see time: this is not FVD, and its figures are its own.

    EfficientNet-Lite0 gives 112 maps for each frame, at 1/16 of its size. Their mean over space and frames says what is seen;
    their mean absolute change from frame to frame, taken at each place before the mean over space, says how it moves (of a
    single frame it is 0). Together 224 numbers.

    Raises:
        PyraTokError: if the package with the weights is not installed (extra `perceptual`).
    """

    distance_name = "Frechet distance (EfficientNet-Lite0)"

    def __init__(self):
        super().__init__()
        self.network, width = load_image_encoder(EFFICIENTNET)
        self.num_features = 2 * width

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """(B, T, 3, H, W) in [-1, 1] -> (B, 224)."""
        maps = self.network(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])  # (B, T, 112, h, w)
        seen = maps.mean(dim=(1, 3, 4))
        changes = maps.diff(dim=1).abs()
        moved = changes.mean(dim=(1, 3, 4)) if clips.shape[1] > 1 else torch.zeros_like(seen)
        return torch.cat((seen, moved), dim=1)


def _first_line(problem: Exception) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    # An error inside TorchScript begins with where it was, and ends with what it was.
    return lines[-1] if lines and lines[0].startswith("The following operation failed") else lines[0] if lines else "?"
