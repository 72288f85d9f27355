"""Keeps lookups of the id `pyratok` in the local cache, where `pyratok install` puts the model.

The Hub has no repository of that name and never will: new ones have an owner. But the hub client asks it first, and
what comes next depends on the answer. Offline, the cache is used at once; without a network, after about 50 s of
retries; and a Hub that answers "no such repository" makes transformers give up, although the files are there.
"""

import functools
from typing import Any

from huggingface_hub import HfApi, ResolvedRevision

from .bundled_model import BUNDLED_ID


def look_up_bundled_id_locally() -> None:
    """Make the hub client find the commit of `pyratok` in the cache alone; doing it twice changes nothing.

    transformers calls `HfApi.resolve_revision` before it loads anything, and takes all that the cache has of a commit
    from there. Other ids are not touched. If the model is not installed, loading goes on as for any unknown id.
    """
    resolve = HfApi.resolve_revision
    if getattr(resolve, "knows_bundled_id", False):
        return

    @functools.wraps(resolve)
    def resolve_locally(self: HfApi, repo_id: str, **options: Any) -> ResolvedRevision:
        if repo_id == BUNDLED_ID:
            options["local_files_only"] = True
        return resolve(self, repo_id, **options)

    resolve_locally.knows_bundled_id = True
    HfApi.resolve_revision = resolve_locally
