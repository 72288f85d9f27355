"""The model that ships in the package, id `pyratok`: where it is, and how it gets into the Hugging Face cache."""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.utils import WeakFileLock

from ..modeling_pyratok.errors import PyraTokError, system_reason

BUNDLED_ID = "pyratok"
BUNDLED_FOLDER = Path(__file__).resolve().parent.parent / "hub_cards" / BUNDLED_ID
CACHE_FOLDER = f"models--{BUNDLED_ID}"
"""The hub client's name for the folder of a repository `pyratok`, which has no owner."""

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")

OPTIONAL_FILES = (
    "adapter_config.json",
    "processor_config.json",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
)
"""What transformers asks the Hub for beside the model's files. Their absence is noted in the cache, as the client
does: else each is looked for again, and a Hub that knows no repository `pyratok` makes that an error."""


def resolve_model(id_or_folder: str | os.PathLike[str], variant: str | None = None) -> str:
    """What `from_pretrained` is to be given: the bundled folder for `pyratok`, a folder with a model, or a Hub id.

    The Hub is never asked. A folder `./pyratok` does not shadow the bundled model here (write `./pyratok` to mean it).
    `variant` is a part of the weights' file name, as in `model.fp16.safetensors`.

    Raises PyraTokError with one sentence if it is neither, or if the folder holds no PyraTok model.
    """
    name = os.fspath(id_or_folder)
    if name == BUNDLED_ID:
        return str(_checked_folder(BUNDLED_FOLDER, variant))
    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(_checked_folder(folder, variant))
    if folder.exists():
        raise PyraTokError(f"{name!r} is a file; give the folder of a model, or a Hub id")
    if HUB_ID.fullmatch(name):
        return name
    raise PyraTokError(
        f"there is no model {name!r}: it is no folder, no Hub id (owner/name) and not the bundled {BUNDLED_ID!r}"
    )


def shadowing_folder() -> Path | None:
    """The folder `./pyratok`, if there is one: `from_pretrained("pyratok")` would take it for the model."""
    folder = Path.cwd() / BUNDLED_ID
    return folder if folder.is_dir() else None


