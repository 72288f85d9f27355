"""Weights that other projects saved: names, shapes and types first, tensors when asked for. Safetensors alone, no pickles."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open

from .errors import PyraTokError, system_reason
from .json_objects import read_json_object

Shape = tuple[int, ...]
Progress = Callable[[Sequence[str]], Iterable[str]]
"""Goes through names and shows how far it is."""

NAME = "diffusion_pytorch_model"
"""What diffusers calls the weights in a folder."""

CONFIG, EXTENSION = "config.json", ".safetensors"
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl")
DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
LARGEST_CONFIG = 1 << 20
"""Bytes."""
LONGEST_SHOWN = 150
"""Characters of a name in a message."""


class WeightsFile:
    """One safetensors file, or the folder that diffusers wrote; to be used in a `with` block.

    Raises PyraTokError with one sentence if there is none, if it is damaged, or if it is a pickle.

    Attributes:
        name: what to call it in messages.
        shapes: of every tensor, by name.
        types: of every tensor, by name, as safetensors calls them: "F32".
        settings: what config.json in the folder says, {} for a file.
    """

    def __init__(self, path: str | Path):
        self.path, self.name = Path(path), repr(str(path))
        self.settings = read_settings(self.path) if self.path.is_dir() else {}
        self._open, self._owners = ExitStack(), {}
        self.shapes: dict[str, Shape] = {}
        self.types: dict[str, str] = {}
        try:
            for part in _parts(self.path, self.name):
                self._read_header(part)
        except BaseException:
            self._open.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _read_header(self, part: Path) -> None:
        try:
            file = self._open.enter_context(safe_open(part, framework="pt"))
        except OSError as problem:
            raise PyraTokError(f"cannot read {str(part)!r}: {system_reason(problem)}") from problem
        except SafetensorError as problem:
            raise PyraTokError(f"{str(part)!r} is damaged, or no safetensors file: {shown(str(problem))}") from problem
        for name in file.keys():  # noqa: SIM118  (the handle is no mapping)
            if name in self.shapes:
                raise PyraTokError(
                    f"{self.name} holds {shown(name)} twice, the second time in {part.name!r}: its files are of several "
                    "saves; leave those of one there"
                )
            header = file.get_slice(name)
            self.shapes[name], self.types[name] = tuple(header.get_shape()), header.get_dtype()
            self._owners[name] = file
            if 0 in self.shapes[name]:
                raise PyraTokError(f"{self.name} holds the empty tensor {shown(name)} of shape {self.shapes[name]}")

    def tensor(self, name: str) -> torch.Tensor:
        """One tensor, read now."""
        return self._owners[name].get_tensor(name)

    def dtype_of(self, names: Iterable[str]) -> torch.dtype:
        """The floating point type of these tensors; float32, which holds all of them, if they have several.

        Raises PyraTokError for any other type.
        """
        types = {self.types[name]: name for name in names}
        kind = next((kind for kind in types if kind not in DTYPES), None)
        if kind is not None:
            raise PyraTokError(
                f"{self.name} holds {shown(types[kind])} as {kind}; weights have to be float32, bfloat16 or float16"
            )
        return DTYPES[next(iter(types))] if len(types) == 1 else torch.float32


def check_shapes(
    source: str, found: Mapping[str, Shape], wanted: Mapping[str, Shape], found_names: Mapping[str, str] | None = None
) -> None:
    """Raises PyraTokError, naming the first few, unless exactly the wanted tensors are there, in the wanted shapes.

    `found_names` says what the tensors in `found` are called in the file, where that is something else.
    """
    called = found_names or {}
    missing = [name for name in wanted if name not in found]
    unknown = [called.get(name, name) for name in found if name not in wanted]
    misshapen = [
        f"{called.get(name, name)} is {tuple(found[name])} instead of {tuple(shape)}"
        for name, shape in wanted.items()
        if name in found and tuple(found[name]) != tuple(shape)
    ]
    check_keys(source, missing, unknown, misshapen)


def check_keys(source: str, missing: Sequence[str], unknown: Sequence[str], misshapen: Sequence[str] = ()) -> None:
    """Raises PyraTokError, naming the first few of each, unless all are empty."""
    said = [
        f"{len(names)} {what} ({some_of(names)})"
        for names, what in ((missing, "missing"), (unknown, "not known"), (misshapen, "of another shape"))
        if names
    ]
    if said:
        raise PyraTokError(f"{source} cannot be used, its tensors do not fit: {'; '.join(said)}")


def some_of(names: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    return ", ".join(map(shown, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def shown(text: str) -> str:
    """What a file says, at a length that can be read and without what a terminal would obey."""
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def _parts(path: Path, name: str) -> list[Path]:
    """The files that the weights lie in."""
    if path.is_file():
        if path.suffix.lower() in PICKLES:
            raise PyraTokError(_pickle_advice(name, path.with_suffix(EXTENSION).name))
        return [path]
    if not path.is_dir():
        raise PyraTokError(f"there is no file or folder {name}")
    whole = path / f"{NAME}{EXTENSION}"
    parts = [whole] if whole.is_file() else sorted(path.glob(f"{NAME}-*-of-*{EXTENSION}"))
    if not parts and any(file.suffix.lower() in PICKLES for file in path.iterdir()):
        raise PyraTokError(_pickle_advice(name, whole.name))
    if not parts:
        raise PyraTokError(
            f"the folder {name} holds no {whole.name}; give the file itself if it is called something else"
        )
    return parts


def _pickle_advice(name: str, target: str) -> str:
    return (
        f"{name} holds a pickle, which could run any code; if you trust where it comes from, turn it into safetensors: "
        f"`safetensors.torch.save_file(torch.load(FILE, weights_only=True), {target!r})`"
    )


def read_settings(folder: Path) -> dict[str, Any]:
    """What config.json in the folder says, {} if there is none. Raises PyraTokError if it cannot be read."""
    path = folder / CONFIG
    if not path.is_file():
        return {}
    try:
        return read_json_object(path, LARGEST_CONFIG, "settings")
    except ValueError as problem:
        raise PyraTokError(f"{str(path)!r} cannot be read: {problem}") from problem
