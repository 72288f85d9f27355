"""Frozen image encoders by name, all called alike: images (N, 3, H, W) in [-1, 1] -> spatial features (N, width, h, w)."""

import inspect

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModel
from transformers.image_processing_base import ImageProcessingMixin

from ..modeling_pyratok.errors import PyraTokError
from .efficientnet_lite import EfficientNetLite0

EFFICIENTNET = "efficientnet-lite0"


def load_image_encoder(reference: str) -> tuple[nn.Module, int]:
    """An image encoder and its width.

    Args:
        reference: "efficientnet-lite0", which works offline with the extra `perceptual`, or the Hub id or folder of a vision
            model of transformers, such as DINOv3, with its preprocessor_config.json.

    Raises:
        PyraTokError: if it cannot be loaded, or gives no spatial features.
    """
    encoder = _EfficientNetEncoder() if reference == EFFICIENTNET else _TransformersEncoder(reference)
    with torch.no_grad():
        width = encoder.eval()(torch.zeros(1, 3, 64, 64)).shape[1]
    return encoder, width


class _EfficientNetEncoder(nn.Module):
    """The features at 1/16 of the resolution, that of the usual latents."""

    def __init__(self):
        super().__init__()
        self.network = EfficientNetLite0()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network.stages(images)[3]


class _TransformersEncoder(nn.Module):
    """The last hidden state of a vision model: a feature map as it is, patch tokens put back on their grid."""

    def __init__(self, reference: str):
        super().__init__()
        self.reference = reference
        try:
            self.model = AutoModel.from_pretrained(reference, dtype=torch.float32)
            preprocessing, _ = ImageProcessingMixin.get_image_processor_dict(reference)
        except (OSError, ValueError) as error:
            raise PyraTokError(
                f"cannot load the image encoder {reference!r}: {error}; give {EFFICIENTNET}, or the Hub id or folder of a "
                "vision model of transformers with its preprocessor_config.json"
            ) from error
        if self.model.main_input_name != "pixel_values":
            raise PyraTokError(
                f"{reference!r} is no image encoder: a {type(self.model).__name__} takes {self.model.main_input_name}; "
                f"give {EFFICIENTNET}, or a vision model of transformers"
            )
        self._options = {}
        if "interpolate_pos_encoding" in inspect.signature(self.model.forward).parameters:
            self._options["interpolate_pos_encoding"] = True
        for name, neutral in (("image_mean", [0.0] * 3), ("image_std", [1.0] * 3)):
            values = preprocessing.get(name, neutral) if preprocessing.get("do_normalize", True) else neutral
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        patch = getattr(self.model.config, "patch_size", None)
        if isinstance(patch, int):
            # The nearest whole number of patches: no frame is cut.
            size = [max(1, round(side / patch)) * patch for side in images.shape[-2:]]
            if size != list(images.shape[-2:]):
                images = F.interpolate(images, size, mode="bilinear", antialias=True)
        pixels = ((images + 1) / 2 - self.image_mean) / self.image_std
        hidden = self.model(pixel_values=pixels, **self._options).last_hidden_state
        if hidden.dim() == 4:
            return hidden
        if not isinstance(patch, int) or hidden.dim() != 3:
            raise PyraTokError(f"{self.reference!r} gives no spatial features, but a tensor {tuple(hidden.shape)}")
        rows, columns = (side // patch for side in pixels.shape[-2:])
        # Class and register tokens stand before those of the patches.
        return hidden[:, -rows * columns :].transpose(1, 2).unflatten(2, (rows, columns))
