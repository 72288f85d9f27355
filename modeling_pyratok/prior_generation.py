"""Drawing tokens from the prior, one after the other, with a key-value cache."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache

from .bit_group_head import CodeChoice
from .prior import PyraTokPrior, count_positions
from .prior_inputs import SequencePositions
from .prior_layout import PriorLayout

Codes = tuple[torch.Tensor | None, ...]

PLAIN = CodeChoice()
"""Exactly what the prior says."""


@dataclass(frozen=True)
class GenerationRequest:
    """What to draw.

    video_size: true (T, H, W). batch: how many videos. text_embeds, text_mask: (B, S, text_hidden_size) and (B, S), or None.
    known: per level the codes (B, t, H_l, W_l) of the first t frames of tokens, t from 0 up, which are kept; or None.
    use_cache: without it every token costs a pass over all before it, with the same result.
    """

    video_size: Sequence[int]
    batch: int = 1
    text_embeds: torch.Tensor | None = None
    text_mask: torch.Tensor | None = None
    known: Sequence[torch.Tensor | None] | None = None
    use_cache: bool = True


@torch.no_grad()
def generate_codes(
    prior: PyraTokPrior,
    request: GenerationRequest,
    choice: CodeChoice = PLAIN,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    on_level: Callable[[int, Codes], None] | None = None,
    progress: Callable[[Iterable[int], int], Iterable[int]] | None = None,
) -> Codes:
    """Draw the tokens of videos; per level (B, T_l, H_l, W_l), None for a level that the prior does not predict.

    Args:
        prior: in evaluation mode.
        request: what to draw.
        choice: temperature, truncation, guidance.
        generator: one for all videos, or one for each: then a video does not depend on those beside it.
        on_level: called after each level with its number and the codes so far, None for levels that are still to come.
        progress: goes through an iterable of given length and shows how far it is.

    Raises ValueError for known codes, text or generators that do not fit.
    """
    hook = getattr(prior, "_hf_hook", None)
    if (
        hook is not None
    ):  # of a pipeline that offloads: it moves the model when `forward` is called, which is not called here
        hook.pre_forward(prior)
    layout = prior.layout(request.video_size)
    run = _Run(prior, layout, request, choice)
    uniform = _Uniform(generator, request.batch, len(prior.head.starts), prior.device)
    last_of = {end - 1: level for level, (_, end) in zip(layout.order, layout.bounds, strict=True)}
    tokens: Iterable[int] = range(len(layout.level))
    for token in tokens if progress is None else progress(tokens, len(layout.level)):
        if not run.is_known[token]:
            run.draw(token, uniform.next())
        if token in last_of and on_level is not None:
            on_level(last_of[token], run.codes_until(token + 1))
    return run.codes_until(len(layout.level))


class _Run:
    """The tokens so far, and how far the body has read."""

    def __init__(self, prior: PyraTokPrior, layout: PriorLayout, request: GenerationRequest, choice: CodeChoice):
        self.prior, self.layout, self.choice, self.use_cache = prior, layout, choice, request.use_cache
        self.positions = SequencePositions(layout)
        prior.check_length(len(self.positions) + (1 if request.text_embeds is None else request.text_embeds.shape[1]))
        self.position_of = {int(target): at for at, target in enumerate(self.positions.target) if target >= 0}
        self.codes, self.is_known = _known_tokens(layout, request, prior.config.num_levels, prior.device)
        given = (None if part is None else part.to(prior.device) for part in (request.text_embeds, request.text_mask))
        text, mask = prior.text_prefix(*given, request.batch)
        self.is_guided = choice.guidance_scale != 1.0 and request.text_embeds is not None
        if self.is_guided:
            free, free_mask = prior.text_prefix(None, None, request.batch)
            free = torch.cat([free, torch.zeros_like(text[:, 1:])], dim=1)
            text = torch.cat([text, free])
            mask = torch.cat([mask, torch.cat([free_mask, torch.zeros_like(mask[:, 1:])], dim=1)])
        self.text, self.mask = text, mask
        self.embedded = prior.codebook.embed_codes(self.codes)  # (B, N, codebook_size); read only where a token stands
        self.cache, self.read = DynamicCache(config=prior.body.config), 0

    def draw(self, token: int, uniform: torch.Tensor) -> None:
        """Read up to the position that predicts the token, and draw it. uniform: (B, groups)."""
        hidden = self._last_hidden(self.position_of[token] + 1)
        without_text = None
        if self.is_guided:
            hidden, without_text = hidden.chunk(2)
        self.codes[:, token] = self.prior.head.draw(hidden, uniform, self.choice, without_text)
        self.embedded[:, token] = self.prior.codebook.embed_codes(self.codes[:, token])

    def _last_hidden(self, end: int) -> torch.Tensor:
        """The body's state (B, hidden) at the position before `end`; reads what it has not read."""
        start = self.read if self.use_cache else 0
        inputs = self.prior.inputs(self.embedded, self.layout, self.positions, start, end)
        if self.is_guided:
            inputs = torch.cat([inputs, inputs])
        mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), end)], dim=1)
        places = count_positions(mask)
        if start == 0:
            inputs = torch.cat([self.text, inputs], dim=1)
        output = self.prior.body(
            inputs_embeds=inputs,
            attention_mask=None if self.mask.all() else mask.long(),
            position_ids=places[:, -inputs.shape[1] :],
            past_key_values=self.cache if self.use_cache else None,
            use_cache=self.use_cache,
        )
        self.read = end
        return output.last_hidden_state[:, -1]

    def codes_until(self, end: int) -> Codes:
        """The codes of the levels that are complete before token `end`."""
        found: list[torch.Tensor | None] = [None] * self.prior.config.num_levels
        layout = self.layout
        for level, grid, (start, stop) in zip(layout.order, layout.grids, layout.bounds, strict=True):
            if stop <= end:
                found[level - 1] = self.codes[:, start:stop].unflatten(1, grid).clone()
        return tuple(found)


