"""The terms of the reconstruction loss that need no pretrained network."""

import torch
import torch.nn.functional as F

SSIM_WINDOW = 7
SSIM_STRIDE = 2

LEAST_SQUARED_ERROR = 1e-5
"""In [0, 1]: what is added to a clip's mean squared error, so that a black clip does not outweigh all others (50 dB)."""


def log_l2_loss(reconstruction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Minus the PSNR in dB, the mean over clips: what tables report (as a loss in NAFNet, arXiv 2204.04676).

    A clip's gradient is that of its mean squared error divided by this error, so easy clips, and clips that are decoded from
    few levels, count as much as any other.

    Args:
        reconstruction, target: (B, T, C, H, W) in [-1, 1].
    """
    errors = ((reconstruction.float() - target.float()) / 2).square().mean(dim=(1, 2, 3, 4))  # (B,)
    return 10 * (errors + LEAST_SQUARED_ERROR).log10().mean()


def ssim_loss(reconstruction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 - SSIM (Wang et al. 2004), the mean over windows, for training.

    Uniform windows of 7 x 7 pixels at every second position: a gradient for all pixels, but for the last row or column
    of an even size, at a fifth of the time that torchmetrics' dense version takes; figures that are reported come from
    torchmetrics.

    Args:
        reconstruction, target: (B, T, C, H, W) in [-1, 1].
    """
    window = min(SSIM_WINDOW, *target.shape[-2:])
    x = (reconstruction.float().flatten(0, 1) + 1) / 2
    y = (target.float().flatten(0, 1) + 1) / 2
    moments = F.avg_pool2d(torch.cat([x, y, x * x, y * y, x * y]), window, SSIM_STRIDE)
    mean_x, mean_y, square_x, square_y, product = moments.chunk(5)
    luminance_floor, contrast_floor = 0.01**2, 0.03**2
    covariance = product - mean_x * mean_y
    variances = square_x - mean_x**2 + square_y - mean_y**2
    luminance = (2 * mean_x * mean_y + luminance_floor) / (mean_x**2 + mean_y**2 + luminance_floor)
    return 1 - (luminance * (2 * covariance + contrast_floor) / (variances + contrast_floor)).mean()
