"""Which caption a video has, told by its prefix alone, before a language model reads any.

A projector that begins with random weights says nothing that the language model could use, and each step through the language
model is dear. Telling captions apart in the space of its words needs no step of it (the idea of a first stage of representation
learning is that of BLIP-2, Li et al. 2023, arXiv:2301.12597).
"""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F

from ..pipelines.prompted_language import PromptedLanguage

SCALE = 12.0
"""What cosines are multiplied by."""


class CaptionContrast:
    """Captions as the mean of their words in a language model's table of embeddings, around the mean of all captions.

    Args:
        language: whose words they are.
        captions: all that videos are to be told by; equal ones count once.
    """

    def __init__(self, language: PromptedLanguage, captions: Iterable[str]):
        different = list(dict.fromkeys(captions))
        self._numbers = {caption: number for number, caption in enumerate(different)}
        means = torch.stack([language.mean_embedding(caption) for caption in different]).float()
        self._words = F.normalize(means - means.mean(dim=0), dim=-1)  # (N, hidden_size)

    def losses(self, prefixes: Sequence[torch.Tensor], captions: Sequence[str]) -> torch.Tensor:
        """Cross-entropy (B,), nats, of each prefix's (P_i, hidden_size) own caption among all."""
        seen = torch.stack([F.normalize(prefix.float().mean(dim=0), dim=-1) for prefix in prefixes])
        own = torch.tensor([self._numbers[caption] for caption in captions], device=seen.device)
        return F.cross_entropy(SCALE * seen @ self._words.T, own, reduction="none")
