"""Tokens for the tests of everything that holds, stores or reads them."""

import hashlib
from fractions import Fraction

import torch

from pyratok.modeling_pyratok.token_files import unseal
from pyratok.modeling_pyratok.token_layout import TokenLayout
from pyratok.modeling_pyratok.video_tokens import VideoTokens

STRIDES = ((4, 8), (4, 8), (4, 16), (4, 16))
FINGERPRINT = hashlib.sha256(b"weights").hexdigest()


def make_tokens(video_size=(9, 40, 50), strides=STRIDES, bits=16, levels=None, seed=0, **fields):
    """Random tokens; the fields that are not given are ordinary ones."""
    generator = torch.Generator().manual_seed(seed)
    layout = TokenLayout(video_size, strides, bits, fields.get("spatial_multiple"))
    codes = tuple(
        torch.randint(0, 2**bits, grid, generator=generator) if levels is None or level in levels else None
        for level, grid in enumerate(layout.grids, start=1)
    )
    fields = {"fps": Fraction(30000, 1001), "model_id": "pyratok", "weights_fingerprint": FINGERPRINT} | fields
    return VideoTokens(codes, video_size, level_strides=strides, codebook_bits=bits, **fields)


def parts_of(tokens):
    """Metadata and tensors of a file, to be changed and sealed again with a right checksum."""
    metadata, tensors = unseal(tokens.to_bytes())
    return metadata, [(name, bytes(data)) for name, data in tensors]
