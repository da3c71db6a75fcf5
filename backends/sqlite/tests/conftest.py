"""Fixtures of the tests of this backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.sqlite.tests.support import (
    open_once,
)
from ciris_store_core import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with open_once(path) as opened:
        yield opened
