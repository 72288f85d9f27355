"""Wide convolutions with 3 x 3 kernels in fewer multiplications, for inference on a CPU.

F(2 x 2, 3 x 3) of Lavin and Gray 2016 (arXiv:1509.09308): four outputs of a 3 x 3 filter from 16 products instead of 36. It is
taken over space, and the frames of the kernel are summed; the products are matrix products over all positions. Results differ
from the direct sum by rounding alone. In wide layers, whose direct convolution already runs at the processor's peak, fewer
multiplications are the only gain that is left.
"""

import torch
import torch.nn.functional as F

LEAST_CHANNELS = 128
"""In narrower layers the transforms, which only move memory, take as long as they save."""

LEAST_POSITIONS = 1500
"""Output positions from which the transform of the weights, done anew at each call, is worth it."""

STRIP_BYTES = 2**23
"""So much of transformed input is in work at a time. On the machine it was tried on, 4 to 16 MB do equally well."""

# The matrices of F(2, 3) are B^T = [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]] for the input,
# A^T = [[1, 1, 1, 0], [0, 1, -1, -1]] for the output, both written out below, and G for the filter.
_FILTER = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.0, 0.0, 1.0))


def winograd_pays(
    window: torch.Tensor, weight: torch.Tensor, stride: tuple[int, ...], padding: tuple[int, ...]
) -> bool:
    """Whether `winograd_convolution` computes this convolution, and faster than the direct one.

    Args:
        window: (B, C, T, H, W).
        weight: (O, C, kernel T, kernel H, kernel W).
        stride, padding: over (T, H, W).
    """
    positions = (window.shape[2] - weight.shape[2] + 1) * window.shape[3] * window.shape[4]
    return (
        tuple(weight.shape[3:]) == (3, 3)
        and tuple(stride) == (1, 1, 1)
        and tuple(padding) == (0, 1, 1)
        and min(weight.shape[:2]) >= LEAST_CHANNELS
        and weight.shape[1] == window.shape[1]
        and positions >= LEAST_POSITIONS
    )


def winograd_convolution(window: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """A convolution with stride 1, one zero around each frame and none in time.

    Args:
        window: (B, C, T, H, W), channels last.
        weight: (O, C, k, 3, 3).
        bias: (O,) or None.

    Returns:
        (B, O, T - k + 1, H, W), channels last.
    """
    batch, channels, frames, height, width = window.shape
    outputs, reach = weight.shape[0], weight.shape[2] - 1
    rows, columns = (height + 1) // 2, (width + 1) // 2  # of 2 x 2 outputs; odd sizes are rounded up
    kept = frames - reach
    filters = _transform_filters(weight)
    # Strips of rows, so that what is transformed stays in the processor's cache, in buffers that are used again.
    strip = min(max(STRIP_BYTES // (64 * frames * columns * max(channels, outputs)), 1), rows)
    half = window.new_empty(4, frames, strip, 2 * columns + 2, channels)
    tiles = window.new_empty(4, 4, frames, strip, columns, channels)
    products = window.new_empty(4, 4, kept, strip, columns, outputs)
    result = window.new_empty(batch, kept, 2 * rows, 2 * columns, outputs)
    padding = (0, 0, 1, 2 * columns + 1 - width, 1, 2 * rows + 1 - height)
    for clip, target in zip(window.permute(0, 2, 3, 4, 1), result, strict=True):  # (T, H, W, C)
        padded = F.pad(clip, padding)
        for start in range(0, rows, strip):
            first = 2 * min(start, rows - strip)  # the last strip lies partly over the one before it
            _transform_input(padded[:, first : first + 2 * strip + 2], half, tiles)
            _multiply(tiles, filters, products)
            _transform_output(products, bias, target[:, first : first + 2 * strip])
    return result[:, :, :height, :width].permute(0, 4, 1, 2, 3)


def _transform_filters(weight: torch.Tensor) -> torch.Tensor:
    """(O, C, k, 3, 3) -> (16, k, C, O): G g G^T of every filter g."""
    outputs, channels, reach = weight.shape[:3]
    one = torch.tensor(_FILTER, dtype=weight.dtype, device=weight.device)
    both = torch.kron(one, one)  # (16, 9)
    taps = weight.permute(2, 0, 1, 3, 4).reshape(-1, 9)  # (k O C, 9)
    return (both @ taps.T).view(16, reach, outputs, channels).transpose(2, 3)


def _transform_input(padded: torch.Tensor, half: torch.Tensor, tiles: torch.Tensor) -> None:
    """B^T d B of every 4 x 4 tile d, which overlap by two.

    Args:
        padded: (T, 2 rows + 2, 2 columns + 2, C).
        half: (4, T, rows, 2 columns + 2, C), is overwritten.
        tiles: (4, 4, T, rows, columns, C), gets the result.
    """
    rows, columns = tiles.shape[3:5]
    _combine_input([padded[:, i : i + 2 * rows : 2] for i in range(4)], half)
    _combine_input([half[..., i : i + 2 * columns : 2, :] for i in range(4)], tiles.transpose(0, 1))


def _combine_input(d: list[torch.Tensor], out: torch.Tensor) -> None:
    """Apply B^T to four slices; `out` has the result's four in front."""
    torch.sub(d[0], d[2], out=out[0])
    torch.add(d[1], d[2], out=out[1])
    torch.sub(d[2], d[1], out=out[2])
    torch.sub(d[1], d[3], out=out[3])


def _multiply(tiles: torch.Tensor, filters: torch.Tensor, products: torch.Tensor) -> None:
    """(4, 4, T, rows, columns, C) and filters (16, k, C, O) -> `products` (4, 4, T - k + 1, rows, columns, O)."""
    frames = products.shape[2]
    out = products.view(16, -1, products.shape[-1])
    for frame in range(filters.shape[1]):
        part = tiles[:, :, frame : frame + frames].flatten(0, 1).flatten(1, 3)
        if frame:
            out.baddbmm_(part, filters[:, frame])
        else:
            torch.bmm(part, filters[:, frame], out=out)


def _transform_output(products: torch.Tensor, bias: torch.Tensor | None, target: torch.Tensor) -> None:
    """A^T m A of every tile and the bias; `products` (4, 4, T, rows, columns, O) is overwritten, `target` is (T, H, W, O)."""
    m0, m1, m2, m3 = products
    upper, lower = m0.add_(m1).add_(m2), m1.sub_(m2).sub_(m3)
    for row, (m0, m1, m2, m3) in enumerate((upper, lower)):
        if bias is not None:
            m1.add_(bias)  # both columns of the result hold it once
        torch.add(m0.add_(m1), m2, out=target[:, row::2, 0::2])
        torch.sub(m1.sub_(m2), m3, out=target[:, row::2, 1::2])
