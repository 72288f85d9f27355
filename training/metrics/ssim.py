"""SSIM, for `evaluate.load`."""

from importlib import import_module

# A relative import would fail: `evaluate` runs a copy of this file that lies outside the package.
Ssim = import_module("pyratok.training.evaluate_metrics").Ssim
