"""Forged rows: an attacker with access to the database changes the tables of an audit chain by SQL."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ciris_store_core import AccessConfig, Correlation, ManualClock, SigningKey, Store, TestSeams, open_store
from ciris_store_core.sql.audit import SqlAuditStore
from tests.reliability.rows import counts, record
from tests.support.tampering import Spliced, forge_rows, past_the_store, spliced, wipe

CHAIN = "forged"
_OLD_CHAINS = """
SELECT chain FROM {audit_chains} c
WHERE EXISTS (SELECT 1 FROM {audit_entries} e WHERE e.chain = c.chain)
    OR EXISTS (SELECT 1 FROM {audit_anchors} a WHERE a.chain = c.chain)
ORDER BY chain
"""


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def subject(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(request: pytest.FixtureRequest, subject: str, tmp_path: Path) -> str:
    if subject == "SQLite":
        return f"sqlite:///{tmp_path}/store.db?synchronous=normal"
    server = request.getfixturevalue("postgres_server")
    made: str = server.create_database()
    request.addfinalizer(lambda: server.drop_database(made))
    return made


def write(store: Store, clock: ManualClock, count: int, prefix: str) -> None:
    """Audit events of two chains, the beginning of which is sometimes cut."""
    for chain in (CHAIN, "another"):
        events = [
            Correlation(
                correlation_id=f"{prefix}-{chain}-{number}", correlation_type="audit_event", service_type="s",
                handler_name="ada", action_type="step", agent_occurrence_id=chain, tags={"number": str(number)},
            )
            for number in range(count)
        ]  # fmt: skip
        for event in events:
            clock.advance(seconds=1)
            store.correlations.add(event)


def forge(url: str, times: int, dice: random.Random) -> Counter[str]:
    """Forge rows so many times, each time in a new trail; returns what was not found, without and with a key."""
    key, clock = SigningKey.generate(), ManualClock()
    missed: Counter[str] = Counter()
    with (
        open_store("memory://", access=AccessConfig(audit_key=key), testing=TestSeams(clock=clock)) as other,
        open_store(
            url, access=AccessConfig(audit_key=key), testing=TestSeams(clock=clock, server_clock=clock)
        ) as store,
    ):
        write(other, clock, 5, "other")
        elsewhere = spliced(other, CHAIN)
        for number in range(times):
            write(store, clock, dice.randrange(3, 9), str(number))
            if dice.random() < 0.4:
                store.audit.prune(clock.now() - timedelta(seconds=dice.randrange(5, 12)), chain=CHAIN)
            missed.update(_one(url, store, elsewhere, dice, check=number % 20 == 0))
    return missed


def _one(url: str, store: Store, elsewhere: Spliced, dice: random.Random, *, check: bool) -> list[str]:
    if check:
        assert store.audit.verify().ok, "nothing was forged yet"
        with open_store(url) as without_key:
            report = without_key.audit.verify()
            assert report.verdict == "hashes only" and not report.ok
    with past_the_store(store) as session:
        identity = session.audit.anchor("__store__")
        done = forge_rows(session, CHAIN, elsewhere, dice)
    report = store.audit.verify()
    with past_the_store(store) as session:
        session.audit.prune(identity)
        wipe(session)
    return [] if report.problems and not report.ok else [done]


@pytest.mark.parametrize("count", counts("forged-rows"))
def test_every_forged_row_is_found(url: str, subject: str, count: int) -> None:
    missed = forge(url, count, random.Random(7))
    record("forged-rows", subject, count, missed.total())
    assert not missed


def test_the_control_a_verifier_that_trusts_the_table_of_chains(
    url: str, subject: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chains(self: SqlAuditStore) -> list[Any]:
        return [row[0] for row in self.executor.rows(_OLD_CHAINS)]

    monkeypatch.setattr(SqlAuditStore, "chains", chains)
    monkeypatch.setattr(SqlAuditStore, "unlisted", lambda self: [])
    missed = forge(url, 60, random.Random(7))
    record("forged-rows", subject, 60, missed.total(), control=True, note=str(dict(missed)))
    assert missed["chains_away"]
