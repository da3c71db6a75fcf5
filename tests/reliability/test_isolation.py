"""List-append transactions of several processes: their history shows no lost update and no circle of dependencies."""

from __future__ import annotations

import pytest

from ciris_store_core import open_store
from tests.reliability.histories import Anomalies, Done, check
from tests.reliability.rows import counts, record
from tests.reliability.workers import append_all
from tests.scenarios.processes import Team

pytestmark = pytest.mark.fault

WORKERS = 4


def run_and_check(url: str, transactions: int, *, careful: bool = True) -> tuple[Anomalies, int]:
    """Return the faults in the history of a number of transactions, and its number of appends."""
    each = transactions // WORKERS
    with Team(append_all, [(url, me, WORKERS, each, careful) for me in range(WORKERS)]) as team:
        history = [done for said in team.hear_all(3600) for done in said]
    with open_store(url) as store:
        final = {node.id: node.attributes["list"] for node in store.graph.scan()}
    return check(history, final), sum(map(len, final.values()))


@pytest.mark.slow
@pytest.mark.parametrize("count", counts("isolation"))
def test_no_append_is_lost(url: str, subject: str, count: int) -> None:
    # SQLite has one writer at a time; PostgreSQL is asked for READ COMMITTED, which allows skews.
    serializable = subject == "SQLite"
    found, appends = run_and_check(url, count)
    record("isolation", subject, count, found.wrong(serializable=serializable), note=f"{appends:,} appends")
    assert found.wrong(serializable=serializable) == 0, found
    assert appends > count / 2


@pytest.mark.slow
def test_the_control_appends_without_a_revision(url: str, subject: str) -> None:
    found, _ = run_and_check(url, 400, careful=False)
    record("isolation", subject, 400, found.wrong(serializable=True), control=True, note="without expected_revision")
    assert found.lost > 0
    assert found.lost_updates > 0


# --- the checker itself ---------------------------------------------------------------------------


def done(number: int, reads: dict[str, list[int]], appends: dict[str, list[int]], committed: bool = True) -> Done:
    return Done(number, reads, appends, committed)


SOUND = [
    done(1, {"x": []}, {"x": [10, 11]}),
    done(2, {"x": [10, 11], "y": []}, {"y": [20]}),
    done(3, {"y": [20], "x": [10, 11]}, {"x": [30]}),
    done(4, {"x": [10, 11, 30]}, {}),
    done(5, {"x": [10, 11, 30]}, {"x": [50]}, False),
]
FINAL = {"x": [10, 11, 30], "y": [20]}

PLANTED: dict[str, tuple[list[Done], dict[str, list[int]]]] = {
    "lost": ([*SOUND, done(6, {}, {"y": [60]})], FINAL),
    "repeated": (SOUND, {**FINAL, "z": [20]}),
    "aborted": (SOUND, {**FINAL, "x": [10, 11, 30, 50]}),
    "aborted read": ([*SOUND, done(6, {"x": [10, 11, 30, 50]}, {})], FINAL),
    "intermediate": ([*SOUND, done(6, {"x": [10]}, {})], FINAL),
    "incompatible": ([*SOUND, done(6, {"x": [11, 10]}, {})], FINAL),
    "lost_updates": ([done(1, {"x": []}, {"x": [10]}), done(2, {"x": []}, {"x": [20]})], {"x": [10, 20]}),
    # G0: two writers, each before the other.
    "cycles": ([done(1, {}, {"x": [10], "y": [11]}), done(2, {}, {"x": [20], "y": [21]})],
               {"x": [10, 20], "y": [21, 11]}),
    # G1c: each saw what the other wrote.
    "cycles of reads": ([done(1, {"y": [21]}, {"x": [10]}), done(2, {"x": [10]}, {"y": [21]})],
                        {"x": [10], "y": [21]}),
    # G2: neither saw what the other wrote.
    "skews": ([done(1, {"y": []}, {"x": [10]}), done(2, {"x": []}, {"y": [21]})], {"x": [10], "y": [21]}),
}  # fmt: skip


def test_a_sound_history_is_found_sound() -> None:
    assert check(SOUND, FINAL) == Anomalies()


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_anomaly_is_found(name: str) -> None:
    found = check(*PLANTED[name])
    kind = {"aborted read": "aborted", "cycles of reads": "cycles"}.get(name, name)
    assert getattr(found, kind) > 0, found
    assert found.wrong(serializable=True) > 0
    assert (found.wrong(serializable=False) > 0) is (name != "skews")
