"""Databases that several processes can open."""

from __future__ import annotations

import pytest

from tests.scenarios.processes import prepared
from tests.store.conftest import BACKENDS


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(request: pytest.FixtureRequest, kind: str) -> str:
    """A database with the schema and nothing in it."""
    return prepared(BACKENDS[kind](request))


@pytest.fixture
def subject(kind: str) -> str:
    """Name in the records."""
    return {"sqlite": "SQLite", "postgres": "PostgreSQL"}[kind]
