"""The conformance suite on DuckDB."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance import UrlHarness
from ciris_store_core.conformance.suite import *  # noqa: F403
from ciris_store_core.conformance.suite.costs import TestCosts as CostsOfAServer

pytest_plugins = ["ciris_store_core.conformance.plugin"]
pytestmark = pytest.mark.slow


class TestCosts(CostsOfAServer):  # type: ignore[no-redef]
    """Without the clause that the README lists as a limit."""

    @pytest.mark.skip("a merge of nodes is a statement each")
    def test_batches(self) -> None:  # type: ignore[override]
        raise NotImplementedError


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that has its schema and nothing else: copying it takes a tenth of the time of making it."""
    path = tmp_path_factory.mktemp("duckdb") / "template.duckdb"
    with closing(UrlHarness(f"duckdb:///{path}").open(ManualClock())):
        return path


@pytest.fixture
def harness(template: Path, tmp_path: Path) -> Iterator[UrlHarness]:
    shutil.copy(template, tmp_path / "store.duckdb")
    made = UrlHarness(f"duckdb:///{tmp_path}/store.duckdb", blank_url=f"duckdb:///{tmp_path}/blank.duckdb")
    yield made
    made.cleanup()
