"""Many processes append audit events while retention cuts and verifies; then an attacker tampers, and is detected."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

from ciris_store_core import AccessConfig, Correlation, SigningKey, Store, open_store
from tests.scenarios.processes import SECONDS, Team, arguments_of, database, processes
from tests.support.tampering import delete, entries_of, past_the_store, tamper

KEPT = timedelta(seconds=0.3)
"""Older entries are pruned meanwhile."""


@dataclass(frozen=True)
class Trail:
    """Outcome of the run."""

    appended: int
    cut: int
    """Entries that retention removed, its own among them."""
    stored: int
    by_retention: int
    """Events of its own."""
    looks: int
    """Times that the whole trail was verified meanwhile."""
    problems: list[str]
    """Of all looks, and of the last one."""
    chains: int
    seconds: float

    @property
    def right(self) -> bool:
        """True if nothing was lost, and every chain verified every time."""
        return not self.problems and self.cut > 0 and self.looks > 0 and self.lost == 0

    @property
    def lost(self) -> int:
        """Events that are neither there nor were cut."""
        return self.appended + self.by_retention - self.stored - self.cut


def write_and_cut(url: str, writers: int, events: int, *, spoil: bool = False) -> Trail:
    """Let so many processes append so many events together, two of them to each chain, while retention runs.

    ``spoil``: an attacker deletes an entry at the end, to see that it is noticed.
    """
    chains = [f"occurrence_{number}" for number in range((writers + 1) // 2)]
    barrier, done = processes.Barrier(writers), processes.Event()
    arguments = [(url, chains[number // 2], events // writers, barrier) for number in range(writers)]
    began = time.monotonic()
    with Team(_retain, [(url, chains, done)]) as retention:
        with Team(_write, arguments) as team:
            appended = sum(team.hear_all())
        seconds = time.monotonic() - began
        done.set()
        cut, by_retention, looks, problems = retention.hear(0)
    with open_store(url) as store:
        if spoil:
            _spoil(store, chains[0])
        report = store.audit.verify()
    problems += [problem.message for problem in report.problems]
    return Trail(appended, cut, report.entries, by_retention, looks, problems, report.chains, seconds)


def _write(pipe: Connection, url: str, occurrence: str, events: int, barrier: Any) -> None:
    with open_store(url, occurrence_id=occurrence) as store:
        store.server_now()
        barrier.wait(SECONDS)
        for number in range(events):
            store.audit.append("step", occurrence, {"number": number})
    pipe.send(events)


def _retain(pipe: Connection, url: str, chains: Sequence[str], done: Any) -> None:
    cut = looks = own = 0
    problems: list[str] = []
    with open_store(url, occurrence_id="retention") as store:
        over = False
        while not over:
            over = done.is_set()  # One more time after the last event: then there surely is something to cut.
            for chain in chains:
                removed = store.audit.prune(store.clock.now() - (timedelta(0) if over else KEPT), chain=chain)
                cut, own = cut + removed, own + -(-removed // 500)
            problems += [problem.message for problem in store.audit.verify().problems]
            looks += 1
    pipe.send((cut, own, looks, problems))


def _spoil(store: Store, chain: str) -> None:
    with past_the_store(store) as session:
        delete(session, chain, min(entries_of(session, chain)))


@dataclass(frozen=True)
class Tampered:
    """Return the number of tamperings that were found."""

    done: int
    missed: list[str]
    """That were not found, or not named."""


def tamper_with(url: str, times: int, seed: int = 1) -> Tampered:
    """Tamper with so many chains, each in one way at random, and look for it."""
    dice, missed = random.Random(seed), []
    with open_store(url, access=AccessConfig(audit_key=SigningKey.generate())) as store:
        for turn in range(times):
            chain = f"tampered_{turn}"
            store.correlations.add_many(_events(turn, chain, dice.randrange(3, 12)))
            if dice.random() < 0.3:
                store.audit.prune(store.clock.now() - timedelta(days=1), chain=chain)
            with past_the_store(store) as session:
                done = tamper(session, chain, dice)
            named = {each.sequence for each in store.audit.verify().problems if each.chain == chain}
            if not named or (done.entries and not named & done.entries):
                missed.append(f"{chain}: {done.what}: {named}")
    return Tampered(times, missed)


def _events(turn: int, chain: str, count: int) -> list[Correlation]:
    return [
        Correlation(
            correlation_id=f"tampered-{turn}-{number}",
            correlation_type="audit_event",
            service_type="show",
            handler_name="ada",
            action_type="step",
            agent_occurrence_id=chain,
            tags={"number": str(number)},
        )
        for number in range(count)
    ]


def main() -> None:
    """Show it."""
    options = arguments_of("audit events under retention, and tampering", processes=8, events=20_000, tamperings=200)
    for kind in options.databases:
        with database(kind) as url:
            result = write_and_cut(url, options.processes, options.events)
            print(
                f"{kind:8} {options.processes} processes appended {result.appended:,} audit events to "
                f"{result.chains} chains in {result.seconds:.1f} s ({result.appended / result.seconds:,.0f}/s); "
                f"retention cut {result.cut:,}, left {result.stored:,}; lost {result.lost}; "
                f"verified {result.looks} times meanwhile and once more: {len(result.problems)} problems"
            )
            assert result.right, result.problems[:10]
        with database(kind) as url:
            tampered = tamper_with(url, options.tamperings)
            print(f"{kind:8} {tampered.done} random tamperings: {tampered.done - len(tampered.missed)} found and named")
            assert not tampered.missed, tampered.missed


if __name__ == "__main__":
    main()