def install_into_cache(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Put the bundled model into the hub client's cache: `AutoModel.from_pretrained("pyratok")` then works anywhere.

    The client looks there when it is offline, and when the Hub knows no such id. The layout is the hub's own: contents
    in `blobs/`, one `snapshots/<hash>/` that links to them, and `refs/main`, which names it and is replaced last: a
    model that is there already stays whole until that moment, and then goes. Installing twice changes nothing.

    Args:
        cache_dir: the cache; by default the client's (`HF_HUB_CACHE`, `HF_HOME`).

    Returns the snapshot's folder. Raises PyraTokError if the package has no model, or if the cache cannot be written.
    """
    source = _checked_folder(BUNDLED_FOLDER)
    cache = Path(constants.HF_HUB_CACHE if cache_dir is None else cache_dir).expanduser()
    repository = cache / CACHE_FOLDER
    try:
        lock = cache / ".locks" / CACHE_FOLDER / "install.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):
            return _install(source, repository)
    except OSError as problem:
        raise PyraTokError(
            f"cannot install into the cache {str(cache)!r}: {system_reason(problem)}; HF_HUB_CACHE names another one"
        ) from problem


def _checked_folder(folder: Path, variant: str | None = None) -> Path:
    """The folder, if a PyraTok model is in it. Raises PyraTokError."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise PyraTokError(f"{str(folder)!r} holds no model: it has no config.json") from problem
    except (OSError, ValueError) as problem:
        raise PyraTokError(f"{str(folder / 'config.json')!r} cannot be read: {problem}") from problem
    model_type = config.get("model_type") if isinstance(config, dict) else None
    if model_type != "pyratok":
        raise PyraTokError(f"{str(folder)!r} holds no PyraTok model: its config.json says model_type {model_type!r}")
    names = [name if variant is None else _with_variant(name, variant) for name in WEIGHTS]
    if not any((folder / name).is_file() for name in names):
        raise PyraTokError(f"{str(folder)!r} holds no weights: it has no {names[0]}")
    return folder


def _with_variant(name: str, variant: str) -> str:
    """transformers' name for the file of a variant: "fp16" comes before the last extension."""
    stem, _, extension = name.rpartition(".")
    return f"{stem}.{variant}.{extension}"


def _install(source: Path, repository: Path) -> Path:
    """Write the files of `source` as the one snapshot of `repository`."""
    digests = {path: _sha256(source / path) for path in _model_files(source)}
    listing = "".join(f"{path.as_posix()} {digest}\n" for path, digest in digests.items())
    commit = hashlib.sha1(listing.encode(), usedforsecurity=False).hexdigest()  # 40 digits, as a commit has
    for part in ("blobs", "snapshots", "refs"):
        (repository / part).mkdir(parents=True, exist_ok=True)
    for path, digest in digests.items():
        blob = repository / "blobs" / digest
        if not blob.is_file() or _sha256(blob) != digest:
            _copy_aside(source / path, blob)
    snapshot = repository / "snapshots" / commit
    if not _is_complete(snapshot, digests):
        _link_snapshot(snapshot, digests)
    _note_absence(repository / ".no_exist" / commit, digests)
    aside = repository / "refs" / f".main-{secrets.token_hex(8)}"
    with _removed_on_failure(aside):
        aside.write_text(commit)
        os.replace(aside, repository / "refs" / "main")
    _remove_all_but(repository, commit, set(digests.values()))
    return snapshot


def _model_files(source: Path) -> list[Path]:
    """The files of the model, relative to `source`, in order; what belongs to Python or is hidden is left out."""
    found = (path.relative_to(source) for path in source.rglob("*") if path.is_file())
    return sorted(path for path in found if path.suffix != ".pyc" and not any(part[0] in "._" for part in path.parts))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy_aside(source: Path, target: Path) -> None:
    """Copy a file's contents to `target`, whole or not at all."""
    aside = target.with_name(f".{secrets.token_hex(8)}")
    with _removed_on_failure(aside):
        shutil.copyfile(source, aside)
        os.replace(aside, target)


def _is_complete(snapshot: Path, digests: dict[Path, str]) -> bool:
    """Whether the snapshot leads to exactly these contents."""
    files = {path.relative_to(snapshot) for path in snapshot.rglob("*") if path.is_file()}
    return files == set(digests) and all(_sha256(snapshot / path) == digest for path, digest in digests.items())


def _link_snapshot(snapshot: Path, digests: dict[Path, str]) -> None:
    """Make `snapshot` a tree of links into `blobs/`, or of copies where links cannot be made."""
    aside = snapshot.with_name(f".{snapshot.name}-{secrets.token_hex(8)}")
    with _removed_on_failure(aside):
        for path, digest in digests.items():
            link = aside / path
            link.parent.mkdir(parents=True, exist_ok=True)
            blob = snapshot.parent.parent / "blobs" / digest
            try:
                link.symlink_to(os.path.relpath(blob, link.parent))
            except OSError:
                shutil.copyfile(blob, link)
        _remove(snapshot)  # an incomplete one: a folder that is not empty cannot be replaced
        os.replace(aside, snapshot)


def _note_absence(folder: Path, digests: dict[Path, str]) -> None:
    """Note that neither this model nor what lies in folders beside it has the optional files, but for those that are there."""
    _remove(folder)
    folder.mkdir(parents=True)
    for part in {path.parent for path in digests}:
        (folder / part).mkdir(exist_ok=True)
        for name in OPTIONAL_FILES:
            if part / name not in digests:
                (folder / part / name).touch()


def _remove_all_but(repository: Path, commit: str, blobs: set[str]) -> None:
    """Remove older models, and what the client noted about them."""
    keep = {"snapshots": {commit}, "refs": {"main"}, "blobs": blobs, ".no_exist": {commit}, "trees": set()}
    for part, names in keep.items():
        for path in (repository / part).glob("*"):
            if path.name not in names:
                _remove(path)


@contextlib.contextmanager
def _removed_on_failure(path: Path) -> Iterator[None]:
    """Remove `path` if the block fails; KeyboardInterrupt counts."""
    try:
        yield
    except BaseException:
        _remove(path)
        raise


def _remove(path: Path) -> None:
    """Remove a file, a link or a folder, or nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
