"""What a tokenizer's tokens know of language, on clips that no part was trained on: the figures of stages 2 and 3.

    python benchmarks/language.py runs/mine/stage_2 path/to/video [--json language.json] [--clips 43]

The folder is that of a stage of training, with `model/`, `prior/` and `alignment/`; what is missing is left out. Clips are 17
frames from the middle of the validation files, of which the largest square in the middle is brought to 64 x 64, so that most of
what the caption tells of is to be seen. Retrieval and likelihoods are from tokens that were made without the caption, so that
none of it is told beforehand.
"""

import argparse
import contextlib
import json
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from measuring import print_table
from tqdm import tqdm

from pyratok import EncodedText, PyraTokModel, PyraTokPrior, PyraTokTextAlignment, TextEncoder, load_text_encoder
from pyratok.modeling_pyratok.atomic_writing import atomic_path
from pyratok.modeling_pyratok.binary_codebook import codes_to_bits
from pyratok.modeling_pyratok.pixel_values import frames_to_values
from pyratok.pipelines.model_loading import load_component, load_model
from pyratok.training.clip_buckets import ClipBucket
from pyratok.training.clip_decoding import UNREADABLE, centre_clip, open_media
from pyratok.training.clip_windows import resized
from pyratok.training.data_sources import open_rows
from pyratok.training.reconstruction_evaluation import json_values

SIZE = (17, 64, 64)
TRAINING_CLIPS = 400
"""For the unigram code model."""

Codes = tuple[torch.Tensor, ...]


def described_clips(source: str, split: str, limit: int | None) -> tuple[list[torch.Tensor], list[str]]:
    """Clips, uint8 (T, H, W, 3), and their captions; files without a caption, or that cannot be read, are left out."""
    clips, captions = [], []
    for row in open_rows(source, split).rows:
        if row["caption"] and row["problem"] is None and (limit is None or len(clips) < limit):
            with contextlib.suppress(*UNREADABLE):
                with open_media(row["media"]) as reader:
                    side = min(reader.info.height, reader.info.width)
                square = centre_clip(row["media"], ClipBucket(SIZE[0], side, side, 1))
                clips.append(resized(square, *SIZE[1:]))
                captions.append(row["caption"])
    return clips, captions


def encoded(model: PyraTokModel, clips: Sequence[torch.Tensor], text: EncodedText | None) -> list[Codes]:
    """The codes of each clip, with a text each or without."""
    found = []
    for index, clip in enumerate(tqdm(clips, desc="encoding", unit="clip")):
        row = slice(index, index + 1)
        given = {} if text is None else {"text_embeds": text.embeds[row], "text_mask": text.mask[row]}
        found.append(model.encode(frames_to_values(clip[None]), **given).video_codes)
    return found


def changed_bits(one: list[Codes], other: list[Codes], bits: int) -> list[float]:
    """Share of the bits of each level that differ."""
    levels = range(len(one[0]))
    return [
        statistics.fmean(
            float((codes_to_bits(a[level], bits) != codes_to_bits(b[level], bits)).float().mean())
            for a, b in zip(one, other, strict=True)
        )
        for level in levels
    ]


def retrieval(similar: torch.Tensor, captions: list[str]) -> dict[str, float]:
    """Where a clip's own caption stands among all of them, by similarity (N clips, N captions); equal captions count as one."""
    names = {caption: number for number, caption in enumerate(dict.fromkeys(captions))}
    columns = torch.tensor([captions.index(caption) for caption in names])
    similar = similar[:, columns]  # one column for each caption
    own = torch.tensor([names[caption] for caption in captions])
    right = similar[torch.arange(len(own)), own]
    ranks = (similar > right[:, None]).sum(1) + 1
    others = (similar.sum(1) - right) / (similar.shape[1] - 1)
    return {
        "R@1": float((ranks <= 1).float().mean()),
        "R@5": float((ranks <= 5).float().mean()),
        "median rank": float(ranks.median()),
        "captions": float(len(names)),
        "cosine to its caption": float(right.mean()),
        "cosine to others": float(others.mean()),
    }


def retrieval_by_levels(
    alignment: PyraTokTextAlignment, codes: list[Codes], text: torch.Tensor, captions: list[str]
) -> dict[str, dict[str, float]]:
    """`retrieval` from each level alone, and from all. text: (N, width), the captions' pooled embeddings."""
    text = F.normalize(text.float(), dim=-1)
    levels = range(1, len(codes[0]) + 1)
    found = {}
    for asked in [*[(level,) for level in levels], tuple(levels)]:
        seen = torch.cat([alignment.embed_video(video, asked) for video in codes])
        found[f"levels {', '.join(map(str, asked))}"] = retrieval(seen @ text.T, captions)
    return found


