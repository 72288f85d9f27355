"""Validation: how well fixed clips come back, always the same ones."""

from dataclasses import dataclass
from statistics import fmean

import torch
from torch import nn

from ..modeling_pyratok.pixel_values import frames_to_values, values_to_frames
from ..modeling_pyratok.reconstruction_metrics import psnr_of
from .code_statistics import CodeStatistics


@dataclass(frozen=True)
class ValidationResult:
    """`metrics`: means over the clips; `reconstructions`: uint8 (N, T, H, W, 3), of the clips asked for."""

    metrics: dict[str, float]
    reconstructions: torch.Tensor


@torch.no_grad()
def validate(
    model: nn.Module, clips: torch.Tensor, codebook_bits: int, batch_size: int, shown: int
) -> ValidationResult:
    """Reconstruct clips, uint8 (N, T, H, W, 3), with the model in evaluation mode; it is put back as it was.

    `psnr` is the mean over clips of the PSNR from the whole clip's MSE, pixels in [0, 1], not rounded to 8 bits;
    `psnr_frames` the mean over all frames of their own PSNR. The model's losses and code statistics come with it.
    `shown`: how many reconstructions are kept.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    statistics = CodeStatistics(codebook_bits)
    squared_errors, pictures, sums = [], [], {}
    for batch in clips.split(batch_size):
        values = frames_to_values(batch.to(device))  # (B, T, 3, H, W)
        output = model(pixel_values_videos=values, target_values=values)  # a target, for the losses
        video = output.video_values.float().clamp(-1, 1)
        squared_errors.append(((video - values) / 2).square().mean(dim=(2, 3, 4)))  # (B, T)
        statistics.add(output.video_codes)
        for name, value in {"loss": output.loss, **output.losses}.items():
            sums[name] = sums.get(name, 0.0) + float(value) * len(batch)
        if sum(map(len, pictures)) < shown:
            pictures.append(values_to_frames(video).cpu())
    model.train(was_training)
    errors = torch.cat(squared_errors).double()  # (N, T)
    metrics = {
        "psnr": fmean(map(psnr_of, errors.mean(dim=1).tolist())),
        "psnr_frames": fmean(map(psnr_of, errors.flatten().tolist())),
        **{name: value / len(clips) for name, value in sums.items()},
        **statistics.summary(),
    }
    return ValidationResult(metrics, torch.cat(pictures)[:shown])
