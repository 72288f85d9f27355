"""A whole dataset of tokens in a folder: shards of a split, and the card of all splits. It can be uploaded as it is."""

import os
from pathlib import Path

from huggingface_hub import DatasetCard

from ..hub_cards.dataset_card import dataset_card
from ..modeling_pyratok.atomic_writing import atomic_path
from ..modeling_pyratok.errors import PyraTokError, system_reason
from .shard_facts import dataset_facts, local_shards
from .shard_writing import SHARD_BYTES, Progress, TokenShards, write_token_shards

CARD_FILE = "README.md"


def write_token_dataset(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    split: str = "train",
    repo_id: str | None = None,
    licence: str | None = None,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress = iter,
) -> TokenShards:
    """Write a folder of token files as a dataset: `write_token_shards`, and the card `README.md` in `out`.

    Args:
        folder, out, split, shard_bytes, progress: as in `write_token_shards`. Other splits in `out` stay, and are in the card.
        repo_id: what users will load it by; by default the name of `out`.
        licence: of the data, as the Hub names it, "cc-by-4.0" for example. By default that of the card in `out`, or unknown.

    Raises PyraTokError as `write_token_shards` does, and for a card that cannot be read or written.
    """
    shards = write_token_shards(folder, out, split, shard_bytes, progress)
    name = repo_id or Path(out).resolve().name
    target = Path(out, CARD_FILE)
    card = dataset_card(dataset_facts(local_shards(out)), name, licence, _text_of(target))
    write_card(card, target)
    return shards


def write_card(card: DatasetCard, target: Path) -> None:
    """Write a card whole or not at all."""
    with atomic_path(target) as path:
        path.write_text(str(card), "utf-8")


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as problem:
        reason = system_reason(problem) if isinstance(problem, OSError) else str(problem)
        raise PyraTokError(f"the card {str(path)!r} cannot be read: {reason}") from problem
