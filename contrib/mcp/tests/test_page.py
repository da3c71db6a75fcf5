from __future__ import annotations

from importlib import import_module
from pathlib import Path

from tests.support.adapter_page import run_program


def test_the_program_of_the_page_runs(tmp_path: Path) -> None:
    # The SDK's client hands no PYTHONPATH to its server, which finds packages where it runs, installed or not.
    for name in ("ciris_store_core", "ciris_store_sqlite", "ciris_store_mcp"):
        (tmp_path / name).symlink_to(Path(str(import_module(name).__file__)).parent)
    run_program("mcp", tmp_path)
