"""Scripts for `evaluate.load`, which wants a path: `evaluate.load(metrics.PSNR)`. No network is needed."""

from pathlib import Path

PSNR, SSIM, CODEBOOK_USE = (str(Path(__file__).with_name(f"{name}.py")) for name in ("psnr", "ssim", "codebook_use"))
