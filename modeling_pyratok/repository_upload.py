"""Uploading the folder of a saved model or pipeline to the Hub."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from huggingface_hub import HfApi, ModelCard, ModelCardData

CARD = "README.md"
KEPT_HERE = ("*.pyc", "**/__pycache__/**", ".cache/**", ".git/**", "*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
"""What a folder may hold that does not belong into a repository; pickles do not."""

SHORT_CARD = """
# {name}

A [PyraTok](https://arxiv.org/abs/2601.16210) repository: a video becomes discrete tokens at several levels of detail, and
a video again.

```python
import pyratok
from transformers import AutoModel, AutoProcessor

model = AutoModel.from_pretrained("{repo}")
processor = AutoProcessor.from_pretrained("{repo}")
```
"""


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
    place of the new ones. A card is written only where neither the folder nor the Hub has one.

    Args:
        folder: what `save_pretrained` wrote.
        repo_id: `NAME` or `OWNER/NAME`; created if it is not there.
        revision: the branch; created from the default one if it is not there.
        private, token, create_pr: as in huggingface_hub.
        make_card: makes the card that is missing, from the full id; by default a short one.
        replaced: patterns of files that go in the same commit, where the folder has none of that name.

    Returns:
        The address of the repository, at the branch.

    Raises what huggingface_hub raises.
    """
    root, api = Path(folder), HfApi(token=token)
    address = api.create_repo(repo_id, private=private, exist_ok=True)
    if revision is not None and not revision.startswith("refs/pr"):
        api.create_branch(address.repo_id, branch=revision, exist_ok=True)
    if not (root / CARD).is_file() and not api.file_exists(address.repo_id, CARD, revision=revision):
        (make_card or _short_card)(address.repo_id).save(root / CARD)
    api.upload_folder(
        repo_id=address.repo_id,
        folder_path=root,
        revision=revision,
        commit_message=commit_message or "Upload PyraTok",
        create_pr=create_pr,
        ignore_patterns=list(KEPT_HERE),
        delete_patterns=[*_weights_of_before(root), *replaced],
    )
    return str(address) if revision is None else f"{address}/tree/{revision}"


def _weights_of_before(root: Path) -> Iterator[str]:
    """Patterns of files that other numbers of shards of the same weights have."""
    for weights in (*root.glob("model*.safetensors"), *root.glob("*/model*.safetensors")):
        start = weights.relative_to(root).as_posix().removesuffix(weights.name)
        variant = weights.stem.split("-")[0].removeprefix("model")  # "" or ".fp16"
        yield f"{start}model{variant}.safetensors"
        yield f"{start}model{variant}-*-of-*.safetensors"
        yield f"{start}model.safetensors.index{variant}.json"


def _short_card(repo_id: str) -> ModelCard:
    tags = ["pyratok", "video", "video-tokenizer"]
    data = ModelCardData(library_name="transformers", tags=tags)
    text = SHORT_CARD.format(name=repo_id.split("/")[-1], repo=repo_id)
    return ModelCard(f"---\n{data.to_yaml()}\n---\n{text}")
