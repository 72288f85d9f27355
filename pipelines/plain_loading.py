"""Makes `DiffusionPipeline.from_pretrained` load a PyraTok repository as the class that its model_index.json names does.

diffusers finds that class and then loads the components itself, without the class's own `from_pretrained`: gaps in weights
would be filled with random numbers, a variant of the tokenizer, which lies at the root, would be passed over, and where there
are no safetensors a pickle would do.
"""

import functools
from collections.abc import Mapping
from typing import Any

from diffusers import DiffusionPipeline

WHERE = ("cache_dir", "local_files_only", "proxies", "revision", "token")
"""Options that say where model_index.json is looked for."""


def load_by_class(classes: Mapping[str, type[DiffusionPipeline]]) -> None:
    """Do so for these classes, by their names; doing it twice changes nothing.

    Other repositories, other pipeline classes and custom pipelines load as ever.
    """
    plain = DiffusionPipeline.__dict__["from_pretrained"].__func__
    if getattr(plain, "knows_pyratok", False):
        return

    @functools.wraps(plain)
    def from_pretrained(cls: type[DiffusionPipeline], pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        if cls is DiffusionPipeline and kwargs.get("custom_pipeline") is None:
            named = classes.get(_class_name(pretrained_model_name_or_path, kwargs))
            if named is not None:
                return named.from_pretrained(pretrained_model_name_or_path, **kwargs)
        return plain(cls, pretrained_model_name_or_path, **kwargs)

    from_pretrained.knows_pyratok = True
    DiffusionPipeline.from_pretrained = classmethod(from_pretrained)


def _class_name(id_or_folder: Any, options: Mapping[str, Any]) -> str | None:
    """What model_index.json says; None if it cannot be read, which is told where it is needed."""
    try:
        index = DiffusionPipeline.load_config(id_or_folder, **{key: options[key] for key in WHERE if key in options})
    except (OSError, ValueError):
        return None
    name = index.get("_class_name")
    return name if isinstance(name, str) else None
