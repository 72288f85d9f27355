"""Runs the code of a page in Markdown, in one process: `python run_markdown_page.py PAGE`.

Blocks marked `python` share their variables. Of blocks marked `bash` each line is a `pyratok` command; they are called here
rather than by a shell, since importing everything takes longer than most of them. Other blocks are not run.
"""

import shlex
import sys
from pathlib import Path

from markdown_pages import Block, blocks

from pyratok.commands.app import main


def call(line: str) -> None:
    """Run one command. Raises RuntimeError if it fails, or is none of PyraTok's."""
    words = shlex.split(line, comments=True)
    if not words:
        return
    if words[0] != "pyratok":
        raise RuntimeError(f"only pyratok commands can be run here, got {line!r}")
    sys.argv = words
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"{line} ended with code {end.code}") from end


def run_blocks(found: list[Block], name: str) -> None:
    """Run the blocks in their order. A traceback names the line of the page."""
    variables = {"__name__": "__main__"}
    for block in found:
        if block.language == "bash":
            for line in block.code.splitlines():
                call(line)
        elif block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.code, name, "exec"), variables)


if __name__ == "__main__":
    page = Path(sys.argv[1])
    run_blocks(blocks(page), str(page))
