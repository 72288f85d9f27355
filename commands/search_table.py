"""What `pyratok search` prints."""

from collections.abc import Sequence

from rich.table import Table

from ..pipelines.token_index import SearchHit
from .tables import printable


def search_table(title: str, hits: Sequence[SearchHit]) -> Table:
    """A row for each hit, best first."""
    table = Table(title=printable(title), title_justify="left")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("file", overflow="fold")
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("caption", overflow="fold")
    for rank, hit in enumerate(hits, start=1):
        seconds, caption = f"{hit.duration:.1f}", printable(hit.caption or "")
        table.add_row(str(rank), f"{hit.score:.4f}", printable(hit.name), seconds, caption)
    return table
