"""PyraTokTokenProjector: tokens of a video as embeddings that a language model reads before a question.

The paper's recipe for questions: features of all levels, projected, and prepended to the language model. It sees codes alone,
so whoever has tokens can ask. However long and large a video is, it becomes a bounded number of embeddings.
"""

import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init

from ..configuration.configuration_token_projector import PyraTokTokenProjectorConfig
from ..configuration.remote_code import SharesCode
from .binary_codebook import BinaryCodebook
from .input_checks import check_levels
from .safe_weights import SafeWeights
from .shares_card import SharesCard
from .weight_initialization import initialize_module

FREQUENCIES = 4
"""Waves per axis that say where a cell lies."""

TOKENS_AT_ONCE = 2**16
"""Tokens whose features are in memory at the same time, if a frame has no more."""


class PyraTokTokenProjector(SafeWeights, SharesCard, SharesCode, PreTrainedModel):
    """Codes of any subset of levels -> the prefix of a language model, (B, P, language_hidden_size).

    A token is its code through the codebook projection that all levels share, an offset for its level, and a layer. These
    features are averaged over the cells of a grid of at most `moments` x `places` x `places` per level, and each cell, with
    where it lies, goes through two more layers. The layer before the average is needed: an average of codes through the linear
    projection alone would know no more of a cell than its d mean bits.
    """

    config_class = PyraTokTokenProjectorConfig
    base_model_prefix = "projector"
    main_input_name = "video_codes"
    input_modalities = ("video",)

    def __init__(self, config: PyraTokTokenProjectorConfig):
        super().__init__(config)
        width, hidden = config.codebook_size, config.hidden_size
        self.codebook = BinaryCodebook(config.codebook_bits, width)
        self.level = nn.Embedding(config.num_levels, width)
        self.token = nn.Linear(width, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.position = nn.Linear(6 * FREQUENCIES, hidden)
        self.to_language = nn.Sequential(
            nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, config.language_hidden_size)
        )
        self.gain = nn.Parameter(torch.ones(config.language_hidden_size))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if module is self:
            init.constant_(self.gain, self.config.embedding_rms)
        else:
            initialize_module(module)

    def share_codebook(self, codebook: BinaryCodebook) -> None:
        """Take a tokenizer's codebook projection in the place of the own one. Raises ValueError for another shape."""
        codebook.check_can_replace(self.codebook, "token projector")
        self.codebook = codebook

    def forward(self, video_codes: Sequence[torch.Tensor | None], levels: Iterable[int] | None = None) -> torch.Tensor:
        """The prefix (B, P, language_hidden_size), level after level, in each the first moment first, row by row.

        P is at most num_levels * moments * places * places, and follows from the sizes of the levels alone.

        Args:
            video_codes: per level (B, T_l, H_l, W_l) of integers, or None.
            levels: those to look at, 1..L in any order; by default all that are there.

        Raises ValueError for levels that are unknown, repeated or not there, and for codes that are none.
        """
        levels = check_levels(levels, video_codes, self.config.num_levels)
        if len(batches := {len(video_codes[level - 1]) for level in levels}) > 1:
            raise ValueError(f"all levels must have one batch size, got {sorted(batches)}")
        return torch.cat([self._cells(video_codes[level - 1], level) for level in levels], dim=1)

    def _cells(self, codes: torch.Tensor, level: int) -> torch.Tensor:
        """(B, T, H, W) -> (B, cells, language_hidden_size)."""
        if codes.dim() != 4 or not codes.numel():
            raise ValueError(
                f"the codes of level {level} must be (batch, frames, rows, columns), got {tuple(codes.shape)}"
            )
        pooled = self._pooled(codes, level)  # (B, hidden, t, h, w)
        position = self.position(_waves(pooled.shape[2:], pooled))  # (cells, hidden)
        cells = self.norm(pooled.flatten(2).transpose(1, 2)) + position
        out = self.to_language(cells)
        return F.rms_norm(out.float(), out.shape[-1:]).to(out.dtype) * self.gain

    def _pooled(self, codes: torch.Tensor, level: int) -> torch.Tensor:
        """The features of tokens (B, T, H, W), averaged over cells: (B, hidden, t, h, w).

        Space first, a few frames at a time, then time: the same as all at once, in bounded memory.
        """
        batch, frames, height, width = codes.shape
        space = (min(height, self.config.places), min(width, self.config.places))
        moments = min(frames, self.config.moments)
        step = max(TOKENS_AT_ONCE // (batch * height * width), 1)
        pieces = []
        for piece in codes.split(step, dim=1):
            embedded = self.codebook.embed_codes(piece) + self.level.weight[level - 1]
            features = F.gelu(self.token(embedded))  # (B, n, H, W, hidden)
            flat = features.flatten(0, 1).permute(0, 3, 1, 2)  # (B n, hidden, H, W)
            pieces.append(F.adaptive_avg_pool2d(flat, space).unflatten(0, (batch, -1)))
        pooled = torch.cat(pieces, dim=1).permute(0, 2, 3, 4, 1)  # (B, hidden, h, w, T)
        pooled = F.adaptive_avg_pool1d(pooled.flatten(0, 3)[:, None], moments)[:, 0]
        return pooled.unflatten(0, (batch, -1, *space)).permute(0, 1, 4, 2, 3)


def _waves(grid: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    """Sines and cosines of where the cells of a grid (t, h, w) lie in the video, 0 to 1 per axis: (cells, 6 * FREQUENCIES)."""
    axes = [(torch.arange(size, device=like.device) + 0.5) / size for size in grid]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 2)  # (cells, 3)
    angles = places[..., None] * math.pi * 2.0 ** torch.arange(FREQUENCIES, device=like.device)
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(1).to(like.dtype)
