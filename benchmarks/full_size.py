"""The full-size model (Wan 2.2's shapes, random weights): parameters, a save and load round trip, a clip there and back.

python benchmarks/full_size.py
"""

import tempfile
import time

import torch
from diffusers import AutoencoderKLWan
from measuring import peak_megabytes, print_table

from pyratok import PyraTokConfig, PyraTokModel
from pyratok.modeling_pyratok.lora import plain_state_dict


def millions(parameters) -> str:
    """Their number, in millions."""
    return f"{sum(parameter.numel() for parameter in parameters) / 1e6:.1f} M"


@torch.no_grad()
def main() -> None:
    """Run and print."""
    torch.manual_seed(0)
    vae = AutoencoderKLWan(**PyraTokConfig().backbone_config).eval()
    model = PyraTokModel.from_backbone(vae)
    kept = plain_state_dict(model.backbone)
    same_vae = all(torch.equal(kept[name], tensor) for name, tensor in vae.state_dict().items())
    del vae, kept
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    lora = [parameter for name, parameter in model.named_parameters() if "lora_" in name]
    rows = [
        ["the VAE's weights kept bit for bit", str(same_vae)],
        ["parameters", millions(model.parameters())],
        ["trainable parameters", millions(trained)],
        ["of these LoRA", millions(lora)],
    ]
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        loaded = PyraTokModel.from_pretrained(folder)
    rows.append(
        ["saved and loaded: same fingerprint", str(loaded.weights_fingerprint() == model.weights_fingerprint())]
    )
    del loaded
    rows.append(["peak memory so far, two models held", f"{peak_megabytes() / 1024:.1f} GB"])
    model.merge_lora()
    video = torch.rand(1, 17, 3, 128, 128) * 2 - 1
    started = time.perf_counter()
    encoded = model.encode(video)
    middle = time.perf_counter()
    decoded = model.decode(encoded.video_codes, encoded.video_size).video_values
    rows += [
        [
            "token grids of 17 x 128 x 128",
            ", ".join("x".join(map(str, codes.shape[1:])) for codes in encoded.video_codes),
        ],
        ["encode", f"{middle - started:.1f} s"],
        ["decode", f"{time.perf_counter() - middle:.1f} s"],
        ["decoded shape, finite", f"{tuple(decoded.shape)}, {bool(decoded.isfinite().all())}"],
        ["peak memory", f"{peak_megabytes() / 1024:.1f} GB"],
    ]
    print_table("full size", ["", ""], rows)


if __name__ == "__main__":
    main()
