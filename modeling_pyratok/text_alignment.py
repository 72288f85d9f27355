"""PyraTokTextAlignment: what ties codes to captions, beside the tokenizer and not part of it.

It puts tokens and captions into one space, so that they can be compared (retrieval, and later segmentation), and holds the maps
of the two terms of Eq. 2 that look at text. It sees codes alone: whoever has tokens can use it.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init

from ..configuration.configuration_text_alignment import PyraTokTextAlignmentConfig
from .binary_codebook import BinaryCodebook, codes_to_bits
from .input_checks import check_levels
from .weight_initialization import initialize_module

CODES_PER_LEVEL = 64
"""Tokens of a level whose codes the text-codebook term looks at in a step."""


class PyraTokTextAlignment(PreTrainedModel):
    """Tokens and captions in one space of the text encoder's width.

    A token is its code through the shared codebook projection, an offset for its level, and two layers; a video is the mean
    over its tokens, of one level or of several; a caption is the mean over its embeddings.
    """

    config_class = PyraTokTextAlignmentConfig
    base_model_prefix = "alignment"
    main_input_name = "video_codes"
    input_modalities = ("video",)

    def __init__(self, config: PyraTokTextAlignmentConfig):
        super().__init__(config)
        width, text_width = config.codebook_size, config.text_hidden_size
        self.codebook = BinaryCodebook(config.codebook_bits, width)
        self.level = nn.Embedding(config.num_levels, width)
        self.to_text = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, text_width))
        self.log_scale = nn.Parameter(torch.zeros(1))
        self.caption_to_bits = nn.Linear(text_width, config.codebook_bits)
        self.code_to_bits = nn.Linear(width, config.codebook_bits)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if module is self:
            init.constant_(self.log_scale, 2.3)  # similarities are multiplied by 10 at first
        else:
            initialize_module(module)

    def share_codebook(self, codebook: BinaryCodebook) -> None:
        """Take a tokenizer's codebook projection in the place of the own one. Raises ValueError for another shape."""
        codebook.check_can_replace(self.codebook, "text alignment")
        self.codebook = codebook

    def token_features(self, embedded: torch.Tensor, level: int) -> torch.Tensor:
        """Tokens of a level (1..L) in the space of text: (..., codebook_size) -> (..., text_hidden_size), not normalised."""
        return self.to_text(embedded + self.level.weight[level - 1])

    def level_embeddings(self, video_bits: Sequence[torch.Tensor | None]) -> list[torch.Tensor | None]:
        """The video seen from each level alone, (B, text_hidden_size) of length 1. video_bits: (B, T_l, H_l, W_l, d)."""
        found: list[torch.Tensor | None] = []
        for level, bits in enumerate(video_bits, start=1):
            if bits is None:
                found.append(None)
                continue
            features = self.token_features(self.codebook(bits), level).flatten(1, 3).mean(dim=1)
            found.append(F.normalize(features.float(), dim=-1))
        return found

    @torch.no_grad()
    def embed_video(
        self, video_codes: Sequence[torch.Tensor | None], levels: Sequence[int] | None = None
    ) -> torch.Tensor:
        """Videos from their tokens alone, (B, text_hidden_size) of length 1: the mean over `levels`, by default all there are.

        Nothing learns from it. Raises ValueError for levels that are unknown, repeated or not there.
        """
        levels = check_levels(levels, video_codes, self.config.num_levels)
        bits = [
            codes_to_bits(codes, self.config.codebook_bits) if level in levels else None
            for level, codes in enumerate(video_codes, start=1)
        ]
        found = [embedding for embedding in self.level_embeddings(bits) if embedding is not None]
        return F.normalize(torch.stack(found).mean(dim=0), dim=-1)

    def forward(self, video_codes: Sequence[torch.Tensor | None], pooled_text: torch.Tensor) -> torch.Tensor:
        """Cosine (B, N) of videos with captions, whose pooled embeddings (N, text_hidden_size) are given."""
        return self.embed_video(video_codes) @ F.normalize(pooled_text.float(), dim=-1).T

    def contrastive_loss(
        self, video_bits: Sequence[torch.Tensor], pooled_text: torch.Tensor, others: torch.Tensor
    ) -> torch.Tensor:
        """How much likelier than others each level finds a clip's own caption: cross-entropy, the mean over levels, (B,).

        The captions of the other clips of the batch do not enter, so that a clip's loss does not depend on them.

        Args:
            video_bits: per level (B, T_l, H_l, W_l, d), with straight-through gradient.
            pooled_text: (B, text_hidden_size) of the clips' captions.
            others: (M, text_hidden_size), other captions; those that say the same as a clip's own do not count.
        """
        own, others = (F.normalize(text.float(), dim=-1) for text in (pooled_text, others))
        same = own @ others.T > 0.999  # (B, M)
        losses = []
        for embedding in self.level_embeddings(video_bits):
            right = (embedding * own).sum(dim=-1, keepdim=True)  # (B, 1)
            scale = self.log_scale.exp().clamp_max(100)
            # Masked behind the scale, whose gradient would be 0 times infinity.
            wrong = (scale * (embedding @ others.T)).masked_fill(same, float("-inf"))
            logits = torch.cat([scale * right, wrong], dim=1)
            losses.append(logits.logsumexp(dim=1) - logits[:, 0])
        return torch.stack(losses).mean(dim=0)

    def text_conditioned_loss(
        self, logits: Sequence[torch.Tensor], pooled_text: torch.Tensor, temperature: float
    ) -> torch.Tensor:
        """Mean KL(q_i || e_t) per token, summed over bits and levels, (B,): tokens are pulled to their caption (Eq. 2).

        The caption's bits come from a learned map that this term does not train, from an encoder that it does not train either.
        logits: per level (B, T_l, H_l, W_l, d).
        """
        target = self._caption_bits(pooled_text).detach()[:, None, None, None]  # (B, 1, 1, 1, d)
        return sum(bernoulli_divergence(2 * level / temperature, target).flatten(1).mean(dim=1) for level in logits)

    def text_codebook_loss(self, video_bits: Sequence[torch.Tensor], pooled_text: torch.Tensor) -> torch.Tensor:
        """Mean KL(c || e_t) over the codes of a clip, summed over bits, (B,): codes are pulled to captions (Eq. 2).

        A code's bits come from a head on the shared codebook projection. This term trains both maps.
        video_bits: per level (B, T_l, H_l, W_l, d).
        """
        tokens = torch.cat([_spread(bits.flatten(1, 3), CODES_PER_LEVEL) for bits in video_bits], dim=1)
        codes = self.code_to_bits(self.codebook(tokens.detach())).float()  # (B, n, d)
        return bernoulli_divergence(codes, self._caption_bits(pooled_text)[:, None]).mean(dim=1)

    def _caption_bits(self, pooled_text: torch.Tensor) -> torch.Tensor:
        """Logits of the bits (B, d) that a caption stands for, float32."""
        return self.caption_to_bits(pooled_text.to(self.caption_to_bits.weight.dtype)).float()


def bernoulli_divergence(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """KL (nats) between products of Bernoulli variables with these logits (..., d), summed over the last dimension."""
    probability = torch.sigmoid(logits)
    divergence = probability * (logits - target) - F.softplus(logits) + F.softplus(target)
    return divergence.sum(dim=-1)


def _spread(tokens: torch.Tensor, count: int) -> torch.Tensor:
    """At most `count` of the tokens (B, N, d), evenly spread."""
    step = max(tokens.shape[1] // count, 1)
    return tokens[:, ::step][:, :count]
