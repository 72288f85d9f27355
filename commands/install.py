"""`pyratok install`: the bundled model into the local Hugging Face cache."""

from typing import Annotated

import typer

from ..pipelines.bundled_model import BUNDLED_ID, install_into_cache, shadowing_folder


def install(
    cache_dir: Annotated[
        str | None, typer.Option("--cache-dir", help="The cache. Default: the one that the hub client uses.")
    ] = None,
) -> None:
    """Make `AutoModel.from_pretrained("pyratok")` work from any folder, also without a network.

    Puts the model that ships in the package into the local Hugging Face cache. It can be repeated, and replaces older
    weights.

    Example: `pyratok install`
    """
    typer.echo(f"installed {BUNDLED_ID} into {install_into_cache(cache_dir)}")
    if (folder := shadowing_folder()) is not None:
        typer.echo(
            f"Warning: from_pretrained({BUNDLED_ID!r}) takes the folder {str(folder)!r} for the model if called "
            "from here; call it from another folder, or rename this one.",
            err=True,
        )
