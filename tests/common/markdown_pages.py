"""Pages in Markdown: their code, which is run, and their links and headings."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

RUNNER = Path(__file__).with_name("run_markdown_page.py")

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """Code between fences: what language the fence says, the code, and the number of its first line."""

    language: str
    code: str
    line: int


def blocks(page: Path) -> list[Block]:
    """All fenced blocks, in order."""
    text = page.read_text("utf-8")
    return [
        Block(found[1].strip(), found[2], text[: found.start(2)].count("\n") + 1) for found in FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    """The page without its fenced blocks and without code in the line."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text("utf-8")))


def links(page: Path) -> list[str]:
    """Where the page links to within the repository, pictures included."""
    return [target for target in LINK.findall(prose(page)) if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """What GitHub calls the page's headings in addresses."""
    titles = HEADING.findall(FENCE.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def run(command: list[str], folder: Path, **environment: str) -> str:
    """Run a command there, which finds `pyratok`, and return what it printed. Fails the test if it fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, **environment}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def run_page(page: Path, folder: Path, **environment: str) -> str:
    """Run the `bash` and `python` blocks of a page there, as one program, in its order; see `run_markdown_page`."""
    return run([sys.executable, str(RUNNER), str(page)], folder, **environment)
