"""Captions to embeddings, with any frozen text model of transformers."""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

MAX_TEXT_TOKENS = 77
"""Captions are cut to so many tokens by default; the paper's have about 60."""

CACHED_TEXTS = 4096


@dataclass(frozen=True)
class EncodedText:
    """Embeddings (B, S, text_hidden_size) and mask (B, S), True where there is text; a sample without text has none."""

    embeds: torch.Tensor
    mask: torch.Tensor

    def pooled(self) -> torch.Tensor:
        """The mean over a text's tokens, (B, text_hidden_size), float32, zero without text."""
        weights = self.mask.float()[..., None]
        return (self.embeds.float() * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1)


class TextEncoder:
    """A frozen text model and its tokenizer; embeddings of texts seen before come from memory.

    Args:
        model: any transformers model that gives `last_hidden_state` for `input_ids`; it is used in evaluation mode.
        tokenizer: its tokenizer.
        max_tokens: longer texts are cut, which is logged.
        pad_to_max: give all batches the length `max_tokens`, for a compiled model: it is compiled anew for every length.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        max_tokens: int = MAX_TEXT_TOKENS,
        pad_to_max: bool = False,
    ):
        self.model, self.tokenizer = model.eval(), tokenizer
        self.max_tokens, self.pad_to_max = max_tokens, pad_to_max
        self._seen: OrderedDict[str, torch.Tensor] = OrderedDict()

    @property
    def hidden_size(self) -> int:
        """Width of the embeddings."""
        return self.model.config.get_text_config().hidden_size

    @torch.no_grad()
    def __call__(self, texts: Sequence[str | None]) -> EncodedText:
        """Embed texts; None, and a text of spaces, have no tokens. Raises TypeError for anything else."""
        for text in texts:
            if text is not None and not isinstance(text, str):
                raise TypeError(f"a caption is a string or None, got {type(text).__name__}")
        cleaned = [" ".join((text or "").split()) for text in texts]
        for text in dict.fromkeys(cleaned):
            if text and text not in self._seen:
                self._seen[text] = self._embed(text)
        found = [self._seen[text] if text else None for text in cleaned]
        length = max([len(tokens) for tokens in found if tokens is not None], default=1)
        length = self.max_tokens if self.pad_to_max else length
        device, dtype = self.model.device, self.model.dtype
        embeds = torch.zeros(len(texts), length, self.hidden_size, device=device, dtype=dtype)
        mask = torch.zeros(len(texts), length, dtype=torch.bool, device=device)
        for row, tokens in enumerate(found):
            if tokens is not None:
                embeds[row, : len(tokens)] = tokens.to(device, dtype)
                mask[row, : len(tokens)] = True
        while len(self._seen) > CACHED_TEXTS:
            self._seen.popitem(last=False)
        return EncodedText(embeds, mask)

    def _embed(self, text: str) -> torch.Tensor:
        """The tokens of one text, (S, hidden). Alone, so that padding cannot make a difference."""
        ids = self.tokenizer(text, truncation=False)["input_ids"]
        if len(ids) > self.max_tokens:
            logger.warning("a text of %d tokens is cut to %d: %.60s ...", len(ids), self.max_tokens, text)
            ids = self.tokenizer(text, truncation=True, max_length=self.max_tokens)["input_ids"]
        inputs = torch.tensor([ids], device=self.model.device)
        # The same numbers wherever it is called from: training has an autocast of its own.
        with torch.autocast(inputs.device.type, enabled=False):
            return self.model(input_ids=inputs, attention_mask=torch.ones_like(inputs)).last_hidden_state[0]
