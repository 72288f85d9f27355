"""A name for a set of weights, so that tokens are not decoded with others by mistake."""

import hashlib
from collections.abc import Iterable, Mapping

import torch

HALF_PRECISION = (torch.float16, torch.bfloat16)


def fingerprint(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256, in hexadecimal, over names, types, shapes and bytes of the tensors in the order of their names.

    Tensors in half precision count as what they are in float32: weights that a file keeps in half precision have one
    name, however they are loaded. Rounding float32 weights to half precision makes others of them.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        if tensor.dtype in HALF_PRECISION:
            tensor = tensor.float()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def weights_state(tensors: Iterable[torch.Tensor]) -> tuple | None:
    """Something that is equal as long as the tensors are the same and unchanged; None if that cannot be told.

    Writing through `tensor.data` goes unseen, as it does to PyTorch itself.
    """
    tensors = tuple(tensors)
    if any(tensor.is_inference() for tensor in tensors):  # these do not count their changes
        return None
    return tuple((id(tensor), tensor.data_ptr(), tensor.dtype, tensor._version) for tensor in tensors)
