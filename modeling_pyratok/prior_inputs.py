"""What the prior's body is given at each position: the token before, and all that is known about the token to come.

Beside its own past, which attention finds, every position is told the place of the token that it predicts and the tokens that
already stand around that place (above, one frame before, on the coarser levels). A small body then need not learn geometry.
"""

import math

import torch
from torch import nn

from ..configuration.configuration_prior import PyraTokPriorConfig
from .prior_layout import NONE, PriorLayout

PERIODS = 8
"""Of sines and cosines per axis: from 8 frames or 16 pixels up, each twice the one before."""

SHORTEST = (8.0, 16.0, 16.0)
"""(frames, pixels, pixels)."""

PLACE_FEATURES = 3 * 2 * PERIODS + 2


def place_features(place: torch.Tensor, height: float, width: float) -> torch.Tensor:
    """(N, 3) in frames and pixels -> (N, PLACE_FEATURES): absolute, and relative to the middle of the frame."""
    periods = torch.tensor(SHORTEST, device=place.device)[:, None] * 2 ** torch.arange(PERIODS, device=place.device)
    angles = (2 * math.pi * place[:, :, None] / periods).flatten(1)  # (N, 3 * PERIODS)
    relative = place[:, 1:] / torch.tensor([height, width], device=place.device) * 2 - 1
    return torch.cat([angles.sin(), angles.cos(), relative], dim=1)


class SequencePositions:
    """Which position holds which token, and which token it predicts, in `<SOI> level <Q-SEP> level ...`.

    token: (P,), the token that stands at each position, -1 for a separator. target: (P,), the token that is predicted there, -1
    for the last token of a level, after which a separator is certain. The last token of all is no input, so P = N + L - 1.
    """

    def __init__(self, layout: PriorLayout):
        device = layout.level.device
        token, target = [], []
        for start, end in layout.bounds:
            count = torch.arange(start, end, device=device)
            token += [torch.tensor([-1], device=device), count]
            target += [count, torch.tensor([-1], device=device)]
        self.token, self.target = torch.cat(token)[:-1], torch.cat(target)[:-1]

    def __len__(self) -> int:
        return len(self.token)


class PriorInputs(nn.Module):
    """Embedded tokens and their layout -> inputs of the body."""

    def __init__(self, config: PyraTokPriorConfig, hidden_size: int):
        super().__init__()
        width = config.codebook_size
        self.from_token = nn.Linear(width, hidden_size)
        self.from_neighbours = nn.Linear((2 + config.num_levels) * width, hidden_size, bias=False)
        self.from_place = nn.Linear(PLACE_FEATURES, hidden_size)
        self.level = nn.Embedding(config.num_levels, hidden_size)
        self.separators = nn.Embedding(2, hidden_size)  # SOI, Q-SEP

    def forward(
        self,
        embedded: torch.Tensor,
        layout: PriorLayout,
        positions: SequencePositions,
        start: int = 0,
        end: int | None = None,
    ) -> torch.Tensor:
        """Inputs at the positions start .. end.

        Args:
            embedded: (B, N, codebook_size), the tokens through the shared codebook projection; those that stand at `end` or
                later make no difference.

        Returns (B, end - start, hidden).
        """
        token, target = positions.token[start:end], positions.target[start:end]
        stands = self.from_token(embedded[:, token.clamp_min(0)])
        separator = self.separators((torch.arange(start, start + len(token), device=token.device) > 0).long())
        inputs = torch.where((token < 0)[:, None], separator, stands)
        return inputs + torch.where((target < 0)[:, None], 0.0, self._about(embedded, layout, target.clamp_min(0)))

    def _about(self, embedded: torch.Tensor, layout: PriorLayout, target: torch.Tensor) -> torch.Tensor:
        """What is known about tokens (n,) to come: (B, n, hidden)."""
        _, height, width = layout.extent
        place = place_features(layout.place[target], height, width).to(embedded.dtype)
        known = self.from_place(place) + self.level(layout.level[target])
        neighbours = layout.neighbours[target]  # (n, K)
        around = embedded[:, neighbours.clamp_min(0)]  # (B, n, K, codebook_size)
        around = torch.where((neighbours == NONE)[..., None], 0.0, around)
        return known + self.from_neighbours(around.flatten(2))
