from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.snippets import RUN, blocks_of

PAGE = Path(__file__).resolve().parents[3] / "docs/integrations/pydantic.md"


def test_the_program_of_the_page_runs(tmp_path: Path) -> None:
    blocks = [block for block in blocks_of(PAGE) if block.language == RUN and block.reason is None]
    assert len(blocks) == 1
    program = tmp_path / "program.py"
    program.write_text("\n".join(block.code for block in blocks))
    done = subprocess.run([sys.executable, program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [line for block in blocks for line in block.shown]
