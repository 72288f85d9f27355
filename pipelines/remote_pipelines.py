"""The code that goes along with a saved pipeline, so that diffusers opens it where PyraTok is not installed.

Three files at the root: `modeling_pyratok.py` with the models, `pipelines_pyratok.py` with all pipelines, and `pipeline.py`, in
which diffusers finds the one that model_index.json names:

    DiffusionPipeline.from_pretrained(ID, custom_pipeline="pipeline", trust_remote_code=True)

diffusers imports the library of each component before it looks at that code, so model_index.json names diffusers itself there:
like the package, `pipeline.py` puts the classes into it.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from ..configuration.remote_code import INTRODUCTION, MODELING, add_models_code, flat_models, write_text
from ..configuration.source_flattening import FlatFile
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.json_objects import read_json_object
from .component_classes import COMPONENT_CLASSES

PIPELINES, ENTRY = "pipelines_pyratok", "pipeline"
"""Names of the files, without ".py"; the second is diffusers' own."""

STARTS = ("diffusers_registration", "transformers_registration", "remote_pipelines")
"""Modules that `pipelines_pyratok.py` has to hold, with all that they import and that `modeling_pyratok.py` has not."""

INDEX = "model_index.json"
PAIRS = ([str, str], [type(None), type(None)])
PIPELINE_NAME = re.compile(r"PyraTok[A-Za-z0-9]{1,60}Pipeline", re.ASCII)
PUBLIC_LIBRARY = "diffusers"

ENTRY_LINES = (  # no line of this file itself may look like an import, for diffusers finds imports by their looks
    '"""Where diffusers finds the pipeline of this repository if the package `pyratok` is not installed."""',
    "",
    "import importlib.util",
    "",
    "from .modeling_pyratok import PyraTokModel  # noqa: F401  (diffusers copies the files that are named here)",
    "from .pipelines_pyratok import {name}  # noqa: F401  (diffusers takes the pipeline that it finds here)",
    "from .pipelines_pyratok import register_with_diffusers, register_with_transformers",
    "",
    'if importlib.util.find_spec("pyratok") is None:',
    "    register_with_transformers()",
    "    register_with_diffusers()",
    "",
)


def pipelines_text() -> str:
    """What `pipelines_pyratok.py` holds; if this very function stands in such a file, that file."""
    here = Path(__file__)
    if here.stem == PIPELINES:
        return here.read_text(encoding="utf-8")
    flat = FlatFile((here.parent / f"{name}.py" for name in STARTS), {MODELING: flat_models()})
    return flat.text(INTRODUCTION.format(what="Pipelines"))


def add_remote_code(folder: str | os.PathLike[str]) -> None:
    """Make the folder of a saved model or pipeline one that opens without PyraTok, with `trust_remote_code=True`.

    It goes on working where PyraTok is installed, and there needs no `trust_remote_code`.
    """
    root = Path(folder)
    add_models_code(root)
    if not (root / INDEX).is_file():
        return
    index = _read_index(root / INDEX)
    for name, value in index.items():
        if isinstance(value, list) and value[1] in COMPONENT_CLASSES:
            index[name] = [PUBLIC_LIBRARY, value[1]]
    write_text(root / INDEX, json.dumps(index, indent=2, sort_keys=True) + "\n")
    write_text(root / f"{PIPELINES}.py", pipelines_text())
    write_text(root / f"{ENTRY}.py", "\n".join(ENTRY_LINES).format(name=index["_class_name"]))


def _read_index(path: Path) -> dict[str, Any]:
    """model_index.json. Raises PyraTokError if it is none, or of no pipeline of PyraTok: its words become code."""
    try:
        index = read_json_object(path)
    except ValueError as problem:
        raise PyraTokError(f"{str(path)!r} cannot be read: {problem}") from problem
    pairs = [value for value in index.values() if isinstance(value, list)]
    if not all([type(part) for part in pair] in PAIRS for pair in pairs):
        raise PyraTokError(f"{str(path)!r} is no index of a pipeline's parts")
    name = index.get("_class_name")
    if not isinstance(name, str) or not PIPELINE_NAME.fullmatch(name):
        raise PyraTokError(f"{str(path)!r} names no pipeline of PyraTok but {name!r:.80}")
    return index
