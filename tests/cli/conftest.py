"""Fixtures of the tests of the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ciris_store_core.cli import main
from tests.transfer.conftest import kind, stores

__all__ = ["kind", "stores"]


class Command:
    """Runs the command line in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.out = ""
        self.err = ""

    def __call__(self, *arguments: object) -> int:
        """Its exit code; ``out`` and ``err`` are what it printed."""
        self._monkeypatch.setattr("sys.argv", ["ciris-store", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        self.out, self.err = self._capsys.readouterr()
        code = stopped.value.code
        return code if isinstance(code, int) else 0

    def json(self, *arguments: object, code: int = 0) -> Any:
        """Return the JSON that it prints."""
        assert self(*arguments, "--json") == code, self.err
        return json.loads(self.out)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """In an empty folder, without settings of the caller's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIRIS_DB_URL", raising=False)
    return Command(monkeypatch, capsys)
