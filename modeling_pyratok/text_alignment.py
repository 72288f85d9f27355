"""PyraTokTextAlignment: what ties codes to captions, beside the tokenizer and not part of it.

It puts tokens and captions into one space, so that they can be compared (retrieval, segmentation, localization,
classification), and holds the maps of the two terms of Eq. 2 that look at text. It sees codes alone: whoever has tokens can use
it.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init

from ..configuration.configuration_text_alignment import PyraTokTextAlignmentConfig
from ..configuration.remote_code import SharesCode
from .binary_codebook import BinaryCodebook, codes_to_bits
from .input_checks import check_levels
from .safe_weights import SafeWeights
from .shares_card import SharesCard
from .token_context import TokenContext
from .weight_initialization import initialize_module

CODES_PER_LEVEL = 64
"""Tokens of a level whose codes the text-codebook term looks at in a step."""


class PyraTokTextAlignment(SafeWeights, SharesCard, SharesCode, PreTrainedModel):
    """Tokens and captions in one space of the text encoder's width.

    Tokens, each a code through the shared codebook projection, come together on one grid, look at their neighbours, and each
    place becomes a feature in the space of text (`TokenContext`); any subset of levels will do. A video is the mean over its
    places, a caption the mean over its embeddings.
    """

    config_class = PyraTokTextAlignmentConfig
    base_model_prefix = "alignment"
    main_input_name = "video_codes"
    input_modalities = ("video",)

    def __init__(self, config: PyraTokTextAlignmentConfig):
        super().__init__(config)
        width, text_width = config.codebook_size, config.text_hidden_size
        self.codebook = BinaryCodebook(config.codebook_bits, width)
        self.context = TokenContext(config)
        self.to_text = nn.Sequential(
            nn.Linear(config.context_size, 2 * config.context_size),
            nn.GELU(),
            nn.Linear(2 * config.context_size, text_width),
        )
        self.log_scale = nn.Parameter(torch.zeros(1))
        self.log_place_scale = nn.Parameter(torch.zeros(1))
        self.register_buffer("vocabulary", torch.zeros(config.vocabulary_size, text_width))
        self.caption_to_bits = nn.Linear(text_width, config.codebook_bits)
        self.code_to_bits = nn.Linear(width, config.codebook_bits)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if module is self:
            init.constant_(self.log_scale, 2.3)  # similarities are multiplied by 10 at first
            init.constant_(self.log_place_scale, 2.7)
            init.zeros_(self.vocabulary)
        else:
            initialize_module(module)

    def share_codebook(self, codebook: BinaryCodebook) -> None:
        """Take a tokenizer's codebook projection in the place of the own one. Raises ValueError for another shape."""
        codebook.check_can_replace(self.codebook, "text alignment")
        self.codebook = codebook

    def features(self, video_bits: Sequence[torch.Tensor | None], is_first: bool = True) -> torch.Tensor:
        """The places of videos in the space of text, (B, T', H', W', text_hidden_size), not normalised.

        The grid is that of `feature_stride`: the first frame alone, then groups of frames.

        Args:
            video_bits: per level (B, T_l, H_l, W_l, d), None for a level that does not count; at least one does.
            is_first: whether the first frame is the first of the video.
        """
        embedded = [None if bits is None else self.codebook(bits) for bits in video_bits]
        return self.to_text(self.context(embedded, is_first))

    @torch.no_grad()
    def feature_stream(
        self,
        video_codes: Sequence[torch.Tensor | None],
        levels: Sequence[int] | None = None,
        frames_at_once: int = 8,
    ) -> Iterator[torch.Tensor]:
        """The same from codes (B, T_l, H_l, W_l), `frames_at_once` feature frames at a time, float32; nothing learns from it.

        Each piece sees as much of what came before as the whole would, so the pieces are those of the whole, and only one is
        in memory. `levels`: 1..L, by default all that are there.

        Raises ValueError for levels that are unknown, repeated or not there.
        """
        config, device = self.config, self.log_scale.device
        levels = check_levels(levels, video_codes, config.num_levels)
        strides = [stride for stride, _ in config.level_strides]
        first = levels[0] - 1
        total = 1 + (video_codes[first].shape[1] - 1) * strides[first] // config.feature_stride[0]
        for start in range(0, total, frames_at_once):
            end, begin = min(start + frames_at_once, total), max(start - self.context.past, 0)
            bits = [
                codes_to_bits(
                    codes[:, slice(*self._token_frames(begin, end, stride))].to(device), config.codebook_bits
                )
                if level in levels
                else None
                for level, (codes, stride) in enumerate(zip(video_codes, strides, strict=True), start=1)
            ]
            yield self.features(bits, is_first=begin == 0)[:, start - begin :].float()

    def _token_frames(self, begin: int, end: int, stride: int) -> tuple[int, int]:
        """The token frames of a level that belong to the feature frames begin..end. After the first they come in groups."""
        group = self.config.feature_stride[0]
        return tuple(0 if frame == 0 else 1 + (frame - 1) * group // stride for frame in (begin, end))

    @torch.no_grad()
    def embed_video(
        self, video_codes: Sequence[torch.Tensor | None], levels: Sequence[int] | None = None
    ) -> torch.Tensor:
        """Videos from their tokens alone, (B, text_hidden_size) of length 1: from `levels`, by default all that are there.

        Nothing learns from it. Raises ValueError for levels that are unknown, repeated or not there.
        """
        total, count = 0, 0
        for piece in self.feature_stream(video_codes, levels):
            total, count = total + piece.double().sum(dim=(1, 2, 3)), count + piece[0, ..., 0].numel()
        return F.normalize((total / count).float(), dim=-1)

    def forward(self, video_codes: Sequence[torch.Tensor | None], pooled_text: torch.Tensor) -> torch.Tensor:
        """Cosine (B, N) of videos with captions, whose pooled embeddings (N, text_hidden_size) are given."""
        return self.embed_video(video_codes) @ F.normalize(pooled_text.float(), dim=-1).T

    def contrastive_loss(
        self, video_bits: Sequence[torch.Tensor], pooled_text: torch.Tensor, others: torch.Tensor
    ) -> torch.Tensor:
        """`caption_loss` of videos seen from each level alone and from all, the mean, (B,).

        video_bits: per level (B, T_l, H_l, W_l, d), with straight-through gradient. Other arguments as there.
        """
        losses = []
        for only in [*range(len(video_bits)), None]:
            seen = [bits if only in (index, None) else None for index, bits in enumerate(video_bits)]
            losses.append(self.caption_loss(self.features(seen).float().mean(dim=(1, 2, 3)), pooled_text, others))
        return torch.stack(losses).mean(dim=0)

    def caption_loss(self, videos: torch.Tensor, pooled_text: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """How much likelier than others a clip's own caption is: cross-entropy, (B,).

        The captions of the other clips of the batch do not enter, so that a clip's loss does not depend on them.

        Args:
            videos: (B, text_hidden_size), the mean of their features.
            pooled_text: (B, text_hidden_size) of the clips' captions.
            others: (M, text_hidden_size), other captions; those that say the same as a clip's own do not count.
        """
        videos, own, others = (F.normalize(rows.float(), dim=-1) for rows in (videos, pooled_text, others))
        same = own @ others.T > 0.999  # (B, M)
        right = (videos * own).sum(dim=-1, keepdim=True)  # (B, 1)
        scale = self.log_scale.exp().clamp_max(100)
        # Masked behind the scale, whose gradient would be 0 times infinity.
        wrong = (scale * (videos @ others.T)).masked_fill(same, float("-inf"))
        logits = torch.cat([scale * right, wrong], dim=1)
        return logits.logsumexp(dim=1) - logits[:, 0]

    def class_loss(self, features: torch.Tensor, likely: torch.Tensor) -> torch.Tensor:
        """How far what the features say of the names in the vocabulary is from what a teacher says: mean KL per place, nats.

        features: (B, T', H', W', text_hidden_size). likely: (B, T', H', W', vocabulary_size), the teacher's probabilities.
        """
        logits = self._name_logits(features).flatten(0, 3)
        return F.kl_div(logits.log_softmax(dim=-1), likely.float().flatten(0, 3), reduction="batchmean")

    def place_similarity(self, features: torch.Tensor, pooled_text: torch.Tensor) -> torch.Tensor:
        """How well places fit texts, in [-1, 1]: (..., text_hidden_size) with (K, text_hidden_size) -> (..., K), float32.

        With a vocabulary, how well the names that a place is likely to have fit the text, on average: the cosine of each name
        with the text, both without what all names have in common. Else the cosine of the feature with the text.
        """
        if not self.config.vocabulary_size:
            return F.normalize(features.float(), dim=-1) @ F.normalize(pooled_text.float(), dim=-1).T
        names = F.normalize(self.vocabulary.float(), dim=-1)
        common = names.mean(dim=0)
        text = F.normalize(F.normalize(pooled_text.float(), dim=-1) - common, dim=-1)
        return self._name_logits(features).softmax(dim=-1) @ (F.normalize(names - common, dim=-1) @ text.T)

    def _name_logits(self, features: torch.Tensor) -> torch.Tensor:
        """(..., text_hidden_size) -> (..., vocabulary_size), float32."""
        scale = self.log_place_scale.exp().clamp_max(100)
        return scale * (F.normalize(features.float(), dim=-1) @ F.normalize(self.vocabulary.float(), dim=-1).T)

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
