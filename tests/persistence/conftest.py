"""The functions, on every backend: ``db`` is what a test passes as ``db_path``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from ciris_store_core.persistence import close_stores
from tests.store.conftest import url

__all__ = ["url"]

START = datetime(2025, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def db(url: str) -> Iterator[str]:
    """A new and empty database, whose store is closed with all others at the end."""
    yield url if url != "memory://" else "memory://functions"
    close_stores()


class TimeService:
    """As applications bring one: both spellings of the time."""

    def __init__(self, moment: datetime = START) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def now_iso(self) -> str:
        return self.moment.isoformat()

    def advance(self, **span: float) -> None:
        self.moment += timedelta(**span)


@pytest.fixture
def time_service() -> TimeService:
    return TimeService()
