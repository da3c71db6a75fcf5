"""The power fails at any moment: what the store acknowledged is there, and nothing is there by half."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reliability.power import Cuts, Statement, cut_everywhere, replay, statements_of_all_writes
from tests.reliability.rows import counts, record

pytestmark = pytest.mark.fault


@pytest.fixture(scope="module")
def statements(tmp_path_factory: pytest.TempPathFactory) -> list[Statement]:
    """Those of every write of the store, its migrations included."""
    return statements_of_all_writes(tmp_path_factory.mktemp("traced"))


def cut(statements: list[Statement], folder: Path, synchronous: str, cuts: int) -> Cuts:
    remains = folder / "remains"
    remains.mkdir()
    return cut_everywhere(replay(statements, folder, synchronous), remains, cuts)


@pytest.mark.slow
@pytest.mark.parametrize("count", counts("power-cut"))
def test_a_power_cut_loses_nothing_that_was_acknowledged(
    statements: list[Statement], tmp_path: Path, count: int
) -> None:
    found = cut(statements, tmp_path, "FULL", count)
    record("power-cut", "SQLite", found.cuts, found.wrong)
    assert found == Cuts(count)


@pytest.mark.slow
def test_the_control_a_log_that_is_not_synced(statements: list[Statement], tmp_path: Path) -> None:
    found = cut(statements, tmp_path, "NORMAL", 200)
    record("power-cut", "SQLite, synchronous=normal", found.cuts, found.wrong, control=True)
    assert found.lost > 50
    assert (found.torn, found.corrupt) == (0, 0), "NORMAL loses the last transactions, no more"
