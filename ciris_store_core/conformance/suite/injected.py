"""Failures of the driver: at each statement of each method, when rows are read, at a commit, in a migration."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from typing import Any

import pytest

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance.calls import LOCKS, READS, WRITES, Call, contents, fill, form, in_order, offered
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.instruments import Instrument, Point, Steps
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.suite.backends import blank
from ciris_store_core.conformance.support import reading, transact, writing
from ciris_store_core.contract import Backend
from ciris_store_core.errors import IncompatibleSchema, MigrationRequired, StoreError

OPERABLE = Level.OPERABLE

COMMITTED = {
    name: WRITES[name]
    for name in ("tasks.add", "graph.put_nodes", "audit.append", "secrets.add", "documents.put", "streams.append")
}


class Undone(Exception):
    """Raised to roll a transaction back."""


def run(backend: Backend, call: Call, *, write: bool, single: bool) -> Any:
    """Make one call, in a session of its own."""
    with backend.session(write=write, single=single) as session:
        return call(session)


def error_of(work: Callable[[], Any], what: str) -> Exception | None:
    """Return the error that the work raises. Fail if that is an error of the driver."""
    try:
        work()
    except Exception as error:
        if not isinstance(error, StoreError):
            raise AssertionError(f"{what}: {type(error).__name__} is no error of the store") from error
        return error
    return None


def undo(backend: Backend, call: Call) -> None:
    """Make one call in a transaction that is rolled back."""
    with suppress(Undone), writing(backend) as session:
        call(session)
        raise Undone


def stored(backend: Backend) -> dict[str, Any]:
    """Return all records."""
    with reading(backend) as session:
        return contents(session)


def steps_of(instrument: Instrument, work: Callable[[], Any]) -> Steps:
    """Return the steps of work in which nothing fails."""
    with instrument.watch() as steps:
        work()
    return steps


class TestDriverErrors:
    """``Session``, if the driver raises an error."""

    @pytest.mark.parametrize("point", [Point.STATEMENT, Point.FETCH])
    @pytest.mark.parametrize("single", [False, True])
    @clause("session.errors.reads", OPERABLE)
    def test_reads(self, backend: Backend, instrument: Instrument, point: Point, single: bool) -> None:
        """Otherwise a failure looks like an empty store, and an agent acts as if it knew nothing."""
        transact(backend, fill)
        for name, call in offered(READS, backend.capabilities).items():

            def work(call: Call = call) -> Any:
                return run(backend, call, write=False, single=single)

            steps = steps_of(instrument, work)
            for number in range(steps.statements if point == Point.STATEMENT else steps.fetches):
                with instrument.watch(point, number) as failing:
                    error = error_of(work, name)
                assert error is not None and failing.failed, f"{name} answered although {point} {number + 1} failed"
            assert form(name, work()) == form(name, work())

    @clause("session.errors.writes", OPERABLE)
    def test_writes(self, backend: Backend, instrument: Instrument) -> None:
        """Otherwise a failed write is reported as done, or is stored in part."""
        transact(backend, fill)
        before = stored(backend)
        for name, call in offered({**WRITES, **LOCKS}, backend.capabilities).items():
            for number in range(steps_of(instrument, partial(undo, backend, call)).statements):
                with instrument.watch(Point.STATEMENT, number):
                    error = error_of(partial(run, backend, call, write=True, single=False), name)
                assert error is not None, f"{name} returned although statement {number + 1} failed"
                assert stored(backend) == before, f"{name}: a part of it is stored"

    @clause("session.errors.single", OPERABLE)
    def test_single_writes(self, backend: Backend, instrument: Instrument) -> None:
        """Otherwise a failed call that is not in a transaction is stored in part."""
        transact(backend, fill)
        for name, call in in_order(backend.capabilities):
            before, number, failed = stored(backend), 0, True
            while failed:  # until the call has fewer statements, and is stored
                with instrument.watch(Point.STATEMENT, number) as steps:
                    error = error_of(partial(run, backend, call, write=True, single=True), name)
                failed, number = steps.failed, number + 1
                assert (error is not None) == failed, f"{name} returned although statement {number} failed"
                assert not failed or stored(backend) == before, f"{name}: a part of it is stored"
            assert stored(backend) != before, f"{name} is not stored after a failure of the driver"

    @clause("session.errors.commit", OPERABLE)
    def test_commit(self, backend: Backend, instrument: Instrument) -> None:
        """Otherwise what was not stored is reported as stored."""
        transact(backend, fill)
        for name, call in offered(COMMITTED, backend.capabilities).items():
            before = stored(backend)
            work = partial(run, backend, call, write=True, single=False)
            with instrument.watch(Point.COMMIT) as failing:
                error = error_of(work, name)
            assert failing.failed and error is not None, f"{name}: the commit failed, and no error was raised"
            assert stored(backend) == before, f"{name} is stored although its commit failed"
            work()
            assert stored(backend) != before


class TestSchemaErrors:
    """``Backend.prepare``, if a migration fails or the schema is of a later program."""

    @clause("backend.prepare.errors", OPERABLE, needs=Capability.TRANSACTIONAL_DDL)
    def test_a_migration_that_fails(self, harness: Harness, clock: ManualClock, instrument: Instrument) -> None:
        """Otherwise a store whose first start failed can never be used."""
        fails_at = 0
        for _ in range(3):
            with closing(blank(harness, clock)) as failing, instrument.watch(Point.STATEMENT, fails_at) as steps:
                error = error_of(partial(failing.prepare, migrate=True), "prepare")
            if not steps.failed:
                break
            assert error is not None, f"prepare succeeded although statement {fails_at + 1} failed"
            with closing(blank(harness, clock)) as refused:
                assert isinstance(error_of(partial(refused.prepare, migrate=False), "prepare"), MigrationRequired)
            fails_at = 2 * fails_at + 9
        with closing(blank(harness, clock)) as started:
            started.prepare(migrate=True)
            transact(started, fill)
            assert list(started.pending()) == []

    @clause("backend.prepare.newer", OPERABLE)
    def test_the_schema_of_a_later_program(self, harness: Harness, clock: ManualClock) -> None:
        """Otherwise an old program writes to a store that it does not understand, or refuses one that it does."""
        with closing(blank(harness, clock)) as first:
            first.prepare(migrate=True)
            transact(first, fill)
            before = stored(first)
            if not harness.migrate_further(first, excluding=False):
                pytest.skip("this harness cannot migrate a store to the schema of a later program")
            with closing(blank(harness, clock)) as second:
                second.prepare(migrate=True)
                assert stored(second) == before
            assert harness.migrate_further(first, excluding=True)
        for migrate in (True, False):
            with closing(blank(harness, clock)) as excluded:
                error = error_of(partial(excluded.prepare, migrate=migrate), "prepare")
                assert isinstance(error, IncompatibleSchema), error
        with closing(blank(harness, clock)) as excluded:
            assert isinstance(error_of(excluded.pending, "pending"), IncompatibleSchema)
