"""Token files as a split of a dataset on the Hub: shards, and a card that counts all splits, in one commit."""

import contextlib
import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from huggingface_hub import DatasetCard, DatasetCardData, HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id

from ..hub_cards.dataset_card import licence_metadata
from ..hub_cards.dataset_facts import TokenKind
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.hub_checks import check_not_public
from ..modeling_pyratok.optional_libraries import needs_extra
from .dataset_folder import write_card
from .folders_aside import folder_aside
from .hub_state import KIND, HubState
from .parquet_shards import check_split
from .shard_facts import open_local
from .shard_writing import Progress, TokenShards, write_shards


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
        repo_id = self._full_id(api.whoami())
        self._check_licence()
        with contextlib.suppress(RepositoryNotFoundError):
            api.auth_check(repo_id, repo_type=KIND, write=True)
        if self.private:
            check_not_public(api, repo_id, KIND)

    def check_tokens(self, kind: TokenKind) -> None:
        """Ask the Hub whether tokens of this kind can come beside what is there, other splits and a card.

        Raises PyraTokError, and what huggingface_hub raises.
        """
        api = HfApi()
        with contextlib.suppress(RepositoryNotFoundError):
            HubState.now(api, self._full_id(api.whoami())).check(self.split, kind)

    def _full_id(self, user: dict[str, Any]) -> str:
        """The id with its owner. Raises PyraTokError if that is neither this user nor an organization that they write to, or if
        the token is one for reading."""
        if (user.get("auth") or {}).get("accessToken", {}).get("role") == "read":
            raise PyraTokError(
                "the access token that you are logged in with may only read; make one that may write on "
                "https://huggingface.co/settings/tokens, and log in with it by `hf auth login`"
            )
        owner, _, name = self.repo_id.rpartition("/")
        roles = {user["name"].lower(): "admin"}
        roles |= {one["name"].lower(): one.get("roleInOrg") for one in user.get("orgs") or []}
        if owner and roles.get(owner.lower()) == "read":
            raise PyraTokError(
                f"you may not push to {self.repo_id!r}: in the organization {owner!r} you may only read"
            )
        if owner and owner.lower() not in roles:
            raise PyraTokError(
                f"you may not push to {self.repo_id!r}: the Hub knows you as {user['name']!r}, and {owner!r} is no "
                f"organization of yours; push to {user['name'] + '/' + name!r}, or log in as somebody else with `hf auth login`"
            )
        return f"{owner or user['name']}/{name}"

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
        if target.private:
            check_not_public(api, repo_id, KIND)
        state = HubState.now(api, repo_id)
        others = state.shards()
        earlier = others.pop(target.split, [])
        remote = {path for paths in others.values() for path in paths}

        def open_shard(path: str) -> BinaryIO:
            return state.open_shard(path) if path in remote else open_local(path)

        write_card(folder, others, repo_id, target.licence, state.card(), open_shard)
        api.upload_folder(
            repo_id=repo_id,
            repo_type=KIND,
            folder_path=folder,
            delete_patterns=[glob.escape(path) for path in earlier],
            commit_message=f"Tokens of {shards.clips:,} clips as the split {target.split}",
            parent_commit=state.commit,  # the card speaks of this state: what has come since is not to be undone
        )
    return str(created), shards
