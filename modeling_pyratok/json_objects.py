"""Reading a JSON file that has to hold an object, a configuration or figures for example."""

import json
from pathlib import Path
from typing import Any


def read_json_object(path: Path, largest: int | None = None, what: str = "object") -> dict[str, Any]:
    """The object in the file, `what` it is called in errors.

    Raises ValueError, which says why, if there is none or the file has more than `largest` bytes.
    """
    try:
        if largest is not None and path.stat().st_size > largest:
            raise ValueError("it is too large")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, RecursionError) as problem:
        raise ValueError(str(problem)) from problem
    if not isinstance(found, dict):
        raise ValueError(f"it holds no {what} but a {type(found).__name__}")
    return found
