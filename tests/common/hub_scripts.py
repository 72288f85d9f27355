"""A Hub that a script has pushed to, for tests of what is there then."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from child_processes import WITH_HELPERS, run_python
from loopback_hub import LoopbackHub


@contextmanager
def hub_after(script: str, folder: Path) -> Iterator[tuple[LoopbackHub, Any]]:
    """The Hub, and the JSON that the script printed last; it runs in `folder`/work, where its files stay."""
    (folder / "work").mkdir()
    with LoopbackHub(folder / "hub") as hub:
        yield hub, run_python(script, folder / "work", hub.environment(folder / "home", **WITH_HELPERS))