class _Uniform:
    """Random numbers in [0, 1), (B, groups) at a time, from one generator or from one for each video."""

    def __init__(
        self,
        generator: torch.Generator | Sequence[torch.Generator] | None,
        batch: int,
        groups: int,
        device: torch.device,
    ):
        self.generators = list(generator) if isinstance(generator, list | tuple) else [generator]
        self.is_shared = not isinstance(generator, list | tuple)
        if not self.is_shared and len(self.generators) != batch:
            raise ValueError(f"give one generator, or one for each of {batch} videos; got {len(self.generators)}")
        self.rows, self.groups, self.device = batch if self.is_shared else 1, groups, device

    def next(self) -> torch.Tensor:
        # On the generator's own device, so that a seed means the same wherever the model is.
        drawn = [
            torch.rand(self.rows, self.groups, generator=one, device=None if one is None else one.device)
            for one in self.generators
        ]
        return torch.cat(drawn).to(self.device)


def _known_tokens(
    layout: PriorLayout, request: GenerationRequest, num_levels: int, device: torch.device
) -> tuple[torch.Tensor, list[bool]]:
    """Codes (B, N) with the known ones in place, and which are known."""
    codes = torch.zeros(request.batch, len(layout.level), dtype=torch.int64, device=device)
    is_known = [False] * len(layout.level)
    if request.known is None:
        return codes, is_known
    if len(request.known) != num_levels:
        raise ValueError(f"known needs one entry per level, {num_levels}, got {len(request.known)}")
    for level, grid, (start, _) in zip(layout.order, layout.grids, layout.bounds, strict=True):
        given = request.known[level - 1]
        if given is None:
            continue
        frames = given.shape[1] if given.dim() == 4 else -1
        if tuple(given.shape) != (request.batch, frames, *grid[1:]) or frames > grid[0]:
            raise ValueError(
                f"the known codes of level {level} must be ({request.batch}, at most {grid[0]}, {grid[1]}, {grid[2]}), got "
                f"{tuple(given.shape)}"
            )
        count = frames * grid[1] * grid[2]
        codes[:, start : start + count] = given.flatten(1).to(device)
        is_known[start : start + count] = [True] * count
    return codes, is_known
