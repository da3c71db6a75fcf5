from __future__ import annotations

from pathlib import Path

from tests.support.adapter_page import run_program


def test_the_program_of_the_page_runs(tmp_path: Path) -> None:
    assert run_program("pydantic", tmp_path) == 1
