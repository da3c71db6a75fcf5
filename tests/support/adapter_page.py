"""Programs of the pages about frameworks, which run where the framework's packages are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.snippets import RUN, blocks_of

PAGES = Path(__file__).resolve().parents[2] / "docs/integrations"


def run_program(name: str, folder: Path) -> int:
    """Run the blocks of a page as one program, and return their number.

    Check that the page begins with the line that changes, and what the program prints.
    """
    all_blocks = blocks_of(PAGES / f"{name}.md")
    assert all_blocks[0].language in ("py", "sh", "json"), "the page begins with the line that changes"
    blocks = [block for block in all_blocks if block.language == RUN and block.reason is None]
    assert blocks
    program = folder / "program.py"
    program.write_text("\n".join(block.code for block in blocks))
    done = subprocess.run([sys.executable, program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [line for block in blocks for line in block.shown]
    return len(blocks)
