"""Uploading the folder of a saved model or pipeline to the Hub."""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelCard
from huggingface_hub.errors import RemoteEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import filter_repo_objects, validate_repo_id

from .errors import PyraTokError
from .hub_checks import check_card, check_not_public, full_id
from .short_cards import CARD_FILE, is_template, short_card

KEPT_HERE = (
    *("*.pyc", "**/__pycache__/**", ".cache/**", ".git/**", "**/.git/**"),
    *("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl"),
)
"""What a folder may hold that does not belong into a repository; pickles do not."""

ATTRIBUTES = ".gitattributes"
"""The Hub's own file, without which large files are none."""


def upload_repository(
    folder: str | os.PathLike[str],
    repo_id: str,
    revision: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    commit_message: str | None = None,
    create_pr: bool = False,
    make_card: Callable[[str], ModelCard] | None = None,
    replaced: Sequence[str] = (),
) -> str:
    """Upload a folder as a model repository, in one commit; progress is shown by the hub client.

    Weights that lie there under other file names, in more or fewer shards, go in the same commit: they would be loaded in the
    place of the new ones. A card is made only where neither the folder nor the Hub has one, an untouched template being none;
    it is uploaded, and not written into the folder. What can be known to fail does so before anything is made on the Hub.

    Args:
        folder: what `save_pretrained` wrote.
        repo_id: `NAME` or `OWNER/NAME`; created if it is not there.
        revision: the branch; created from the default one if it is not there.
        private: as in huggingface_hub, but True is refused where the repository is there and is public.
        token, create_pr: as in huggingface_hub.
        make_card: makes the card that is missing, from the full id; by default a short one.
        replaced: patterns of files that go in the same commit, where the folder has none of that name.

    Returns:
        The address of the repository, at the branch.

    Raises:
        PyraTokError: if it is to be private and is public, or if the Hub refuses the card.
        What huggingface_hub and `make_card` raise.
    """
    root, api = Path(folder), HfApi(token=token)
    validate_repo_id(repo_id)
    name = full_id(api, repo_id)
    if private:
        check_not_public(api, name)
    card = _card_to_upload(api, root, name, revision, make_card or functools.partial(short_card, root))
    if card is not None:
        check_card(api, card)
    address = api.create_repo(name, private=private, exist_ok=True)
    if revision is not None and not revision.startswith("refs/pr"):
        api.create_branch(address.repo_id, branch=revision, exist_ok=True)
    added = {name: path for name, path in _files(root).items() if name != CARD_FILE}
    if card is not None:
        added[CARD_FILE] = card.encode("utf-8")
    there = api.list_repo_files(address.repo_id, revision=revision)
    stale = set(filter_repo_objects(there, allow_patterns=[*_weights_of_before(root), *replaced]))
    api.create_commit(
        address.repo_id,
        [
            *(CommitOperationDelete(name, is_folder=False) for name in sorted(stale - {*added, ATTRIBUTES})),
            *(CommitOperationAdd(name, contents) for name, contents in sorted(added.items())),
        ],
        commit_message=commit_message or "Upload PyraTok",
        revision=revision,
        create_pr=create_pr,
    )
    return str(address) if revision is None else f"{address}/tree/{revision}"


def _files(root: Path) -> dict[str, Path | bytes]:
    """What is uploaded: names on the Hub, and where the files lie."""
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {name: files[name] for name in filter_repo_objects(files, ignore_patterns=list(KEPT_HERE))}


def _card_to_upload(
    api: HfApi, root: Path, repo_id: str, revision: str | None, make_card: Callable[[str], ModelCard]
) -> str | None:
    """The text of the folder's card, or of one made for it; None if that of the Hub stays. Raises PyraTokError."""
    own = root / CARD_FILE
    if own.is_file():
        try:
            text = own.read_bytes().decode("utf-8")
        except UnicodeDecodeError as problem:
            raise PyraTokError(f"the card {str(own)!r} cannot be read: {problem}") from problem
        if not is_template(text):
            return text
    there = _card_there(api, repo_id, revision)
    return None if there is not None and not is_template(there) else str(make_card(repo_id))


def _card_there(api: HfApi, repo_id: str, revision: str | None) -> str | None:
    """The README.md of the repository, None if there is none."""
    for place in dict.fromkeys((revision, None)):  # a branch that is not there will begin where the default one is
        try:
            return Path(api.hf_hub_download(repo_id, CARD_FILE, revision=place)).read_text("utf-8", errors="replace")
        except RevisionNotFoundError:
            continue
        except (RemoteEntryNotFoundError, RepositoryNotFoundError):
            return None
    return None


def _weights_of_before(root: Path) -> Iterator[str]:
    """Patterns of files that other numbers of shards of the same weights have."""
    for weights in (*root.glob("model*.safetensors"), *root.glob("*/model*.safetensors")):
        start = weights.relative_to(root).as_posix().removesuffix(weights.name)
        variant = weights.stem.split("-")[0].removeprefix("model")  # "" or ".fp16"
        yield f"{start}model{variant}.safetensors"
        yield f"{start}model{variant}-*-of-*.safetensors"
        yield f"{start}model.safetensors.index{variant}.json"
