"""The programs of the first pages pass ``mypy --strict`` as they stand, without the plugin of pydantic."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.snippets import RUN, blocks_of

ROOT = Path(__file__).resolve().parent.parent
PAGES = ["README.md", "docs/tutorial.md", "docs/guide.md"]


def program_of(page: Path) -> str:
    """Return the blocks of a page as one module in which each line keeps its number."""
    lines: list[str] = []
    for block in blocks_of(page):
        if block.language == RUN and block.reason is None:
            lines += [""] * (block.line - 1 - len(lines))
            lines += block.code.splitlines()
    return "\n".join(lines) + "\n"


def problems_of(folder: Path, programs: dict[str, str]) -> str:
    """Return what ``mypy --strict`` says about programs."""
    files = []
    for name, program in programs.items():
        file = folder / f"{name}.py"
        file.write_text(program)
        files.append(file.name)
    # A reader's configuration is unknown, so none is read; errors within the store's own modules are not the reader's.
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        "--no-error-summary",
        "--follow-imports=silent",
    ]
    command += [f"--cache-dir={folder / 'cache'}", *files]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "MYPYPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_programs_of_the_first_pages_have_no_type_errors(tmp_path: Path) -> None:
    programs = {Path(page).stem.lower(): program_of(ROOT / page) for page in PAGES}
    assert all("open_store" in program for program in programs.values())
    planted = 'from ciris_store_core import open_store\n\nopen_store(1)\nopen_store("memory://").tasks.gett("t1")\n'
    problems = problems_of(tmp_path, {**programs, "planted": planted}).splitlines()
    assert [line for line in problems if not line.startswith("planted.py")] == []
    assert len([line for line in problems if ": error: " in line]) == 2, "the planted errors were not found"
