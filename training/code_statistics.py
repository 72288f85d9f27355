"""How the codes of each level are used: counts gathered over some steps or clips, and what they say."""

from collections.abc import Callable, Mapping, Sequence

import torch


class CodeStatistics:
    """Counts of every code of every level since the last `summary`."""

    def __init__(self, codebook_bits: int):
        self._bits = codebook_bits
        self._counts: dict[int, torch.Tensor] = {}

    def add(self, video_codes: Sequence[torch.Tensor | None]) -> None:
        """Count the codes of a batch: per level (B, T_l, H_l, W_l) with values in [0, 2**codebook_bits), or None."""
        for level, codes in enumerate(video_codes, start=1):
            if codes is not None:
                counts = torch.bincount(codes.detach().flatten(), minlength=2**self._bits)  # (2**bits,)
                self._counts[level] = self._counts.get(level, 0) + counts

    def state_dict(self) -> dict[str, list[int]]:
        """The counts so far, by level, as JSON can hold them."""
        return {str(level): counts.tolist() for level, counts in self._counts.items()}

    def load_state_dict(self, state: Mapping[str, list[int]], device: torch.device) -> None:
        """Go on from the counts of a `state_dict`, on the device where codes are counted."""
        self._counts = {int(level): torch.tensor(counts, device=device) for level, counts in state.items()}

    def sum_over_processes(self, total: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Put in place of every level's counts their sum over processes, which `total` gives."""
        self._counts = {level: total(counts) for level, counts in sorted(self._counts.items())}

    def summary(self) -> dict[str, float]:
        """Per level, over everything added, and forget it:

        `code_use_l`: codes that occurred, as a share of all codes, or of the tokens if these are fewer;
        `code_entropy_l`: entropy of the codes in bits (at most `codebook_bits`, and at most log2 of the tokens);
        `bit_balance_l`: mean over the bits of 2 min(p, 1 - p) with p the share of ones: 1 is even, 0 is constant;
        `constant_bits_l`: bits that never changed.
        """
        values: dict[str, float] = {}
        for level, counts in sorted(self._counts.items()):
            total = int(counts.sum())
            present = counts[counts > 0].double() / total
            ids = torch.arange(2**self._bits, device=counts.device)
            ones = torch.stack([counts[(ids >> bit) & 1 == 1].sum() for bit in range(self._bits)]) / total  # (bits,)
            values[f"code_use_{level}"] = len(present) / min(total, 2**self._bits)
            values[f"code_entropy_{level}"] = float(-(present * present.log2()).sum())
            values[f"bit_balance_{level}"] = float((2 * torch.minimum(ones, 1 - ones)).mean())
            values[f"constant_bits_{level}"] = float(((ones == 0) | (ones == 1)).sum())
        self._counts.clear()
        return values
