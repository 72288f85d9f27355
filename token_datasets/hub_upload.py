"""Token files as a split of a dataset on the Hub: shards, and a card that counts all splits, in one commit."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from huggingface_hub import DatasetCard, DatasetCardData, HfApi, HfFileSystem
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id

from ..hub_cards.dataset_card import licence_metadata
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.optional_libraries import needs_extra
from .dataset_folder import CARD_FILE, write_card
from .folders_aside import folder_aside
from .parquet_shards import DATA_FOLDER, check_split, shards_by_split
from .shard_facts import OpenShard, open_local
from .shard_writing import Progress, TokenShards, write_shards

KIND = "dataset"


@dataclass(frozen=True)
class HubTarget:
    """Where tokens go: a dataset and one of its splits.

    private: make the dataset a private one, or refuse a public one. licence: as in `dataset_card`.
    """

    repo_id: str
    split: str = "train"
    private: bool = False
    licence: str | None = None

    @property
    def folder(self) -> str:
        """Where the token files lie if nobody says where: here, under the dataset's name and the split's."""
        return os.path.join(f"{self.repo_id.rsplit('/', 1)[-1]}-token-files", self.split)

    def check(self) -> None:
        """Ask the Hub, before hours of work, for what would make the upload fail.

        Raises PyraTokError, and what huggingface_hub raises.
        """
        with needs_extra("train"):
            import pyarrow  # noqa: F401
        check_split(self.split)
        validate_repo_id(self.repo_id)
        api = HfApi()
        owner = api.whoami()["name"]
        self._check_licence()
        with contextlib.suppress(RepositoryNotFoundError):
            self.check_visibility(api, self.repo_id if "/" in self.repo_id else f"{owner}/{self.repo_id}")

    def _check_licence(self) -> None:
        if self.licence is not None:
            metadata = DatasetCardData(**licence_metadata(self.licence)).to_yaml()
            try:
                DatasetCard(f"---\n{metadata}\n---\n").validate(repo_type=KIND)
            except ValueError as problem:
                raise PyraTokError(
                    f"the Hub knows no licence {self.licence!r}; give mit, cc-by-4.0, other or another identifier that "
                    "https://huggingface.co/docs/hub/repositories-licenses names"
                ) from problem

    def check_visibility(self, api: HfApi, repo_id: str) -> None:
        """Raise PyraTokError if the dataset, by its full id, is public and is not to be."""
        if self.private and not api.repo_info(repo_id, repo_type=KIND).private:
            raise PyraTokError(
                f"the dataset {self.repo_id!r} is there and is public; push without --private, or elsewhere"
            )


def push_token_files(
    files: Mapping[str, Path], target: HubTarget, place: Path, progress: Progress = iter
) -> tuple[str, TokenShards]:
    """Write shards of token files, and make them the split of the dataset; an earlier state of the split is replaced.

    Args:
        files: token files by the names of their rows.
        target: where they go; it is made if it is not there.
        place: a folder on whose disk the shards lie until they are uploaded.
        progress: as in `write_shards`.

    Returns the dataset's address and what was written.

    Raises PyraTokError as `write_shards` does, and for other splits of another tokenizer; and what
    huggingface_hub raises.
    """
    with folder_aside(place) as folder:
        shards = write_shards(files, folder, target.split, progress=progress)
        api = HfApi()
        created = api.create_repo(target.repo_id, repo_type=KIND, private=target.private or None, exist_ok=True)
        repo_id = created.repo_id
        target.check_visibility(api, repo_id)
        state = api.repo_info(repo_id, repo_type=KIND).sha
        others, open_shard = _other_splits(api, repo_id, state, target.split)
        write_card(folder, others, repo_id, target.licence, _earlier_card(api, repo_id, state), open_shard)
        api.upload_folder(
            repo_id=repo_id,
            repo_type=KIND,
            folder_path=folder,
            delete_patterns=f"{DATA_FOLDER}/{target.split}-*.parquet",
            commit_message=f"Tokens of {shards.clips:,} clips as the split {target.split}",
            parent_commit=state,  # the card speaks of this state: what has come since is not to be undone
        )
    return str(created), shards


def _other_splits(api: HfApi, repo_id: str, state: str, split: str) -> tuple[dict[str, list[str]], OpenShard]:
    """The shards of the splits that stay, by their paths on the Hub, and what opens them there, and others here."""
    names = api.list_repo_files(repo_id, repo_type=KIND, revision=state)
    inside = [name for name in names if name.startswith(f"{DATA_FOLDER}/")]
    others = {name: paths for name, paths in shards_by_split(inside).items() if name != split}
    remote = {path for paths in others.values() for path in paths}
    hub = HfFileSystem()

    def open_shard(path: str) -> BinaryIO:
        return hub.open(f"datasets/{repo_id}@{state}/{path}", "rb") if path in remote else open_local(path)

    return others, open_shard


def _earlier_card(api: HfApi, repo_id: str, state: str) -> str | None:
    try:
        path = api.hf_hub_download(repo_id, CARD_FILE, repo_type=KIND, revision=state)
    except EntryNotFoundError:
        return None
    return Path(path).read_text("utf-8")
