"""What transformers' own `push_to_hub` leaves out: a card that says something, and care for what is to be private."""

import os
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from .hub_checks import check_not_public, full_id
from .short_cards import CARD_FILE, is_template, short_card


class SharesCard:
    """For models and processors to inherit from, before `SharesCode`.

    Both methods raise PyraTokError for `private=True` if the repository is there and is public.
    """

    def push_to_hub(self, repo_id: str, *args: Any, **kwargs: Any) -> str:
        """As in transformers; where the Hub has no card, a short one is made instead of a template to fill in."""
        if kwargs.get("private"):
            _check_private(repo_id, kwargs.get("token"))
        return super().push_to_hub(repo_id, *args, **kwargs)

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Any:
        """As in transformers; with `push_to_hub=True` the card is as in `push_to_hub`."""
        if kwargs.get("private"):
            _check_private(kwargs.get("repo_id") or os.path.basename(os.fspath(save_directory)), kwargs.get("token"))
        return super().save_pretrained(save_directory, *args, **kwargs)

    def _upload_modified_files(
        self, working_dir: str | os.PathLike[str], repo_id: str, *args: Any, **kwargs: Any
    ) -> Any:
        card = Path(working_dir) / CARD_FILE
        if not card.is_file() or not is_template(card.read_text("utf-8", errors="replace")):
            return super()._upload_modified_files(working_dir, repo_id, *args, **kwargs)
        short_card(working_dir, repo_id).save(card)
        try:
            return super()._upload_modified_files(working_dir, repo_id, *args, **kwargs)
        finally:
            card.unlink()  # it speaks of this repository: the folder may be pushed to another one later


def _check_private(repo_id: str, token: str | bool | None) -> None:
    api = HfApi(token=token)
    check_not_public(api, full_id(api, repo_id))
