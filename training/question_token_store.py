"""The tokens that a projector is trained on, kept in a file, so that a run that goes on need not make them again."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..modeling_pyratok.atomic_writing import atomic_path
from .question_samples import TokenizedVideo

KEY, VIDEOS = "key", "videos"


def stored(path: Path, made_from: Any, make: Callable[[], list[TokenizedVideo]]) -> list[TokenizedVideo]:
    """What `make` makes, from the file `path` if it was made there before from the same.

    made_from: all that the tokens follow from, as JSON can hold it. A file of something else, or a damaged one, is replaced.
    """
    key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
    if path.is_file() and (found := _read(path, key)) is not None:
        return found
    videos = make()
    tensors, listed = {}, []
    for number, video in enumerate(videos):
        for view, codes in enumerate(video.views):
            tensors |= {f"{number}/{view}/{level}": value.contiguous() for level, value in enumerate(codes)}
        listed.append([video.name, len(video.views), [list(pair) for pair in video.answers]])
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={KEY: key, VIDEOS: json.dumps(listed)})
    return videos


def _read(path: Path, key: str) -> list[TokenizedVideo] | None:
    """The videos in the file; None if it holds others, or cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            if metadata.get(KEY) != key:
                return None
            names = list(file.keys())
            levels = 1 + max(int(name.rpartition("/")[2]) for name in names)
            return [
                TokenizedVideo(
                    name,
                    tuple(
                        tuple(file.get_tensor(f"{number}/{view}/{level}") for level in range(levels))
                        for view in range(views)
                    ),
                    tuple((question, answer) for question, answer in answers),
                )
                for number, (name, views, answers) in enumerate(json.loads(metadata[VIDEOS]))
            ]
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
