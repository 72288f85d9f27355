"""The LoRA of an encoder alone, in peft's files: small enough to share, for whoever has the VAE that it belongs to."""

import copy
import functools
import os
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, ModelCardData, snapshot_download
from peft import LoraConfig, get_peft_model_state_dict
from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME
from safetensors import safe_open
from safetensors.torch import save_file

from .atomic_writing import atomic_path
from .backbone import modules_without_use
from .errors import PyraTokError, system_reason
from .hub_reasons import reason_of_hub
from .json_objects import read_json_object
from .lora import ADAPTER, add_lora, lora_layers
from .repository_upload import upload_repository
from .weights_file import DTYPES, LARGEST_CONFIG, WeightsFile, check_shapes, shown
from .weights_fingerprint import fingerprint

PREFIX = "base_model.model.encoder."
"""How peft calls a tensor of the encoder, seen from the VAE."""

BASE = "pyratok_base_fingerprint"
"""In the metadata of the weights: the SHA-256 of the encoder's weights that they belong to."""

LARGEST_RANK, LARGEST_ALPHA = 4096, 1e6
OTHER_SCALING = ("use_rslora", "use_dora", "use_qalora", "alpha_pattern", "rank_pattern", "lora_bias")
"""What peft would apply a LoRA in another way with."""

CARD_TEXT = """
# {name}

LoRA for the encoder of a [PyraTok](https://arxiv.org/abs/2601.16210) tokenizer, rank {rank}, in the format of peft. It belongs
to the encoder with the fingerprint `{base}`
(`model.encoder_fingerprint()` tells it), and goes onto no other.

```python
import pyratok

base = "OWNER/NAME"  # a model with that encoder, on the Hub or in a folder
model = pyratok.PyraTokModel.from_pretrained(base)
model.load_lora("{repo}")
```
"""


def _card(rank: int, base: str, repo_id: str) -> ModelCard:
    data = ModelCardData(library_name="peft", tags=["pyratok", "lora"])
    text = CARD_TEXT.format(name=repo_id.split("/")[-1], repo=repo_id, rank=rank, base=base)
    return ModelCard(f"---\n{data.to_yaml()}\n---\n{text}")


