"""PyraTokPrior: the autoregressive model over the token hierarchy, for alignment (L_AR), likelihoods and generation."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from ..configuration.configuration_prior import PyraTokPriorConfig
from ..configuration.remote_code import SharesCode
from .binary_codebook import BinaryCodebook, bits_to_codes, codes_to_bits
from .bit_group_head import BitGroupHead
from .input_checks import check_codes, check_text
from .null_text import with_null_text
from .prior_inputs import PriorInputs, SequencePositions
from .prior_layout import PriorLayout, prior_layout
from .safe_weights import SafeWeights
from .shares_card import SharesCard
from .token_grids import level_grids
from .weight_initialization import initialize_module

NOT_OF_THE_BODY = frozenset(
    ("_name_or_path", "architectures", "dtype", "transformers_version", "vocab_size", "pad_token_id", "bos_token_id")
)
"""What a body's configuration says beside its shape: of words, and of where it came from."""

NATS_PER_BIT = 0.6931471805599453


@dataclass
class PyraTokPriorOutput(ModelOutput):
    """What `PyraTokPrior.forward` returns.

    Args:
        loss (`torch.FloatTensor`): L_AR, in nats per token: the mean over all tokens of -log p(token | tokens before, text).
        log_probabilities (`tuple[torch.FloatTensor]`): per level (B, T_l, H_l, W_l), in nats; None for a level that the prior
            does not predict.
    """

    loss: torch.Tensor | None = None
    log_probabilities: tuple[torch.Tensor | None, ...] | None = None


