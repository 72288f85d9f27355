"""The learned embedding that stands where there is no text."""

import torch


def with_null_text(
    text: torch.Tensor, mask: torch.Tensor, null_text: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples whose caption is empty (a mask of zeros) get the null embedding in its first place.

    Args:
        text: (B, S, width). mask: (B, S), nonzero where there is text. null_text: (width,).

    Returns the same, the mask as bool.
    """
    mask = mask.bool()
    empty = ~mask.any(dim=1)  # (B,)
    first = torch.where(empty[:, None], null_text.to(text.dtype), text[:, 0])
    text = torch.cat([first[:, None], text[:, 1:]], dim=1)
    return text, torch.cat([mask[:, :1] | empty[:, None], mask[:, 1:]], dim=1)
