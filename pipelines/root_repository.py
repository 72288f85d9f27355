"""The layout of a PyraTok repository: the tokenizer at its root, for `AutoModel`, other components in folders beside.

So one repository serves transformers and diffusers, and nothing is stored twice.
"""

import inspect
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import snapshot_download
from transformers.utils import CONFIG_NAME, IMAGE_PROCESSOR_NAME, VIDEO_PROCESSOR_NAME

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.repository_upload import upload_repository
from .bundled_model import BUNDLED_ID, resolve_model
from .component_classes import COMPONENT_CLASSES, LIBRARY
from .model_loading import Model, check_component, check_model, load_component, load_variant
from .remote_pipelines import add_remote_code

ROOT_COMPONENTS = ("vq_model", "video_processor")
"""Components that lie at the root. The processor's file is given its older name, preprocessor_config.json, there:
transformers reads both, and diffusers downloads only that one from the root of a Hub repository."""

REPOSITORY_FILES = ("*.json", "*.safetensors", "*.txt", "*.jinja", "*.model")
"""Files of a Hub repository that pipelines need: configurations, weights, vocabularies. No pickles, no code."""


class RootRepository:
    """For a pipeline class to inherit from, before `DiffusionPipeline`."""

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        variant: str | None = None,
        max_shard_size: int | str | None = None,
        push_to_hub: bool = False,
        remote_code: bool = False,
        **kwargs: Any,
    ) -> None:
        """Save the pipeline: tokenizer and processor at the root of the folder, other components in folders beside.

        Args:
            save_directory: created if it does not exist.
            variant, max_shard_size: of weight files, as in `PreTrainedModel.save_pretrained`.
            push_to_hub: whether to upload the folder as well.
            remote_code: whether to save code along, so that it opens where PyraTok is not installed (`add_remote_code`).
            kwargs: for the upload, as in `push_to_hub`, with `repo_id`, which is the folder's name by default.
                `safe_serialization` is taken and has no effect: weights are always safetensors.
        """
        kwargs.pop("safe_serialization", None)
        sizes = {"variant": variant, "max_shard_size": max_shard_size}
        folder = Path(save_directory)
        for name, component in self.components.items():
            if component is None:
                continue
            options = {k: v for k, v in sizes.items() if v is not None} if hasattr(component, "state_dict") else {}
            component.save_pretrained(folder if name in ROOT_COMPONENTS else folder / name, **options)
        if (folder / VIDEO_PROCESSOR_NAME).is_file():
            os.replace(folder / VIDEO_PROCESSOR_NAME, folder / IMAGE_PROCESSOR_NAME)
        self._save_index(folder)
        if remote_code:
            add_remote_code(folder)
        if push_to_hub:
            upload_repository(folder, kwargs.pop("repo_id", folder.resolve().name), **kwargs)

    def push_to_hub(
        self,
        repo_id: str,
        variant: str | None = None,
        max_shard_size: int | str | None = None,
        remote_code: bool = False,
        **kwargs: Any,
    ) -> str:
        """Upload the pipeline as `save_pretrained` saves it.

        Args:
            repo_id: `OWNER/NAME`, or the name alone; created if it is not there.
            variant, max_shard_size, remote_code: as in `save_pretrained`.
            kwargs: `revision` (a branch, which is made), `private`, `token`, `commit_message`, `create_pr`.

        Returns the address. Raises what huggingface_hub raises.
        """
        kwargs.pop("safe_serialization", None)
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, variant, max_shard_size, remote_code=remote_code)
            return upload_repository(folder, repo_id, **kwargs)

    def _save_index(self, folder: Path) -> None:
        """Write model_index.json without what the pipeline was loaded from, which may be a path of this machine."""
        index = json.loads(self.to_json_string())
        index.pop("_name_or_path", None)
        for name, value in index.items():
            if isinstance(value, list) and value[1] in COMPONENT_CLASSES:
                index[name] = [LIBRARY, value[1]]  # and not the module that remote code was copied to
        (folder / self.config_name).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Self:
        """Load a pipeline: from the bundled model (`pyratok`), a folder or a Hub id; see `DiffusionPipeline`.

        The folder may be the repository of a larger pipeline: this one takes the components that it needs.

        `variant="fp16"` takes the weights that were saved with it, of the tokenizer and of every component that has such.
        `DiffusionPipeline.from_pretrained` does the same, see `plain_loading`.

        Nothing is unpickled: weights are safetensors.

        Raises PyraTokError with one sentence if a model in the folder is not complete (diffusers would start with random
        weights in the gaps), unless that component is given.
        """
        name = os.fspath(pretrained_model_name_or_path)
        if kwargs.get("use_safetensors") is False:
            raise PyraTokError("weights are safetensors: use_safetensors=False, which unpickles, is not taken")
        kwargs["use_safetensors"] = True
        variant = kwargs.get("variant")
        source = resolve_model(BUNDLED_ID, variant) if name == BUNDLED_ID else name
        if "vq_model" not in kwargs and not os.path.isdir(source):
            source = cls.download(source, **kwargs)
        if "vq_model" not in kwargs and variant is not None:
            kwargs["vq_model"] = load_variant(source, variant, dtype_of("vq_model", kwargs))
        elif "vq_model" not in kwargs:
            check_model(source)
        if variant is None and os.path.isdir(source):
            for component in inspect.signature(cls.__init__).parameters:
                if component not in kwargs and (Path(source) / component / CONFIG_NAME).is_file():
                    check_component(Path(source) / component)
        # diffusers looks for variants in folders beside the root alone, and refuses if it finds none.
        if variant is not None and os.path.isdir(source) and not any(Path(source).glob(f"*/*.{variant}[.-]*")):
            del kwargs["variant"]
        pipeline = super().from_pretrained(source, **kwargs)
        pipeline.register_to_config(_name_or_path=name)
        return pipeline

    @classmethod
    def download(cls, pretrained_model_name: str, **kwargs: Any) -> str:
        """Download a Hub repository, all of it: other pipelines' components cost a download, but none is loaded."""
        names = ("cache_dir", "force_download", "local_files_only", "token", "revision")
        options = {name: kwargs[name] for name in names if kwargs.get(name) is not None}
        return snapshot_download(pretrained_model_name, allow_patterns=list(REPOSITORY_FILES), **options)


def load_beside(kind: type[Model], folder: Path, component: str, options: Mapping[str, Any]) -> Model:
    """A component that model_index.json need not name, from its folder, as the `options` of `from_pretrained` ask for it.

    Its `variant` is taken if the folder has it. Raises PyraTokError if it cannot be loaded completely.
    """
    variant = options.get("variant")
    has_variant = variant is not None and any(folder.glob(f"model.{variant}*"))
    model = load_component(kind, folder, variant if has_variant else None)
    dtype = dtype_of(component, options)
    return model if dtype is None else model.to(dtype)


def dtype_of(component: str, options: Mapping[str, Any]) -> torch.dtype | None:
    """What diffusers' `dtype` (or `torch_dtype`), one for all or one for each component, says of this one."""
    dtype = options.get("dtype", options.get("torch_dtype"))
    return dtype.get(component, dtype.get("default")) if isinstance(dtype, Mapping) else dtype
