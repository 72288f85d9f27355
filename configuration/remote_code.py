"""The code that goes along with a saved model, so that transformers opens it where PyraTok is not installed.

`modeling_pyratok.py` lies at the root of the repository and holds all models, made of this package's own modules; `auto_map` in
the configurations says so. Whoever loads it there has to ask for it with `trust_remote_code=True`. Where PyraTok is installed
its own classes are taken, and the file is neither read nor asked for.
"""

import functools
import json
import os
import secrets
from pathlib import Path
from typing import Any, ClassVar

from .source_flattening import FlatFile

MODELING = "modeling_pyratok"
"""Name of the file, without ".py"."""

STARTS = (
    "modeling_pyratok",
    "prior",
    "text_alignment",
    "token_projector",
    "video_processing_pyratok",
    "packed_weights",
)
"""Modules that it has to hold, with all that they import."""

MODELS = {
    "pyratok": "PyraTok{}",
    "pyratok_prior": "PyraTokPrior{}",
    "pyratok_text_alignment": "PyraTokTextAlignment{}",
    "pyratok_token_projector": "PyraTokTokenProjector{}",
}
"""Classes by model_type: the configuration ends with "Config", and the tokenizer's model with "Model"."""

PROCESSORS = ("preprocessor_config.json", "video_preprocessor_config.json")

INTRODUCTION = """{what} of PyraTok, for where the package `pyratok` is not installed; installing the package instead is better.

All of it was put together from the package's modules, which stand here one after another. Apache License 2.0."""


@functools.cache
def flat_models() -> FlatFile:
    """The modules of all models as one file."""
    folder = Path(__file__).parent.parent / "modeling_pyratok"
    return FlatFile(folder / f"{name}.py" for name in STARTS)


def models_text() -> str:
    """What `modeling_pyratok.py` holds; if this very function stands in such a file, that file."""
    here = Path(__file__)
    if here.stem == MODELING:
        return here.read_text(encoding="utf-8")
    return flat_models().text(INTRODUCTION.format(what="Models"))


def add_models_code(folder: str | os.PathLike[str]) -> None:
    """Put `modeling_pyratok.py` into the folder of a saved model, and `auto_map` into the configurations there and below."""
    root = Path(folder)
    write_text(root / f"{MODELING}.py", models_text())
    for path in [*root.glob("config.json"), *root.glob("*/config.json")]:
        pattern = MODELS.get(json.loads(path.read_text(encoding="utf-8")).get("model_type"))
        if pattern is not None:
            model = pattern.format("Model" if pattern == MODELS["pyratok"] else "")
            _set_auto_map(path, {"AutoConfig": pattern.format("Config"), "AutoModel": model})
    for name in PROCESSORS:
        if (root / name).is_file():
            _set_auto_map(root / name, dict.fromkeys(("AutoProcessor", "AutoVideoProcessor"), "PyraTokVideoProcessor"))


def _set_auto_map(path: Path, classes: dict[str, str]) -> None:
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["auto_map"] = {auto_class: f"{MODELING}.{name}" for auto_class, name in classes.items()}
    write_text(path, json.dumps(settings, indent=2, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    aside = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


class SharesCode:
    """For configurations, models and processors: once `register_for_auto_class()` was called, code is saved along.

    transformers copies the file that a class stands in, and those beside it that it imports; a package has more.
    """

    _uploads_code: ClassVar[bool] = False

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Any:
        """As in transformers; a model that is saved without code does not name any, whatever it was loaded with."""
        auto_class = type(self)._auto_class
        if auto_class is None:
            vars(getattr(self, "config", self)).pop("auto_map", None)
            return super().save_pretrained(save_directory, *args, **kwargs)
        kind = type(self)
        kind._auto_class, kind._uploads_code = None, True
        try:
            saved = super().save_pretrained(save_directory, *args, **kwargs)
        finally:
            kind._auto_class, kind._uploads_code = auto_class, False
        add_models_code(save_directory)
        return saved

    def _upload_modified_files(self, working_dir: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Any:
        if self._uploads_code:
            add_models_code(working_dir)
        return super()._upload_modified_files(working_dir, *args, **kwargs)
