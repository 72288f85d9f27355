"""Peak memory of `encode_stream` and `decode_stream`: 1,000 frames of 256 x 144 against 100.

python benchmarks/memory.py
"""

import torch
from measuring import in_own_process, print_table
from models import small_model


def encode(frames: int) -> int:
    """Tokens of a stream of random frames; none of them is kept."""
    model, generator = small_model(), torch.Generator().manual_seed(0)
    stream = (torch.rand(3, 144, 256, generator=generator) * 2 - 1 for _ in range(frames))
    return sum(sum(codes.numel() for codes in piece.video_codes) for piece in model.encode_stream(stream))


def encode_and_decode(frames: int) -> int:
    """The same with decoding behind it; the frames that come out are counted and dropped."""
    model, generator = small_model(), torch.Generator().manual_seed(0)
    stream = (torch.rand(3, 144, 256, generator=generator) * 2 - 1 for _ in range(frames))
    return sum(piece.shape[0] for piece in model.decode_stream(model.encode_stream(stream)))


def main() -> None:
    """Measure and print."""
    rows = []
    for name, function in (("encode_stream", encode), ("encode_stream and decode_stream", encode_and_decode)):
        _, few = in_own_process(function, 100)
        _, many = in_own_process(function, 1000)
        rows.append([name, f"{few:.0f}", f"{many:.0f}", f"{many / few:.3f}"])
    print_table("peak MB over the imports", ["", "100 frames", "1,000 frames", "ratio"], rows)


if __name__ == "__main__":
    main()
