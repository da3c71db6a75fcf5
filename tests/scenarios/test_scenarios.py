"""The shows with small counts, and what they look like when something is wrong; with long counts in the soak."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.scenarios.audit_trail import tamper_with, write_and_cut
from tests.scenarios.bystander import watch
from tests.scenarios.claim_race import race
from tests.scenarios.clocks import race_across_midnight, race_with_wrong_clocks, take_over
from tests.scenarios.million_points import run as many_points
from tests.scenarios.moving import filled, journey, run
from tests.scenarios.processes import database, prepared
from tests.scenarios.rollup import roll_up
from tests.scenarios.work_sharing import share
from tests.store.conftest import BACKENDS

slow, soak = pytest.mark.slow, [pytest.mark.soak, pytest.mark.timeout(0)]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """A database that several processes can open."""
    return prepared(BACKENDS[request.param](request))


@slow
def test_one_process_wins_each_claim(url: str) -> None:
    result = race(url, 8, 10)
    assert result.fair and len(result.winners) == 10 and result.per_second > 0


@slow
def test_several_winners_would_be_noticed(url: str) -> None:
    result = race(url, 3, 2, apart=True)
    assert result.winners == [3, 3] and result.stored == 6 and not result.fair


@slow
def test_every_task_is_done_once_when_any_worker_dies(url: str) -> None:
    result = share(url, 300, 4, 2)
    assert result.right, result


@slow
def test_a_worker_that_ignores_its_fences_would_be_noticed(url: str) -> None:
    result = share(url, 100, 2, 0, careless=True)
    assert result.times == {1: 90, 2: 10} and result.refused == 0 and not result.right


@slow
def test_one_process_wins_on_either_side_of_midnight(url: str) -> None:
    assert race_across_midnight(url, 6, 10).fair


@slow
def test_one_process_wins_whatever_its_clock_says(url: str) -> None:
    assert race_with_wrong_clocks(url, 6, 10).fair


@slow
def test_the_dead_are_found_by_the_servers_clock(url: str) -> None:
    result = take_over(url, 2)
    assert result.right and result.paused == 1, result


@slow
def test_a_bystander_loses_nothing(url: str) -> None:
    result = watch(url, 5)
    assert result.right, result


@slow
def test_a_bystander_who_loses_something_would_be_noticed(url: str) -> None:
    result = watch(url, 0, alive=False)
    assert not result.quiet and not result.right


@slow
def test_two_concurrent_rollups_count_every_point_once(url: str) -> None:
    outcome = roll_up(url, 400, 2)
    assert outcome.right, outcome.totals


@slow
def test_a_point_that_is_lost_would_be_noticed(url: str) -> None:
    outcome = roll_up(url, 40, 1)
    outcome.written["m1"].append(0.0)
    assert not outcome.right


@slow
def test_a_month_of_points(url: str) -> None:
    result = many_points(url, 2000)
    assert result.same and result.before.rows == 2000 and result.daily.rows < 1700
    start, group, count, _ = result.daily.totals["sum"][0]
    result.daily.totals["sum"][0] = (start, group, count, 0.0)
    assert not result.same


@slow
def test_a_store_moves_there_and_back_although_it_is_killed(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    first, third = (f"sqlite:///{tmp_path}/{name}.db?synchronous=normal" for name in ("first", "third"))
    result = journey(filled(first, 4000), BACKENDS["postgres"](request), third)
    assert result.right, result
    assert result.back.report is not None and result.back.report["records"] == 4000


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_a_million_records_move_in_the_memory_of_a_few() -> None:
    with ExitStack() as stack:
        first, second, third, few, there = (
            stack.enter_context(database(kind)) for kind in ("sqlite", "postgres", "sqlite", "sqlite", "postgres")
        )
        small = run(filled(few, 20_000), there)
        result = journey(filled(first, 1_000_000), second, third)
    assert result.right, result
    assert max(result.resumed.peak_mib, result.back.peak_mib) < small.peak_mib + 64


@slow
def test_chains_verify_while_many_write_and_retention_cuts(url: str) -> None:
    result = write_and_cut(url, 4, 400)
    assert result.right and result.appended == 400, result


@slow
def test_a_trail_that_lost_an_entry_would_be_noticed(url: str) -> None:
    result = write_and_cut(url, 2, 20, spoil=True)
    assert result.lost == 1 and result.problems and not result.right


@slow
def test_tampering_is_found(url: str) -> None:
    assert tamper_with(url, 30).missed == []


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
class TestSoak:
    """Long counts, each on a database as durable as by default. More of them are in tests/reliability."""

    pytestmark = soak

    def test_claims(self, kind: str) -> None:
        with database(kind) as url:
            assert race(url, 64, 200).fair

    def test_work_sharing(self, kind: str) -> None:
        with database(kind) as url:
            assert share(url, 20_000, 8, 3).right

    def test_midnight(self, kind: str) -> None:
        with database(kind) as url:
            assert race_across_midnight(url, 16, 1000).fair

    def test_bystander(self, kind: str) -> None:
        with database(kind) as url:
            assert watch(url, 500).right

    @pytest.mark.parametrize("together", [True, False])
    def test_rollup(self, kind: str, together: bool) -> None:
        with database(kind) as url:
            assert roll_up(url, 20_000, 10, together=together).right

    def test_million_points(self, kind: str) -> None:
        with database(kind) as url:
            assert many_points(url, 1_000_000).same

    def test_audit_trail(self, kind: str) -> None:
        with database(kind) as url:
            assert write_and_cut(url, 8, 20_000).right

    def test_tampering(self, kind: str) -> None:
        with database(kind) as url:
            assert tamper_with(url, 200).missed == []
