"""A whole dataset of tokens in a folder: shards of a split, and the card of all splits. It can be uploaded as it is."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..hub_cards.dataset_card import dataset_card
from ..modeling_pyratok.atomic_writing import atomic_path
from ..modeling_pyratok.errors import PyraTokError, system_reason
from ..modeling_pyratok.token_files import TOKEN_FILE_SUFFIX
from ..pipelines.token_file_listing import list_token_files
from .folders_aside import folder_aside
from .parquet_shards import DATA_FOLDER
from .shard_facts import OpenShard, dataset_facts, local_shards, open_local
from .shard_writing import SHARD_BYTES, Progress, TokenShards, write_shards

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
    """Write the token files under `folder` as a split of a dataset in `out`, for `load_dataset(out)` and the Hub.

    A row is a clip: `name` (the token file's path in the folder, without `.safetensors`), `caption`, `fps`, `num_frames`,
    `height`, `width`, `num_tokens`, and in `tokens` the token file, byte for byte. Rows are in an order that depends on their
    names alone, and mixes them. Equal files give equal bytes. A split of this name that is there is replaced when all is
    complete; other splits stay, and are in the card, `README.md`, which keeps what people have written into it.

    Args:
        folder: with files that `VideoTokens.save` or `pyratok encode` wrote, all by the same tokenizer.
        out: is made if need be; the shards go into `data/` in it.
        split: "train", "validation" or the like.
        repo_id: what users will load it by; by default the name of `out`.
        licence: of the data, as the Hub names it, "cc-by-4.0" for example. By default that of the card in `out`, or unknown.
        shard_bytes: a shard holds no more bytes of token files than this, or one of them.
        progress: goes through the names and shows how far it is: `tqdm`, for example.

    Returns the paths of the shards, the number of clips, and the token files that cannot be read, with the reasons.

    Raises PyraTokError if there is no token file that can be read, if they are of different tokenizers or levels, other
    splits included, if something cannot be read or written, and without pyarrow (extra `train`).
    """
    root, target = Path(folder), Path(out)
    if not root.is_dir():
        raise PyraTokError(f"{str(root)!r} is no folder; give one of token files")
    listing = list_token_files(root)
    files = {name.removesuffix(TOKEN_FILE_SUFFIX): root / name for name in listing.states}
    if not files:
        raise PyraTokError(
            f"{str(root)!r} holds no token files, NAME{TOKEN_FILE_SUFFIX} as `pyratok encode` writes them"
        )
    others = {name: paths for name, paths in local_shards(target).items() if name != split}
    earlier = _text_of(target / CARD_FILE)
    with _written_into(target) as aside:
        shards = write_shards(files, aside, split, shard_bytes, progress)
        write_card(aside, others, repo_id or target.resolve().name, licence, earlier)
        with atomic_path(target / CARD_FILE) as card:
            paths = _replace_split(target, split, shards.paths)
            os.replace(aside / CARD_FILE, card)
    return TokenShards(paths, shards.clips, {**listing.unreadable, **shards.left_out})


def write_card(
    folder: Path,
    others: Mapping[str, Sequence[str]],
    name: str,
    licence: str | None,
    earlier: str | None,
    open_shard: OpenShard = open_local,
) -> None:
    """Write `README.md` beside the shards in a folder; the paths of `others`, shards of more splits, are for `open_shard`."""
    splits = {**others, **local_shards(folder)}
    facts = dataset_facts(dict(sorted(splits.items(), key=lambda item: (item[0] != "train", item[0]))), open_shard)
    (folder / CARD_FILE).write_text(str(dataset_card(facts, name, licence, earlier)), "utf-8")


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as problem:
        reason = system_reason(problem) if isinstance(problem, OSError) else str(problem)
        raise PyraTokError(f"the card {str(path)!r} cannot be read: {reason}") from problem


@contextlib.contextmanager
def _written_into(target: Path) -> Iterator[Path]:
    """A temporary folder in `target`, which is made, and is removed again if nothing comes into it."""
    is_new = not target.exists()
    try:
        target.mkdir(parents=True, exist_ok=True)
        with folder_aside(target) as aside:
            yield aside
    except OSError as problem:
        raise PyraTokError(
            f"the dataset cannot be written into {str(target)!r}: {system_reason(problem)}"
        ) from problem
    finally:
        if is_new:
            with contextlib.suppress(OSError):
                target.rmdir()


def _replace_split(target: Path, split: str, written: Sequence[Path]) -> tuple[Path, ...]:
    """Move complete shards to their place, and only then remove those of an earlier run that have other names."""
    data = target / DATA_FOLDER
    data.mkdir(exist_ok=True)
    paths = [data / path.name for path in written]
    earlier = [Path(path) for path in local_shards(target).get(split, [])]
    for path in paths:
        if path.is_dir():
            raise PyraTokError(f"a shard is to be written to {str(path)!r}, which is a folder; move it elsewhere")
    for source, path in zip(written, paths, strict=True):
        os.replace(source, path)
    for path in earlier:
        if path not in paths:
            path.unlink()
    return tuple(paths)
