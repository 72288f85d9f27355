"""ST-LPIPS (Ghildyal and Liu, ECCV 2022): a perceptual distance that forgives small shifts, over a shift-tolerant AlexNet.

The network is AlexNet without strides in its convolutions: what reduces the resolution is a blur with stride 2, so that a shift
of a pixel does not turn into other features. The weights are those of the authors, for the network and for the heads that weigh
its channels; the distances are theirs to float rounding.
"""

import torch
import torch.nn.functional as F
from torch import nn

from ..modeling_pyratok.errors import PyraTokError
from .packaged_weights import PackagedWeights

ST_LPIPS_WEIGHTS = PackagedWeights(
    package="stlpips-pytorch",
    version="0.0.2",
    path="stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth",
    sha256="b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
)

_NAMES = {
    "scaling_layer.": "",
    "net.slice1.0.": "convolutions.0.",
    "net.slice1.1.filt": "blurs.0.kernel",
    "net.slice2.4.filt": "blurs.1.kernel",
    "net.slice2.5.": "convolutions.1.",
    "net.slice3.8.filt": "blurs.2.kernel",
    "net.slice3.9.": "convolutions.2.",
    "net.slice4.11.": "convolutions.3.",
    "net.slice5.13.": "convolutions.4.",
    **{f"lin{stage}.model.1.": f"heads.{stage}." for stage in range(5)},
}
"""How the names of tensors in the file start, and how they start here."""

SMALLEST_SIDE = 21
"""Pixels: the blur before the third convolution mirrors two of its positions, so there have to be three."""


class ShiftTolerantAlexNet(nn.Module):
    """The distance between images with its authors' weights, in evaluation mode.

    Raises:
        PyraTokError: if the package with the weights is not installed.
    """

    def __init__(self):
        super().__init__()
        with torch.device("meta"):  # no random start, which would move torch's global generator
            self.register_buffer("shift", torch.zeros(1, 3, 1, 1))
            self.register_buffer("scale", torch.ones(1, 3, 1, 1))
            self.convolutions = nn.ModuleList(
                [
                    nn.Conv2d(3, 64, 11, padding=2),
                    nn.Conv2d(64, 192, 5, padding=2),
                    nn.Conv2d(192, 384, 3, padding=1),
                    nn.Conv2d(384, 256, 3, padding=1),
                    nn.Conv2d(256, 256, 3, padding=1),
                ]
            )
            self.blurs = nn.ModuleList([_Blur(64), _Blur(64), _Blur(192)])
            self.heads = nn.ModuleList([nn.Conv2d(conv.out_channels, 1, 1, bias=False) for conv in self.convolutions])
        tensors = ST_LPIPS_WEIGHTS.load()
        self.load_state_dict({_renamed(name): value for name, value in tensors.items()}, assign=True)
        self.eval()

    def features(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """After each of the five stages (N, C_k, H_k, W_k), at 1/2, 1/4 and three times 1/8 of the resolution.

        Raises:
            PyraTokError: for a side under 21 pixels.
        """
        if min(images.shape[-2:]) < SMALLEST_SIDE:
            raise PyraTokError(
                f"st-lpips needs frames of at least {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels, got "
                f"{images.shape[-2]} x {images.shape[-1]}; choose larger clips, or another perceptual distance"
            )
        first, second, third, fourth, fifth = self.convolutions
        features = [F.relu(self.blurs[0](first((images - self.shift) / self.scale)))]
        features.append(F.relu(second(self.blurs[1](F.max_pool2d(features[-1], 3, stride=1)))))
        features.append(F.relu(third(self.blurs[2](F.max_pool2d(features[-1], 3, stride=1)))))
        features.append(F.relu(fourth(features[-1])))
        features.append(F.relu(fifth(features[-1])))
        return tuple(features)

    def forward(self, images: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """(N,) distances between two batches of images (N, 3, H, W) in [-1, 1]; at least 0, about 1 for unrelated images."""
        total = images.new_zeros(images.shape[0])
        for head, one, other in zip(self.heads, self.features(images), self.features(others), strict=True):
            difference = F.normalize(one, dim=1, eps=1e-6) - F.normalize(other, dim=1, eps=1e-6)
            total = total + head(difference.square()).mean(dim=(1, 2, 3))
        return total


class _Blur(nn.Module):
    """A binomial blur of 3 x 3 with stride 2, two mirrored positions beyond every border."""

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("kernel", torch.zeros(channels, 1, 3, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), self.kernel, stride=2, groups=x.shape[1])


def _renamed(name: str) -> str:
    start = next(start for start in _NAMES if name.startswith(start))
    return _NAMES[start] + name.removeprefix(start)