class PyraTokPrior(SafeWeights, SharesCard, SharesCode, PreTrainedModel):
    """p(tokens | text), token by token: `text <SOI> level <Q-SEP> level ...`, in the order of `config.level_order`.

    Tokens enter as their bits, through a projection that all levels share (in training that of the tokenizer, see
    `share_codebook`), and leave through a head over groups of bits: no table has a row per code. The body is any causal
    language model of transformers.
    """

    config_class = PyraTokPriorConfig
    base_model_prefix = "prior"
    main_input_name = "video_codes"
    input_modalities = ("video",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    def __init__(self, config: PyraTokPriorConfig):
        super().__init__(config)
        self.body = AutoModel.from_config(config.make_body_config())
        hidden_size = self.body.config.hidden_size
        self.codebook = BinaryCodebook(config.codebook_bits, config.codebook_size)
        self.inputs = PriorInputs(config, hidden_size)
        self.from_text = nn.Linear(config.text_hidden_size, hidden_size)
        self.null_text = nn.Parameter(torch.zeros(1, config.text_hidden_size))
        self.head = BitGroupHead(hidden_size, config.codebook_bits, config.group_bits, config.head_size)
        self.post_init()

    @classmethod
    def from_body(cls, body: PreTrainedModel | str | os.PathLike, **config: Any) -> "PyraTokPrior":
        """A new prior whose body starts as a pretrained language model; only its table of words is left out.

        Args:
            body: a transformers model, with or without a head for words, a folder or a Hub id; of a multimodal one the text
                model is taken.
            config: settings of `PyraTokPriorConfig` other than `body_config`.

        Raises:
            ValueError: if the configuration does not fit, or a weight of the body finds no place.
        """
        if not isinstance(body, PreTrainedModel):
            text_config = AutoConfig.from_pretrained(body).get_text_config()
            name, (body, loading) = body, AutoModel.from_pretrained(body, config=text_config, output_loading_info=True)
            if missing := sorted(loading["missing_keys"]):
                raise ValueError(f"the body {str(name)!r} is not complete: it lacks {', '.join(missing[:3])}")
        body = body.get_decoder()
        settings = {name: value for name, value in body.config.to_dict().items() if name not in NOT_OF_THE_BODY}
        prior = cls(PyraTokPriorConfig(body_config=settings, **config)).to(body.device, body.dtype)
        words = body.get_input_embeddings().weight
        table = next(name for name, weight in body.named_parameters() if weight is words)
        weights = {name: value for name, value in body.state_dict().items() if name != table}
        report = prior.body.load_state_dict(weights, strict=False)
        if report.unexpected_keys or set(report.missing_keys) != {table}:
            lost = [*report.unexpected_keys, *sorted(set(report.missing_keys) - {table})]
            raise ValueError(f"the body {type(body).__name__} does not fit: {', '.join(lost[:3])} find no place")
        prior.check_causal()
        return prior.eval()

    @torch.no_grad()
    def check_causal(self) -> None:
        """Raises ValueError if the body lets a position see later ones, as a model for masked words does."""
        was_training, weight = self.body.training, self.from_text.weight
        inputs = torch.randn(1, 4, weight.shape[0], generator=torch.Generator().manual_seed(0)).to(weight)
        self.body.eval()
        one, other = (
            self.body(inputs_embeds=given, use_cache=False).last_hidden_state[:, :3]
            for given in (inputs, torch.cat([inputs[:, :3], -inputs[:, 3:]], dim=1))
        )
        self.body.train(was_training)
        if not torch.allclose(one, other, atol=1e-6 * float(one.abs().max())):
            raise ValueError(
                f"the body {type(self.body).__name__} sees tokens that are still to come; take a causal language model"
            )

    def _init_weights(self, module: nn.Module) -> None:
        if module is self:
            init.normal_(self.null_text, std=0.02)
        else:
            initialize_module(module)

    def share_codebook(self, codebook: BinaryCodebook) -> None:
        """Take a tokenizer's codebook projection in the place of the own one: what one learns, the other has."""
        codebook.check_can_replace(self.codebook, "prior")
        self.codebook = codebook

    def layout(self, video_size: Sequence[int]) -> PriorLayout:
        """Where the tokens of a video of true size (T, H, W) stand."""
        strides = self.config.level_strides
        grids = level_grids(video_size, strides, self.config.spatial_multiple)
        return prior_layout(grids, strides, tuple(self.config.level_order)).to(self.device)

    def forward(
        self,
        video_codes: Sequence[torch.Tensor | None] | None = None,
        video_size: Sequence[int] | None = None,
        text_embeds: torch.Tensor | None = None,
        text_mask: torch.Tensor | None = None,
        video_bits: Sequence[torch.Tensor | None] | None = None,
    ) -> PyraTokPriorOutput:
        """Log-probabilities of all tokens, each given those before it and the text.

        Args:
            video_codes: per level (B, T_l, H_l, W_l), int64; entries of levels that the prior does not predict may be None.
            video_size: true (T, H, W).
            text_embeds: (B, S, text_hidden_size), or None for no text.
            text_mask: (B, S), nonzero where there is text; a sample without any has the null text.
            video_bits: instead of codes, their bits (B, T_l, H_l, W_l, d) with a straight-through gradient: the loss then
                reaches the tokenizer through the inputs. As targets they are constant (else collapse would pay).

        Raises ValueError for codes or text that do not fit.
        """
        if (video_codes is None) == (video_bits is None) or video_size is None:
            raise ValueError("give video_size, and one of video_codes and video_bits")
        layout = self.layout(video_size)
        bits = self._flat_bits(video_codes, video_bits, layout)  # (B, N, d)
        codes = bits_to_codes(bits.detach())
        hidden = self._hidden_states(self.codebook(bits), layout, text_embeds, text_mask)
        found = self.head.log_probability(hidden.flatten(0, 1), codes.flatten()).view(codes.shape)
        levels: list[torch.Tensor | None] = [None] * self.config.num_levels
        for level, grid, (start, end) in zip(layout.order, layout.grids, layout.bounds, strict=True):
            levels[level - 1] = found[:, start:end].unflatten(1, grid)
        return PyraTokPriorOutput(loss=-found.mean(), log_probabilities=tuple(levels))

    @torch.no_grad()
    def score(
        self,
        video_codes: Sequence[torch.Tensor | None],
        video_size: Sequence[int],
        text_embeds: torch.Tensor | None = None,
        text_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor | None, ...]:
        """Bits per token of each level, (B,) each: -log2 of the probability, the mean over the level's tokens.

        What an ideal entropy coder would spend; 16 is what a token file spends. Unlikely videos score high. Arguments as in
        `forward`; None for a level that the prior does not predict.
        """
        found = self(video_codes, video_size, text_embeds, text_mask).log_probabilities
        return tuple(None if level is None else -level.flatten(1).mean(1) / NATS_PER_BIT for level in found)

    def text_prefix(
        self, text_embeds: torch.Tensor | None, text_mask: torch.Tensor | None, batch: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs of the body (B, S, hidden) and their mask (B, S) for the text, or for none."""
        check_text(text_embeds, text_mask, batch, self.config.text_hidden_size)
        if text_embeds is None:
            text_embeds = self.null_text.expand(batch, 1, -1)
        mask = torch.ones(text_embeds.shape[:2], dtype=torch.bool, device=text_embeds.device)
        if text_mask is not None:
            text_embeds, mask = with_null_text(text_embeds, text_mask, self.null_text[0])
        return self.from_text(text_embeds.to(self.from_text.weight.dtype)), mask

    def _hidden_states(
        self,
        embedded: torch.Tensor,
        layout: PriorLayout,
        text_embeds: torch.Tensor | None,
        text_mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """What the head predicts each token from, (B, N, hidden), in one pass. embedded: (B, N, codebook_size)."""
        positions = SequencePositions(layout)
        text, mask = self.text_prefix(text_embeds, text_mask, len(embedded))
        inputs = torch.cat([text, self.inputs(embedded, layout, positions)], dim=1)
        mask = torch.cat([mask, mask.new_ones(len(embedded), len(positions))], dim=1)
        self.check_length(mask.shape[1])
        states = self.body(
            inputs_embeds=inputs, attention_mask=mask.long(), position_ids=count_positions(mask), use_cache=False
        ).last_hidden_state
        return states[:, text.shape[1] :][:, positions.target >= 0]

    def check_length(self, length: int) -> None:
        """Raises ValueError if the body has learned positions, and fewer than a sequence of this length needs."""
        known = getattr(self.body.config, "max_position_embeddings", None)
        if known is not None and length > known and not hasattr(self.body, "rotary_emb"):
            raise ValueError(
                f"the text and the tokens are {length:,} long, but the body knows {known:,} positions alone"
            )

    def _flat_bits(
        self,
        codes: Sequence[torch.Tensor | None] | None,
        bits: Sequence[torch.Tensor | None] | None,
        layout: PriorLayout,
    ) -> torch.Tensor:
        """The bits of all tokens in the order of prediction, (B, N, d), -1 or +1."""
        config = self.config
        given = codes if bits is None else bits
        if len(given) != config.num_levels or any(given[level - 1] is None for level in layout.order):
            raise ValueError(
                f"the prior predicts the levels {', '.join(map(str, layout.order))} of {config.num_levels}; give one entry per "
                "level, with tensors for these"
            )
        if bits is None:
            grids = [()] * config.num_levels
            for level, grid in zip(layout.order, layout.grids, strict=True):
                grids[level - 1] = grid
            check_codes(codes, layout.order, grids, config.codebook_bits)
            dtype = self.codebook.projection.weight.dtype
            bits = [None if level is None else codes_to_bits(level, config.codebook_bits, dtype) for level in codes]
        return torch.cat([bits[level - 1].flatten(1, 3) for level in layout.order], dim=1)


def count_positions(mask: torch.Tensor) -> torch.Tensor:
    """Position ids (B, n) that count what the mask (B, n) lets through, so that padding makes no difference."""
    return (mask.long().cumsum(dim=1) - 1).clamp_min(0)
