"""Speed against diffusers' own `encode` and `decode` with the same weights and the same output.

    python benchmarks/backbone.py [--full-size] [--compile]

Ours counts everything: `PyraTokModel.encode` with the quantizer, `PyraTokModel.decode` from codes. diffusers' counts
`AutoencoderKLWan.encode` and `.decode` of the same latent; laterals are switched off for the comparison of the output, so that
both decode the same thing.
"""

import argparse

import torch
from measuring import alternate, print_table
from models import full_size_model, plain_vae, small_model

from pyratok import PyraTokModel
from pyratok.modeling_pyratok.backbone import encode_features, encode_posterior

CHUNKS = {"chunk 16": 16, "whole clip": None, "chunk 4": 4}


def silence_laterals(model: PyraTokModel) -> None:
    """The decoder as it is before training: what only the latent says."""
    for lateral in model.fusion.laterals.values():
        torch.nn.init.zeros_(lateral.projection.projection.weight)
        torch.nn.init.zeros_(lateral.projection.projection.bias)


@torch.no_grad()
def largest_differences(model: PyraTokModel, vae, video: torch.Tensor) -> tuple[float, float]:
    """Of the posterior's parameters, and of the pixels decoded from one latent, relative to their standard deviation."""
    last = len(model.config.stage_channels)
    features, _ = encode_features(model.backbone, video, None, last)
    posterior, _ = encode_posterior(model.backbone, features[-1], None)
    expected = vae.encode(video.transpose(1, 2)).latent_dist.parameters
    encoded = float((posterior - expected).abs().max() / expected.std())
    output = model(video)
    pixels = vae.decode(output.latents).sample.transpose(1, 2)
    return encoded, float((output.video_values - pixels).abs().max() / pixels.std())


@torch.no_grad()
def compare(
    name: str,
    model: PyraTokModel,
    size: tuple[int, int, int],
    chunks: dict[str, int | None],
    repeats: int,
    compiled: bool,
) -> list[list[str]]:
    """Rows of the table for one model: seconds of both, ratio."""
    silence_laterals(model)
    vae = plain_vae(model)
    video = torch.rand(1, size[0], 3, *size[1:], generator=torch.Generator().manual_seed(0)) * 2 - 1
    differences = largest_differences(model, vae, video)
    codes = model.encode(video).video_codes
    latents = model(video).latents
    encoders = {"diffusers": lambda: vae.encode(video.transpose(1, 2))}
    decoders = {"diffusers": lambda: vae.decode(latents)}
    for label, chunk in chunks.items():
        encoders[label] = lambda chunk=chunk: model.encode(video, chunk_frames=chunk)
        decoders[label] = lambda chunk=chunk: model.decode(codes, size, chunk_frames=chunk)
    if compiled:
        other = PyraTokModel(model.config).eval()
        other.load_state_dict(model.state_dict())
        other.compile_backbone()
        encoders["whole clip, torch.compile"] = lambda: other.encode(video, chunk_frames=None)
        decoders["whole clip, torch.compile"] = lambda: other.decode(codes, size, chunk_frames=None)
    rows = []
    for verb, functions, difference in (("encode", encoders, differences[0]), ("decode", decoders, differences[1])):
        seconds = alternate(functions, repeats)
        for label in list(functions)[1:]:
            ratio = seconds["diffusers"] / seconds[label]
            rows.append(
                [
                    f"{name}, {verb}",
                    label,
                    f"{seconds['diffusers']:.3f}",
                    f"{seconds[label]:.3f}",
                    f"{ratio:.2f}",
                    f"{difference:.1e}",
                ]
            )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full-size", action="store_true", help="also Wan 2.2's shapes with random weights")
    parser.add_argument("--compile", action="store_true", help="the small model also with torch.compile (minutes)")
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    rows = compare("small 33x128x128", small_model(), (33, 128, 128), CHUNKS, given.repeats, given.compile)
    if given.full_size:
        chunks = {"chunk 16": 16}  # one of them takes minutes
        rows += compare(
            "full size 17x128x128", full_size_model(), (17, 128, 128), chunks, max(given.repeats // 2, 3), False
        )
    repeats = f"median of {given.repeats}, full size of {max(given.repeats // 2, 3)}"
    title = f"seconds, {repeats}; {torch.get_num_threads()} threads; quantizer included on our side"
    print_table(title, ["", "ours", "diffusers s", "ours s", "times as fast", "largest difference / std"], rows)


if __name__ == "__main__":
    main()