def bits_per_token(prior: PyraTokPrior, codes: list[Codes], text: EncodedText | None) -> list[float]:
    """Of each level, and last of all tokens together; the mean over clips."""
    found = []
    for index, video in enumerate(tqdm(codes, desc="likelihoods", unit="clip")):
        row = slice(index, index + 1)
        given = () if text is None else (text.embeds[row], text.mask[row])
        levels = [math.nan if level is None else float(level) for level in prior.score(video, SIZE, *given)]
        counts = [level.numel() for level in video]
        found.append([*levels, sum(map(float.__mul__, levels, map(float, counts))) / sum(counts)])
    return [statistics.fmean(column) for column in zip(*found, strict=True)]


def unigram_bits(training: list[Codes], codes: list[Codes], size: int) -> list[float]:
    """Bits per token of each level under the frequencies of codes in training, each counted once more than it occurs."""
    found = []
    for level in range(len(codes[0])):
        counts = torch.stack([torch.bincount(video[level].flatten(), minlength=size) for video in training]).sum(0) + 1
        log_probability = (counts / counts.sum()).log2()
        found.append(-float(torch.cat([log_probability[video[level].flatten()] for video in codes]).mean()))
    return found


def own_entropy(codes: list[Codes]) -> list[float]:
    """Entropy in bits of the codes of each level among themselves: what no fixed table of these very tokens gets below."""
    found = []
    for level in range(len(codes[0])):
        _, counts = torch.cat([video[level].flatten() for video in codes]).unique(return_counts=True)
        share = counts / counts.sum()
        found.append(-float((share * share.log2()).sum()))
    return found


def optional(load: Callable[[], Any], folder: Path) -> Any:
    """What `load` gives if the folder is there, else None."""
    return load() if folder.is_dir() else None


def measure(folder: Path, source: str, clips: int, encoder: TextEncoder) -> dict[str, Any]:
    """All figures, by name; lists have an entry for each level."""
    model = load_model(folder / "model")
    prior = optional(lambda: load_component(PyraTokPrior, folder / "prior"), folder / "prior")
    alignment = optional(lambda: load_component(PyraTokTextAlignment, folder / "alignment"), folder / "alignment")
    videos, captions = described_clips(source, "validation", clips)
    text = encoder(captions)
    shift = [
        captions.index(next(c for c in captions[i:] + captions if c != captions[i])) for i in range(len(captions))
    ]
    wrong = EncodedText(text.embeds[shift], text.mask[shift])
    without, right, other = (encoded(model, videos, given) for given in (None, text, wrong))
    bits = model.config.codebook_bits
    figures: dict[str, Any] = {
        "weights_fingerprint": model.weights_fingerprint(),
        "clips": len(videos),
        "bits that its caption changes": changed_bits(without, right, bits),
        "bits that another caption changes": changed_bits(without, other, bits),
        "bits between its caption and another": changed_bits(right, other, bits),
    }
    if alignment is not None:
        ranked = retrieval_by_levels(alignment, without, text.pooled(), captions)
        figures |= {f"retrieval from {levels}": values for levels, values in ranked.items()}
    if prior is not None:
        training, _ = described_clips(source, "train", TRAINING_CLIPS)
        figures |= {
            "bits per token with its caption": bits_per_token(prior, without, text),
            "bits per token without a caption": bits_per_token(prior, without, None),
            "bits per token with another caption": bits_per_token(prior, without, wrong),
            "unigram of training": unigram_bits(encoded(model, training, None), without, 2**bits),
            "entropy of these very codes": own_entropy(without),
        }
    return figures


def main() -> None:
    """Measure, print, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of a stage of training")
    parser.add_argument("source", help="a folder of videos with captions, with train/ and validation/ inside")
    parser.add_argument("--clips", type=int, default=43)
    parser.add_argument("--text-encoder", default="pyratok")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    figures = measure(given.folder, given.source, given.clips, load_text_encoder(given.text_encoder))
    lists = {name: value for name, value in figures.items() if isinstance(value, list)}
    columns = max(map(len, lists.values()))
    rows = [[name, *(f"{v:.4f}" for v in value), *[""] * (columns - len(value))] for name, value in lists.items()]
    levels = len(figures["bits that its caption changes"])
    titles = [*(f"level {level}" for level in range(1, levels + 1)), *["all"] * (columns - levels)]
    print_table(f"{figures['clips']} clips of {' x '.join(map(str, SIZE))}", ["", *titles], rows)
    found = {name: value for name, value in figures.items() if isinstance(value, dict)}
    if found:
        names = list(next(iter(found.values())))
        rows = [[name, *(f"{value[key]:.3f}" for key in names)] for name, value in found.items()]
        print_table("a clip's own caption among all", ["", *names], rows)
    if given.json:
        with atomic_path(given.json) as path:
            path.write_text(json.dumps(json_values(figures), indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
