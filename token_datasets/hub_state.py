"""What a dataset on the Hub holds at one commit: shards of tokens, and a card."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from huggingface_hub import HfApi, HfFileSystem
from huggingface_hub.errors import EntryNotFoundError

from ..hub_cards.dataset_card import read_card
from ..hub_cards.dataset_facts import TokenKind
from ..modeling_pyratok.errors import PyraTokError
from .dataset_folder import CARD_FILE
from .parquet_shards import DATA_FOLDER, shards_by_split
from .shard_facts import dataset_facts
from .token_kinds import difference

KIND = "dataset"


@dataclass(frozen=True)
class HubState:
    """A dataset by its full id, at a commit. Whatever is asked raises what huggingface_hub raises."""

    api: HfApi
    repo_id: str
    commit: str

    @classmethod
    def now(cls, api: HfApi, repo_id: str) -> Self:
        """The dataset as it is."""
        return cls(api, repo_id, api.repo_info(repo_id, repo_type=KIND).sha)

    def shards(self) -> dict[str, list[str]]:
        """The paths of the shards, by split."""
        names = self.api.list_repo_files(self.repo_id, repo_type=KIND, revision=self.commit)
        return shards_by_split([name for name in names if name.rpartition("/")[0] == DATA_FOLDER])

    def open_shard(self, path: str) -> BinaryIO:
        """Open a shard; what is not read is not downloaded."""
        return HfFileSystem().open(f"datasets/{self.repo_id}@{self.commit}/{path}", "rb")

    def card(self) -> str | None:
        """The README.md, None if there is none. Raises PyraTokError if it is no text."""
        try:
            path = self.api.hf_hub_download(self.repo_id, CARD_FILE, repo_type=KIND, revision=self.commit)
            return Path(path).read_text("utf-8")
        except EntryNotFoundError:
            return None
        except UnicodeDecodeError as problem:
            raise PyraTokError(f"the card {CARD_FILE} of {self.repo_id!r} cannot be read: {problem}") from problem

    def check(self, split: str, kind: TokenKind) -> None:
        """Raise PyraTokError unless tokens of this kind can become this split, beside the others and the card."""
        read_card(self.card())
        others = {name: paths for name, paths in self.shards().items() if name != split}
        if others and (found := difference(dataset_facts(others, self.open_shard).kind, kind)):
            raise PyraTokError(
                f"a dataset holds tokens of one tokenizer, and those in {self.repo_id!r} are others: {found}; "
                "push to another dataset, or encode with that tokenizer and those levels"
            )
