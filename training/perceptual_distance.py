"""How different frames look to a pretrained network: the part of the reconstruction loss that pixels alone do not give."""

import torch
import torch.nn.functional as F
from torch import nn
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

from ..modeling_pyratok.errors import PyraTokError
from .efficientnet_lite import EfficientNetLite0
from .frame_choice import spread_frames
from .frozen_network import UsesFrozenNetwork
from .shift_tolerant_alexnet import ShiftTolerantAlexNet


def perceptual_distance(name: str, frames: int | None = None) -> "PerceptualDistance":
    """A perceptual loss by name.

    Args:
        name: "st-lpips" (Ghildyal and Liu 2022) or "efficientnet-lite0" (distance of unit-length features), which work offline
            with the extra `perceptual`; or "lpips" (Zhang et al. 2018, VGG-16), which needs a working torchvision and, the
            first time, a network.
        frames: how many frames of a clip are compared; None for all.

    Raises:
        PyraTokError: for an unknown name, for weights that are not there, or if `frames` is not positive.
    """
    if name not in _NETWORKS:
        raise PyraTokError(f"no perceptual distance is called {name!r}; choose one of {', '.join(_NETWORKS)}")
    if frames is not None and frames < 1:
        raise PyraTokError(f"a perceptual distance compares at least one frame of a clip, got frames={frames}")
    return PerceptualDistance(_NETWORKS[name](), frames)


class PerceptualDistance(UsesFrozenNetwork):
    """The mean distance between the frames of two batches of clips; it has no parameters.

    Args:
        network: (N, 3, H, W) twice, in [-1, 1] -> distances, one per image.
        frames: how many frames of a clip are compared; None for all.
    """

    def __init__(self, network: nn.Module, frames: int | None):
        super().__init__(network)
        self.frames = frames

    def forward(
        self, reconstruction: torch.Tensor, target: torch.Tensor, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """A scalar, float32 also under autocast; the gradient flows to `reconstruction` alone.

        Args:
            reconstruction, target: (B, T, 3, H, W) in [-1, 1]; what lies outside is not clamped.
            generator: where `frames` are fewer than T, draws one from each of that many equal parts of the clip, the same for
                all clips; without it the one in the middle of each part is taken.

        Raises:
            ValueError: if the shapes differ or are none of clips.
        """
        if reconstruction.shape != target.shape or target.dim() != 5:
            raise ValueError(
                "reconstruction and target must be (B, T, 3, H, W) of one shape, got "
                f"{tuple(reconstruction.shape)} and {tuple(target.shape)}"
            )
        if self.frames is not None and self.frames < target.shape[1]:
            chosen = spread_frames(target.shape[1], self.frames, generator).to(target.device)
            reconstruction, target = reconstruction[:, chosen], target[:, chosen]
        with torch.autocast(target.device.type, enabled=False):
            return self.network(reconstruction.flatten(0, 1).float(), target.detach().flatten(0, 1).float()).mean()


class _FeatureDistance(nn.Module):
    """LPIPS without heads: squared distance of unit-length features, mean over positions and over the five resolutions."""

    def __init__(self):
        super().__init__()
        self.encoder = EfficientNetLite0()

    def forward(self, images: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        pairs = list(zip(self.encoder.stages(images), self.encoder.stages(others), strict=True))
        total = images.new_zeros(images.shape[0])
        for one, other in pairs:
            difference = F.normalize(one, dim=1, eps=1e-6) - F.normalize(other, dim=1, eps=1e-6)
            total = total + difference.square().sum(dim=1).mean(dim=(1, 2))
        return total / len(pairs)


def _lpips() -> nn.Module:
    try:
        # The network itself: the metric around it refuses values under -1, and reconstructions in training are not clamped.
        return LearnedPerceptualImagePatchSimilarity(net_type="vgg").net
    except (ImportError, OSError, RuntimeError) as error:
        raise PyraTokError(
            "lpips needs the torchvision that belongs to the installed torch, and its weights for VGG-16, which are downloaded "
            f"once ({error}); install them, or choose st-lpips, which works offline"
        ) from error


_NETWORKS = {"st-lpips": ShiftTolerantAlexNet, "efficientnet-lite0": _FeatureDistance, "lpips": _lpips}
