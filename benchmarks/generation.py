"""Whether generated videos show what was asked for: contact sheets, and how the retrieval probe ranks the prompts.

    python benchmarks/generation.py pyratok sheets/ [--videos 4] [--guidance 1 2 4] [--json generation.json]

For each of ten prompts a few videos are drawn. The text alignment that lies beside the tokenizer ranks the ten prompts for
every video, from its tokens alone. Chance is rank 5.5, and one in two wrong prompts below the right one. The judge learned from
the same clips and captions as the prior, and two of the prompts are pieces of these captions; how well it judges real clips
that it has not seen stands in what `language.py` prints.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from measuring import print_table
from PIL import Image, ImageDraw, ImageFont

from pyratok import PyraTokTextAlignment, PyraTokTextToVideoPipeline, TextEncoder
from pyratok.modeling_pyratok.atomic_writing import atomic_path
from pyratok.pipelines.model_loading import load_component
from pyratok.pipelines.text_to_video_loading import ALIGNMENT, component_folder, load_text_to_video, tokenizer_folder

PROMPTS = (
    "the rabbit stands on a green meadow",
    "extreme close up of a red squirrel face",
    "a flying squirrel in the blue sky",
    "a purple bird flutters in the sky",
    "a pink butterfly over the grass",
    "a man in a light t-shirt in front of a webcam, with a world map on the wall",
    "a person standing in an office makes a sign language gesture",
    "the planet Earth at night slowly rotates in space",
    "a green park with trees and people in the distance",
    "a mossy forest brook",
)
SIZE = (17, 64, 64)
COLUMNS, LABEL_HEIGHT, GAP = 6, 14, 2


def drawn(pipeline: PyraTokTextToVideoPipeline, guidance: float, videos: int, seed: int) -> tuple[list, torch.Tensor]:
    """The tokens of `videos` videos of each prompt, in the order of prompts, and their frames (N, T, 3, H, W) in [0, 1]."""
    frames, height, width = SIZE
    output = pipeline(
        list(PROMPTS),
        num_frames=frames,
        height=height,
        width=width,
        guidance_scale=guidance,
        num_videos_per_prompt=videos,
        generator=torch.Generator().manual_seed(seed),
        output_type="pt",
    )
    return output.tokens, output.frames


def contact_sheet(frames: torch.Tensor, videos: int) -> Image.Image:
    """The first video of each prompt, a few of its frames in a row below the prompt. frames: as `drawn` gives them."""
    height, width = frames.shape[-2:]
    columns = torch.linspace(0, frames.shape[1] - 1, COLUMNS).round().long()
    row_height = LABEL_HEIGHT + height + GAP
    sheet = Image.new("RGB", (COLUMNS * (width + GAP), len(PROMPTS) * row_height), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=10)
    for row, prompt in enumerate(PROMPTS):
        pen.text((1, row * row_height), prompt, fill="black", font=font)
        for column, frame in enumerate(frames[row * videos, columns]):
            pixels = (frame * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
            sheet.paste(Image.fromarray(pixels), (column * (width + GAP), row * row_height + LABEL_HEIGHT))
    return sheet


def figures_of(alignment: PyraTokTextAlignment, tokens: list, text: torch.Tensor, videos: int) -> dict[str, float]:
    """How the prompts rank. text: (prompts, width) of length 1."""
    seen = torch.cat([alignment.embed_video(video.video_codes) for video in tokens])
    similar = seen @ text.T  # (videos, prompts)
    own = similar.gather(1, torch.arange(len(PROMPTS)).repeat_interleave(videos)[:, None])
    below = (similar < own).float().sum(1)
    wrong = len(PROMPTS) - 1
    return {
        "right prompt first": float((below == wrong).float().mean()),
        "wrong prompts below the right one": float(below.mean()) / wrong,
        "mean rank": 1 + wrong - float(below.mean()),
    }


def main() -> None:
    """Draw, rank, print, and write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="`pyratok`, or the folder of a stage of training with a prior and an alignment")
    parser.add_argument("folder", type=Path, help="receives a contact sheet for each guidance")
    parser.add_argument("--videos", type=int, default=4, help="of each prompt")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 2.0, 4.0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    pipeline = load_text_to_video(given.model)
    pipeline.set_progress_bar_config(desc="tokens", unit="token")
    tokenizer = tokenizer_folder(given.model)
    alignment = load_component(PyraTokTextAlignment, component_folder(tokenizer, ALIGNMENT) or tokenizer / ALIGNMENT)
    encoder = TextEncoder(pipeline.text_encoder, pipeline.tokenizer)
    text = F.normalize(encoder(list(PROMPTS)).pooled().float(), dim=-1)
    given.folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    for guidance in given.guidance:
        tokens, frames = drawn(pipeline, guidance, given.videos, given.seed)
        with atomic_path(given.folder / f"guidance_{guidance:g}.png") as path:
            contact_sheet(frames, given.videos).save(path, format="PNG")
        found[f"guidance {guidance:g}"] = figures_of(alignment, tokens, text, given.videos)
    rows = [[name, *(f"{value:.3f}" for value in figures.values())] for name, figures in found.items()]
    count = given.videos * len(PROMPTS)
    title = f"{count} videos of {' x '.join(map(str, SIZE))}, {len(PROMPTS)} prompts; chance is 0.1, 0.5 and 5.5"
    print_table(title, ["", *next(iter(found.values()))], rows)
    if given.json:
        weights = pipeline.vq_model.weights_fingerprint()
        record = {"weights_fingerprint": weights, "videos": count, **found}
        with atomic_path(given.json) as path:
            path.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