class LoraFiles:
    """`save_lora` and `load_lora` for a `PyraTokModel`."""

    def encoder_fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of the encoder's own weights, without LoRA, whether that is merged or not."""
        start = "backbone.encoder."
        weights = {
            name.removeprefix(start).replace(".base_layer.", "."): tensor
            for name, tensor in self.unmerged_state_dict().items()
            if name.startswith(start) and ".lora_" not in name
        }
        return fingerprint(weights)

    def save_lora(
        self,
        save_directory: str | os.PathLike[str],
        dtype: torch.dtype | None = None,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> None:
        """Save the encoder's LoRA factors alone: `adapter_config.json` and `adapter_model.safetensors`, as peft does.

        Of the full-size model at rank 16 they take 17.7 MB in float32. What PyraTok adds around the encoder is no part of it.

        Args:
            save_directory: created if it does not exist.
            dtype: of the file, `torch.bfloat16` for half the size; by default that of the factors, and nothing is rounded.
            push_to_hub: whether to upload the folder as well, with a card, which is not written into the folder.
            kwargs: for the upload: `repo_id`, by default the folder's name, `revision`, `private`, `token`, `commit_message`.

        Raises:
            TypeError: for `kwargs` without `push_to_hub`.
            PyraTokError: if the model has no LoRA, if `dtype` is none of float32, bfloat16 and float16, or if the folder cannot
                be written.
        """
        if kwargs and not push_to_hub:
            raise TypeError(
                f"save_lora() got unexpected arguments: {', '.join(kwargs)}; those of an upload need push_to_hub=True"
            )
        layers = dict(lora_layers(self.backbone.encoder))
        if not layers:
            raise PyraTokError("the model has no LoRA: its lora_rank is 0")
        own = {layer.lora_A[ADAPTER].weight.dtype for layer in layers.values()}
        for stored in own if dtype is None else {dtype}:
            if stored not in DTYPES.values():
                raise PyraTokError(
                    f"LoRA is stored in torch.float32, torch.bfloat16 or torch.float16, not in {stored!r}: give one as dtype"
                )
        folder, base = Path(save_directory), self.encoder_fingerprint()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise PyraTokError(f"cannot write into {str(folder)!r}: {system_reason(problem)}") from problem
        factors = {
            f"{PREFIX}{name}": tensor.detach().to("cpu", dtype).contiguous()
            for name, tensor in get_peft_model_state_dict(self.backbone.encoder, adapter_name=ADAPTER).items()
        }
        with atomic_path(folder / SAFETENSORS_WEIGHTS_NAME) as path:
            save_file(factors, path, metadata={"format": "pt", BASE: base})
        targets = [f"encoder.{name}" for name in layers]
        rank, alpha = self.config.lora_rank, self.config.lora_alpha
        LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, inference_mode=True).save_pretrained(str(folder))
        if push_to_hub:
            repo_id = kwargs.pop("repo_id", folder.resolve().name)
            upload_repository(folder, repo_id, make_card=functools.partial(_card, rank, base), **kwargs)

    def load_lora(
        self,
        id_or_folder: str | os.PathLike[str],
        revision: str | None = None,
        token: str | bool | None = None,
        force: bool = False,
    ) -> None:
        """Put LoRA factors that `save_lora` wrote in the place of the encoder's; merged LoRA is merged again with them.

        A model without LoRA is given it. Nothing is changed if an error is raised.

        Args:
            id_or_folder, revision, token: a folder, or a Hub id with a branch, tag or commit.
            force: take factors that belong to other weights, which is seldom of use.

        Raises:
            PyraTokError: if there is none, if it is damaged, or if it does not fit: another rank or alpha, other layers, other
                weights of the encoder. Rounded weights of an encoder are others here: load a LoRA onto float32, and round then.
        """
        name = repr(os.fspath(id_or_folder))
        folder = _lora_folder(id_or_folder, revision, token)
        with _weights(folder, name) as weights:
            rank, alpha = _rank_and_alpha(folder, name)
            if self.config.lora_rank and (self.config.lora_rank, self.config.lora_alpha) != (rank, alpha):
                raise PyraTokError(
                    f"the LoRA {name} has rank {rank} and alpha {alpha:g}, the model {self.config.lora_rank} and "
                    f"{self.config.lora_alpha:g}; give the model lora_rank={rank}, lora_alpha={alpha:g}"
                )
            if not force:
                self._check_base(folder / SAFETENSORS_WEIGHTS_NAME, name)
            wanted = self._wanted_factors(rank)
            check_shapes(f"the LoRA {name}", weights.shapes, wanted)
            weights.dtype_of(wanted)  # raises for any other type than those of weights
            factors = {factor: weights.tensor(factor) for factor in wanted}
            if (
                broken := next((key for key, tensor in factors.items() if not tensor.isfinite().all()), None)
            ) is not None:
                raise PyraTokError(f"the LoRA {name} is damaged: {broken} is not finite")
            self._take_factors(rank, alpha, factors)

    def _check_base(self, file: Path, name: str) -> None:
        with safe_open(file, framework="pt") as weights:
            base = str((weights.metadata() or {}).get(BASE))
        own = self.encoder_fingerprint()
        if base != own:
            raise PyraTokError(
                f"the LoRA {name} belongs to an encoder with the fingerprint {shown(base[:12])}, and that of this model, in "
                f"{self.dtype}, is {own[:12]}; force=True takes it nevertheless"
            )

    def _wanted_factors(self, rank: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the factors of this encoder, by their names in a file, whether it has any yet or not."""
        encoder = self.backbone.encoder
        if not self.config.lora_rank:
            config = copy.deepcopy(self.config)
            config.lora_rank = rank
            with torch.device("meta"):
                encoder = type(self)(config).backbone.encoder
        state = get_peft_model_state_dict(encoder, adapter_name=ADAPTER)
        return {f"{PREFIX}{name}": tuple(tensor.shape) for name, tensor in state.items()}

    @torch.no_grad()
    def _take_factors(self, rank: int, alpha: float, factors: dict[str, torch.Tensor]) -> None:
        if not self.config.lora_rank:
            without_use = modules_without_use(self.backbone, self._last_stage, self._is_residual)
            add_lora(self.backbone.encoder, rank, alpha, excluded=without_use)
            self.config.lora_rank, self.config.lora_alpha = rank, alpha
            self._freeze()
        layers = list(lora_layers(self.backbone.encoder))
        was_merged = any(layer.merged for _, layer in layers)
        self.unmerge_lora()
        for name, layer in layers:
            for part, factor in (("lora_A", layer.lora_A), ("lora_B", layer.lora_B)):
                factor[ADAPTER].weight.copy_(factors[f"{PREFIX}{name}.{part}.weight"])
        if was_merged:
            self.merge_lora()


def _lora_folder(id_or_folder: str | os.PathLike[str], revision: str | None, token: str | bool | None) -> Path:
    """The folder itself, or where the Hub's files lie after a download. Raises PyraTokError."""
    name = os.fspath(id_or_folder)
    folder = Path(name).expanduser()
    if not folder.is_dir():
        try:
            files = [CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME]
            folder = Path(snapshot_download(name, revision=revision, token=token, allow_patterns=files))
        except (OSError, ValueError) as problem:
            reason = (
                reason_of_hub(problem) or f"it is no folder, and of the Hub: {str(problem).strip().splitlines()[0]}"
            )
            raise PyraTokError(f"the LoRA {name!r} cannot be loaded: {reason}") from problem
    return folder


def _weights(folder: Path, name: str) -> WeightsFile:
    for needed in (CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME):
        if not (folder / needed).is_file():
            raise PyraTokError(f"there is no LoRA in {name}: it has no {needed}")
    return WeightsFile(folder / SAFETENSORS_WEIGHTS_NAME)


def _rank_and_alpha(folder: Path, name: str) -> tuple[int, float]:
    path = folder / CONFIG_NAME
    try:
        settings = read_json_object(path, LARGEST_CONFIG)
    except ValueError as problem:
        raise PyraTokError(f"{CONFIG_NAME} of the LoRA {name} cannot be read: {problem}") from problem
    rank, alpha = settings.get("r"), settings.get("lora_alpha")
    is_number = type(alpha) in (int, float) and 0 < alpha <= LARGEST_ALPHA
    is_rank = type(rank) is int and 1 <= rank <= LARGEST_RANK
    if others := [key for key in OTHER_SCALING if settings.get(key)]:
        raise PyraTokError(f"the LoRA {name} cannot be applied here: its {CONFIG_NAME} sets {', '.join(others)}")
    if settings.get("peft_type") != "LORA" or not is_rank or not is_number:
        said = f"{ ({key: settings.get(key) for key in ('peft_type', 'r', 'lora_alpha')})!r:.200}"
        raise PyraTokError(f"{name} holds no LoRA that can be read here: its {CONFIG_NAME} says {shown(said)}")
    return rank, float(alpha)
