"""A clip to tokens, once, and back from one level, two, three and all: everything that the first tab shows."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from clip_reading import Clip
from reconstruction_files import Reconstruction, Step
from shared_models import MODEL
from shown_videos import write_shown

from pyratok import PyraTokModel, TokenCollector, VideoTokens
from pyratok.modeling_pyratok.pixel_values import frames_to_values, values_to_frames
from pyratok.modeling_pyratok.reconstruction_metrics import frame_squared_errors, psnr_of
from pyratok.pipelines.token_pictures import first_middle_last, token_picture
from pyratok.pipelines.token_streams import keep_levels, token_pieces

CHUNK_FRAMES = 16

Report = Callable[[float, str], None]
"""Called with the share of the work that is done, 0 to 1, and what is done next."""


@torch.no_grad()
def reconstruct(model: PyraTokModel, clip: Clip, stem: str, folder: Path, report: Report) -> Reconstruction:
    """Write videos, token maps and the token file of a clip into `folder`, and what they are as `result.json`.

    The clip is encoded once, in chunks of frames; each step of the slider is one decoding of those tokens.
    """
    subsets = level_steps(model.config.num_levels)
    progress = _Progress(report, parts=1 + len(subsets), frames=len(clip.frames))
    started = time.monotonic()
    tokens = _encoded(model, clip, progress)
    encoded = time.monotonic()
    steps = [_step(model, clip, tokens, levels, folder, progress) for levels in subsets]
    decoded = time.monotonic()
    result = Reconstruction(
        original=write_shown(folder, "original", clip.frames, clip.fps),
        tokens=f"{stem}.safetensors",
        steps=tuple(steps),
        maps=tuple(_token_map(tokens, level, folder) for level in tokens.levels),
        facts=_facts(clip, tokens),
        timing=f"Encoded in {encoded - started:.1f} s, decoded {len(steps)} times in {decoded - encoded:.1f} s.",
    )
    tokens.save(folder / result.tokens)
    result.save(folder)
    return result


def level_steps(num_levels: int) -> list[tuple[int, ...]]:
    """(L,), (L - 1, L), ... and all: the slider from coarse to fine."""
    return [tuple(range(first, num_levels + 1)) for first in range(num_levels, 0, -1)]


class _Progress:
    """Counts frames over all passes through the model."""

    def __init__(self, report: Report, parts: int, frames: int) -> None:
        self._report, self._all, self._done = report, parts * frames, 0

    def add(self, frames: int, what: str) -> None:
        self._done += frames
        self._report(min(self._done / self._all, 1.0), what)


def _encoded(model: PyraTokModel, clip: Clip, progress: _Progress) -> VideoTokens:
    collector = TokenCollector(model)
    progress.add(0, "encoding")
    values = (frames_to_values(frame).to(model.device, model.dtype) for frame in clip.frames)  # each (3, H, W)
    for piece in model.encode_stream(values, chunk_frames=CHUNK_FRAMES):
        collector.add(piece.video_codes, piece.video_size)
        progress.add(piece.video_size[0], "encoding")
    return collector.tokens(clip.fps, MODEL, model.weights_fingerprint())  # the model's own name is a folder here


def _step(
    model: PyraTokModel,
    clip: Clip,
    tokens: VideoTokens,
    levels: tuple[int, ...],
    folder: Path,
    progress: _Progress,
) -> Step:
    """Decode some levels, measure them and write the video."""
    part = replace(tokens, video_codes=keep_levels(model, tokens.video_codes, levels))
    pieces, errors = [], []
    for values in model.decode_stream(token_pieces(part, CHUNK_FRAMES)):  # (n, 3, H, W) in [-1, 1]
        progress.add(len(values), f"decoding {named_levels(levels)}")
        start = sum(map(len, pieces))
        pieces.append(values_to_frames(values).cpu())
        original = frames_to_values(clip.frames[start : start + len(values)])
        errors += frame_squared_errors(original / 2, values.cpu().float() / 2).tolist()
    return Step(
        levels=levels,
        video=write_shown(folder, f"levels_{'_'.join(map(str, levels))}", torch.cat(pieces), clip.fps),
        tokens=part.num_tokens,
        bits_per_pixel=part.bits_per_pixel,
        kilobytes=part.num_bits / 8000,
        psnr=psnr_of(sum(errors) / len(errors)),
    )


def _token_map(tokens: VideoTokens, level: int, folder: Path) -> tuple[str, str]:
    name = f"tokens_level_{level}.png"
    token_picture(tokens, level, first_middle_last(tokens.video_size[0])).save(folder / name)
    frames, rows, columns = tokens.video_codes[level - 1].shape[1:]
    return name, f"level {level}: {frames} x {rows} x {columns} tokens"


def _facts(clip: Clip, tokens: VideoTokens) -> tuple[str, ...]:
    """Sentences of numbers alone: nothing of an upload's name or text is in them."""
    frames, height, width = tokens.video_size
    size, stored = len(tokens.to_bytes()), clip.stored_size
    scaled = "" if stored == (height, width) else f", scaled down from {stored[1]} x {stored[0]}"
    cut = ", the beginning of a longer clip" if clip.is_cut else ""
    return (
        f"{frames} frames of {width} x {height} pixels{scaled}{cut}; {float(clip.fps):.4g} frames per second.",
        f"The token file has {size / 1000:.1f} kB, the clip's file {clip.file_bytes / 1000:.1f} kB, the raw pixels "
        f"{clip.frames.numel() / 1000:,.0f} kB.",
    )


def named_levels(levels: tuple[int, ...]) -> str:
    """`level 4`, `levels 3 and 4`, `levels 2, 3 and 4`."""
    if len(levels) == 1:
        return f"level {levels[0]}"
    return f"levels {', '.join(map(str, levels[:-1]))} and {levels[-1]}"
