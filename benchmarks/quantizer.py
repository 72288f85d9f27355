"""What LaPQ costs within encoding, and its exact entropy loss against `vector-quantize-pytorch`'s LFQ.

pip install ".[benchmark]"
python benchmarks/quantizer.py
"""

import argparse
import time

import torch
from measuring import alternate, in_own_process, print_table
from models import small_model

from pyratok.modeling_pyratok.backbone import encode_features
from pyratok.modeling_pyratok.codebook_losses import entropy_loss

BITS = 16
TOKENS = (1024, 8192)
"""The larger number is what a batch of clips has; there LFQ needs over 14 GB, and a machine with less pages."""


@torch.no_grad()
def share_of_encode(repeats: int) -> list[list[str]]:
    """LaPQ against the encoder, small model, 33 x 128 x 128."""
    model = small_model()
    video = torch.rand(1, 33, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    features, _ = encode_features(model.backbone, video, None, 3)
    seconds = alternate(
        {
            "encode": lambda: model.encode(video, chunk_frames=None),
            "quantizer": lambda: model.pyramid(model.codebook, features, None, None, True).codes,
        },
        repeats,
    )
    share = seconds["quantizer"] / seconds["encode"]
    return [["small 33x128x128", f"{seconds['encode']:.4f}", f"{seconds['quantizer']:.4f}", f"{100 * share:.1f}%"]]


def _seconds_of_a_step(step) -> float:
    step()
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def our_entropy(tokens: int) -> float:
    """Forward and backward of the exact entropy loss, seconds."""
    logits = torch.randn(tokens, BITS, requires_grad=True)
    return _seconds_of_a_step(lambda: entropy_loss(logits, 1.0, 1.0).backward())


def lfq_entropy(tokens: int) -> float:
    """Forward and backward of LFQ in training mode, with its projections left out (dim = bits), seconds."""
    from vector_quantize_pytorch import LFQ

    quantizer = LFQ(dim=BITS, codebook_size=2**BITS, entropy_loss_weight=0.1, commitment_loss_weight=0.0).train()
    inputs = torch.randn(1, tokens, BITS, requires_grad=True)
    return _seconds_of_a_step(lambda: quantizer(inputs).entropy_aux_loss.backward())


def _time_and_memory(step, tokens: int) -> tuple[float, float]:
    """Seconds of a step, and by how much its peak memory exceeds that of the same step on 16 tokens (imports and all)."""
    _, baseline = in_own_process(step, 16)
    seconds, memory = in_own_process(step, tokens)
    return seconds, memory - baseline


def entropy_rows() -> list[list[str]]:
    """Two rows of the table for each number of tokens."""
    rows = []
    for tokens in TOKENS:
        (ours, our_memory), (theirs, their_memory) = (
            _time_and_memory(step, tokens) for step in (our_entropy, lfq_entropy)
        )
        rows += [
            [f"{tokens} tokens, ours, exact", f"{ours:.4f}", f"{our_memory:.0f}", "1", "1"],
            [
                f"{tokens} tokens, LFQ",
                f"{theirs:.4f}",
                f"{their_memory:.0f}",
                f"{theirs / ours:.0f}",
                f"{their_memory / our_memory:.0f}",
            ],
        ]
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    given = parser.parse_args()
    print_table("LaPQ within encoding", ["", "encode s", "of it LaPQ s", "share"], share_of_encode(given.repeats))
    title = f"entropy loss, forward and backward, d = {BITS}"
    columns = ["", "seconds", "peak MB over that of 16 tokens", "times the time", "times the memory"]
    print_table(title, columns, entropy_rows())


if __name__ == "__main__":
    main()
