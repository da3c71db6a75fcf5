"""The pytest plugin for applications: a store for each test, and a clock that moves only when the test moves it.

pytest loads the plugin wherever the core is installed. A test requests for a fixture by its name::

    def test_it_remembers(ciris_store, ciris_store_clock):
        my_agent(ciris_store).hear("Ada likes trains")
        ciris_store_clock.advance(days=1)
        assert ciris_store.graph.get("ada", "local")
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from ciris_store_core.clock import ManualClock

if TYPE_CHECKING:
    from ciris_store_core.store import Store

INI = "ciris_store_url"
OPTION = "--ciris-store-url"
DEFAULT = "memory://"
HELP = "URL of the fixture ciris_store; {tmp_path} and {name} in it become a folder and a name of each test's own"

_PLACEHOLDERS = ("{tmp_path}", "{name}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option and the setting that choose the database of the tests."""
    parser.addini(INI, HELP, default=DEFAULT)
    parser.getgroup("ciris-store").addoption(OPTION, metavar="URL", help=HELP)


@pytest.fixture
def ciris_store_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of the test's store: from the option, else the setting, else ``memory://``.

    Override or parametrize the fixture to choose another URL. ``{tmp_path}`` becomes the test's temporary folder, and
    ``{name}`` a name that is unique to the test and valid as a PostgreSQL schema.
    """
    given: str = request.config.getoption(OPTION) or request.config.getini(INI)
    return given


@pytest.fixture
def ciris_store_clock() -> ManualClock:
    """Return the clock of the test's store, which gives records their times and decides about ages."""
    return ManualClock()


@pytest.fixture
def ciris_store_options() -> dict[str, Any]:
    """Return further arguments of ``open_store``. Override the fixture to give some."""
    return {}


@pytest.fixture
def ciris_store(
    ciris_store_url: str,
    ciris_store_clock: ManualClock,
    ciris_store_options: dict[str, Any],
    request: pytest.FixtureRequest,
) -> Iterator[Store]:
    """Yield an empty store, which the functions of ``ciris_store_core.persistence`` use too; close it after the test.

    A store that holds records fails the test and is not touched. A schema that ``{name}`` named is removed afterwards.
    """
    from ciris_store_core.opening import TestSeams, open_store
    from ciris_store_core.persistence import use_store

    name = f"test_{uuid4().hex[:16]}"
    url = _filled(ciris_store_url, name, request)
    seams = TestSeams(clock=ciris_store_clock, server_clock=ciris_store_clock)
    with open_store(url, **{"testing": seams, **ciris_store_options}) as store:
        if not store.is_empty():
            pytest.fail(f"{store} holds records: tests need a store of their own, as with {' or '.join(_PLACEHOLDERS)}")
        with use_store(store):
            yield store
        if "{name}" in ciris_store_url:
            from ciris_store_core.conformance.wiping import drop_schema

            drop_schema(store._backend, name)


def _filled(url: str, name: str, request: pytest.FixtureRequest) -> str:
    if "{tmp_path}" in url:
        folder: Path = request.getfixturevalue("tmp_path")
        url = url.replace("{tmp_path}", str(folder))
    return url.replace("{name}", name)
