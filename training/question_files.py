"""Questions of MVBench's form, to learn from: the right answers alone."""

import json
import os
from pathlib import Path
from typing import Any

from ..modeling_pyratok.errors import system_reason
from .data_errors import DataError
from .question_samples import AnsweredVideo


def read_answers(folder: str | os.PathLike[str]) -> list[AnsweredVideo]:
    """The right answers in questions of MVBench's form: lists of objects in FOLDER/json/*.json, videos under FOLDER/video.

    Each object has `video`, a path under FOLDER/video, `question` and `answer`, and may have `start` and `end` in seconds.

    Raises DataError, which names the file and the entry.
    """
    folder = Path(folder)
    files = sorted((folder / "json").glob("*.json"))
    if not files:
        raise DataError(f"there are no questions in {str(folder / 'json')!r}: it holds no JSON files")
    return [_answered(folder, path, number, entry) for path in files for number, entry in enumerate(_entries(path), 1)]


def _entries(path: Path) -> list[Any]:
    try:
        entries = json.loads(path.read_text("utf-8"))
    except OSError as problem:
        raise DataError(f"{str(path)!r} cannot be read: {system_reason(problem)}") from problem
    except ValueError as problem:
        raise DataError(f"{str(path)!r} is not valid JSON: {problem}") from problem
    if not isinstance(entries, list):
        raise DataError(f"{str(path)!r} must hold a list of questions")
    return entries


def _answered(folder: Path, path: Path, number: int, entry: Any) -> AnsweredVideo:
    where = f"{str(path)!r}, entry {number}"
    values = entry if isinstance(entry, dict) else {}
    for key in ("video", "question", "answer"):
        if not isinstance(values.get(key), str) or not values[key].strip():
            raise DataError(f"{where}: {key!r} has to be a text, got {values.get(key)!r}")
    for key in ("start", "end"):
        if isinstance(values.get(key), bool) or not isinstance(values.get(key, 0) or 0, int | float):
            raise DataError(f"{where}: {key!r} has to be a number of seconds, got {values[key]!r}")
    name = values["video"]
    media = folder / "video" / name
    if not media.resolve().is_relative_to((folder / "video").resolve()):
        raise DataError(f"{where}: {name!r} is outside {str(folder / 'video')!r}")
    if not media.is_file():
        raise DataError(f"{where}: there is no video {str(media)!r}")
    return AnsweredVideo(
        name, str(media), values["answer"], values["question"], values.get("start"), values.get("end")
    )
