"""The full-size model (Wan 2.2's shapes, random weights): parameters, a save and load round trip, a clip there and back.

python benchmarks/full_size.py
"""

import tempfile
import time
from collections.abc import Mapping
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from measuring import in_own_process, print_table

from pyratok import PyraTokConfig, PyraTokModel
from pyratok.modeling_pyratok.lora import plain_state_dict


def millions(parameters) -> str:
    """Their number, in millions."""
    return f"{sum(parameter.numel() for parameter in parameters) / 1e6:.1f} M"


@torch.no_grad()
def round_trip(settings: Mapping[str, Any]) -> list[list[str]]:
    """Rows on a model around a VAE, saved and loaded; `settings` of `PyraTokConfig`, those that are not its defaults."""
    torch.manual_seed(0)
    vae = AutoencoderKLWan(**PyraTokConfig(**settings).backbone_config).eval()
    model = PyraTokModel.from_backbone(vae, **{k: v for k, v in settings.items() if k != "backbone_config"})
    kept = plain_state_dict(model.backbone)
    same_vae = all(torch.equal(kept[name], tensor) for name, tensor in vae.state_dict().items())
    del vae, kept
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    lora = [parameter for name, parameter in model.named_parameters() if "lora_" in name]
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        loaded = PyraTokModel.from_pretrained(folder)
    return [
        ["the VAE's weights kept bit for bit", str(same_vae)],
        ["parameters", millions(model.parameters())],
        ["trainable parameters", millions(trained)],
        ["of these LoRA", millions(lora)],
        ["saved and loaded: same fingerprint", str(loaded.weights_fingerprint() == model.weights_fingerprint())],
    ]


@torch.no_grad()
def clip(settings: Mapping[str, Any], frames: int = 17, side: int = 128) -> list[list[str]]:
    """Rows on a random clip through the tokens and back, LoRA merged."""
    torch.manual_seed(0)
    model = PyraTokModel(PyraTokConfig(**settings)).eval()
    model.merge_lora()
    video = torch.rand(1, frames, 3, side, side) * 2 - 1
    started = time.perf_counter()
    encoded = model.encode(video)
    middle = time.perf_counter()
    decoded = model.decode(encoded.video_codes, encoded.video_size).video_values
    grids = ", ".join("x".join(map(str, codes.shape[1:])) for codes in encoded.video_codes)
    return [
        [f"token grids of {frames} x {side} x {side}", grids],
        ["encode", f"{middle - started:.1f} s"],
        ["decode", f"{time.perf_counter() - middle:.1f} s"],
        ["decoded shape, finite", f"{tuple(decoded.shape)}, {bool(decoded.isfinite().all())}"],
    ]


def main() -> None:
    """Run and print; each part in a process of its own, because a process's peak memory never falls."""
    rows = []
    for function, held in ((round_trip, "two models held"), (clip, "one model held")):
        part, megabytes = in_own_process(function, {})
        rows += [*part, [f"peak memory over the imports, {held}", f"{megabytes / 1024:.1f} GB"]]
    print_table("full size", ["", ""], rows)


if __name__ == "__main__":
    main()
