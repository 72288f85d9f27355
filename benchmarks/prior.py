"""Drawing tokens with a key-value cache against drawing them without one: the same tokens, and how much faster.

    python benchmarks/prior.py [--tokens 1000]

The prior has the size of the default one and random weights; the time does not depend on them.
"""

import argparse
import time

import torch
from measuring import print_table

from pyratok import PyraTokPrior, PyraTokPriorConfig
from pyratok.modeling_pyratok.prior_generation import GenerationRequest, generate_codes

SIDE = 64


def frames_for(prior: PyraTokPrior, tokens: int) -> int:
    """The fewest frames of SIDE x SIDE pixels that have so many tokens."""
    frames = 1
    while len(prior.layout((frames, SIDE, SIDE)).level) < tokens:
        frames += 4
    return frames


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=1000)
    given = parser.parse_args()
    torch.manual_seed(0)
    prior = PyraTokPrior(PyraTokPriorConfig()).eval()
    size = (frames_for(prior, given.tokens), SIDE, SIDE)
    text = torch.randn(1, 16, prior.config.text_hidden_size)
    seconds, drawn = {}, {}
    for use_cache in (True, False):
        request = GenerationRequest(size, 1, text, use_cache=use_cache)
        started = time.perf_counter()
        drawn[use_cache] = generate_codes(prior, request, generator=torch.Generator().manual_seed(0))
        seconds[use_cache] = time.perf_counter() - started
    count = sum(level.numel() for level in drawn[True])
    same = all(torch.equal(*pair) for pair in zip(drawn[True], drawn[False], strict=True))
    rows = [
        ["with cache", f"{seconds[True]:.1f} s", f"{count / seconds[True]:.0f}", "1"],
        [
            "without",
            f"{seconds[False]:.1f} s",
            f"{count / seconds[False]:.1f}",
            f"{seconds[False] / seconds[True]:.1f}",
        ],
    ]
    title = f"{count:,} tokens of {' x '.join(map(str, size))}; the tokens are {'the same' if same else 'DIFFERENT'}"
    print_table(title, ["", "time", "tokens per second", "times the time"], rows)


if __name__ == "__main__":
    main()
