"""The open store itself: first start, capabilities, emptiness, closing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, timedelta
from functools import partial

import pytest

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance.factories import (
    T0,
    access,
    anchor,
    at,
    correlation,
    entry,
    node,
    occurrence,
    put,
    secret,
    task,
    thought,
)
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.support import MOMENT, PATIENCE, BackgroundCall, race, reading, writing
from ciris_store_core.contract import Backend, Session
from ciris_store_core.errors import MigrationRequired, StoreClosed, StoreError, TransactionError
from ciris_store_core.models import NodeType
from ciris_store_core.models.graph import NodeQuery

CROWD = 24
"""Threads that use one store at a time: more than a pool has connections."""

FIRST_RECORDS: dict[str, Callable[[Session], object]] = {
    "node": lambda s: s.graph.put_nodes([put(node())], T0),
    "correlation": lambda s: s.correlations.add([correlation()]),
    "task": lambda s: s.tasks.add([task()]),
    "thought": lambda s: s.thoughts.add([thought()]),
    "occurrence": lambda s: s.coordination.put_occurrence(occurrence()),
    "lease": lambda s: s.coordination.acquire_lease("job", "me", T0, at(1)),
    "secret": lambda s: s.secrets.add([secret()]),
    "access": lambda s: s.secrets.log_access([access()]),
    "audit": lambda s: s.audit.append([entry()]),
    "anchor": lambda s: s.audit.prune(anchor()),
}


def blank(harness: Harness, clock: ManualClock) -> Backend:
    """A backend over nothing at all."""
    backend = harness.blank(clock)
    if backend is None:
        pytest.skip("this harness has no store that was never opened")
    return backend


class Undone(Exception):
    """Rolls a transaction back."""


class TestBackend:
    """``Backend``."""

    @clause("backend.capabilities")
    def test_capabilities_are_those_announced(self, backend: Backend, harness: Harness) -> None:
        """Otherwise one relies on abilities that are not there."""
        assert backend.capabilities == harness.capabilities
        assert all(isinstance(each, Capability) for each in backend.capabilities)
        assert backend.name

    @clause("backend.is_empty")
    def test_a_new_store_is_empty(self, backend: Backend) -> None:
        """Otherwise a copy or a test refuses a store that has nothing in it."""
        assert backend.is_empty() is True

    @pytest.mark.parametrize("kind", FIRST_RECORDS)
    @clause("backend.is_empty.not")
    def test_any_record_counts(self, backend: Backend, kind: str) -> None:
        """Otherwise a copy or a test overwrites a store that has something in it."""
        with writing(backend) as session:
            FIRST_RECORDS[kind](session)
        assert backend.is_empty() is False

    @clause("backend.server_now")
    def test_server_now(self, backend: Backend) -> None:
        """Otherwise hosts do not agree on the day, or on when a lease is over."""
        first, second = backend.server_now(), backend.server_now()
        assert first.tzinfo is UTC and first.utcoffset() == timedelta(0)
        assert first <= second

    @clause("backend.server_now.precision")
    def test_server_now_is_not_rounded(self, backend: Backend, clock: ManualClock) -> None:
        """Otherwise events of one millisecond have one time, and a lease ends before the time that was asked for."""
        moments = []
        for _ in range(30):
            moments.append(backend.server_now())
            clock.advance(seconds=0.001_001)
        assert moments == sorted(moments)
        assert sum(each.microsecond % 1000 != 0 for each in moments) > 20

    @clause("backend.server_now.inside")
    def test_server_now_inside_sessions(self, backend: Backend) -> None:
        """Otherwise transactions that use all connections wait for one another forever."""
        crowd = threading.Barrier(CROWD)

        def ask(_: int) -> object:
            with reading(backend):
                with suppress(threading.BrokenBarrierError):
                    crowd.wait(MOMENT)  # until all are inside whom the backend lets in
                return backend.server_now()

        assert len(race(CROWD, ask)) == CROWD

    @clause("backend.info", Level.OPERABLE)
    def test_info_and_stats(self, backend: Backend) -> None:
        """Otherwise a report does not identify the database and the schema."""
        assert backend.info()
        assert json.loads(json.dumps(dict(backend.info()), default=str))
        assert isinstance(json.dumps(dict(backend.stats()), default=str), str)

    @clause("backend.info.durability", Level.OPERABLE)
    def test_info_tells_of_power_cuts(self, backend: Backend) -> None:
        """Otherwise an operator learns from a power cut that acknowledged writes were lost, and not which setting."""
        info = backend.info()
        assert type(info["survives_power_loss"]) is bool
        assert info["durability_settings"] and isinstance(info["durability_settings"], str)

    @clause("session.second", Level.CONCURRENT)
    def test_a_second_writing_session_in_one_thread(self, backend: Backend) -> None:
        """Otherwise a thread waits for itself, for ever or until a timeout, or its two transactions become one."""

        def nested() -> str:
            with writing(backend) as session:
                session.tasks.add([task("outer")])
                try:
                    with writing(backend) as inner:
                        inner.tasks.add([task("inner")])
                except TransactionError:
                    session.tasks.add([task("after")])
                    return "refused"
                assert session.tasks.get(["inner"], None)
                raise Undone

        call = BackgroundCall(nested)
        assert call.finished(5), "a thread waits for itself"
        if Capability.CONCURRENT_WRITERS in backend.capabilities:
            with pytest.raises(Undone):
                call.result()
        else:
            assert call.result() == "refused"
        alone = Capability.CONCURRENT_WRITERS in backend.capabilities
        with reading(backend) as session:
            found = {each.task_id for each in session.tasks.get(["outer", "inner", "after"], None)}
        assert found == ({"inner"} if alone else {"outer", "after"})

    @clause("backend.close.transaction", Level.CONCURRENT)
    def test_close_while_another_thread_is_in_a_transaction(self, backend: Backend, harness: Harness) -> None:
        """Otherwise a transaction that is told to be stored is not, or one that failed is stored in part."""
        inside, closed = threading.Event(), threading.Event()

        def work() -> bool:
            try:
                with writing(backend) as session:
                    session.tasks.add([task("a")])
                    inside.set()
                    assert closed.wait(PATIENCE)
                    session.tasks.add([task("b")])
            except StoreError:
                return False
            return True

        writer = BackgroundCall(work)
        assert inside.wait(PATIENCE)
        with closing(harness.open(ManualClock(T0))) as second:
            closer = BackgroundCall(backend.close)
            closer.finished()
            closed.set()
            stored = writer.result()
            closer.result()
            with reading(second) as session:
                assert len(session.tasks.get(["a", "b"], None)) == (2 if stored else 0)
            with writing(second) as session:  # no lock is left behind
                session.tasks.add([task("c")])

    @clause("backend.close")
    def test_close(self, backend: Backend) -> None:
        """Otherwise a closed store still accepts some calls."""
        backend.close()
        backend.close()
        for call in (lambda: writing(backend).__enter__(), lambda: reading(backend).__enter__(), backend.is_empty):
            with pytest.raises(StoreClosed):
                call()

    @clause("backend.open_twice")
    def test_two_open_at_once(self, backend: Backend, harness: Harness, clock: ManualClock) -> None:
        """Otherwise two parts of a program that open the same store do not meet."""
        with closing(harness.open(clock)) as second:
            with writing(backend) as session:
                session.graph.put_nodes([put(node("a"))], T0)
            with writing(second) as session:
                session.graph.put_nodes([put(node("b"))], T0)
            for each in (backend, second):
                with reading(each) as session:
                    assert [found.id for found in session.graph.list_nodes(NodeQuery()).items] == ["a", "b"]

    @clause("backend.reopen", Level.DURABLE, needs=Capability.DURABLE)
    def test_work_goes_on_after_reopening(self, backend: Backend, harness: Harness, clock: ManualClock) -> None:
        """Otherwise revisions and fences start anew, and old writers are let in again."""
        with writing(backend) as session:
            session.graph.put_nodes([put(node(attributes={"a": 1}))], T0)
            session.tasks.add([task()])
            lease = session.coordination.acquire_lease("job", "a", T0, at(1))
            session.audit.append([entry(1)])
        backend.close()
        with closing(harness.open(clock)) as reopened, writing(reopened) as session:
            [merged] = session.graph.put_nodes([put(node(attributes={"b": 2}, type=NodeType.CONCEPT))], T0)
            [claimed] = session.tasks.claim_next("w", "default", 1, at(5))
            taken = session.coordination.acquire_lease("job", "b", at(5), at(9))
            assert session.audit.head("default") == (1, "hash 1")
        assert (merged.attributes, merged.revision, claimed.fence) == ({"a": 1, "b": 2}, 2, 1)
        assert lease is not None and taken is not None and taken.fence == lease.fence + 1


class TestPrepare:
    """``Backend.prepare``."""

    @clause("backend.prepare.current", Level.OPERABLE)
    def test_a_current_store_is_left_alone(self, harness: Harness, clock: ManualClock) -> None:
        """Otherwise opening a store changes it, or is refused."""
        with closing(blank(harness, clock)) as first:
            first.prepare(migrate=True)
            with writing(first) as session:
                session.tasks.add([task()])
            with closing(blank(harness, clock)) as second:
                second.prepare(migrate=False)
                with reading(second) as session:
                    assert len(session.tasks.get(["t"], None)) == 1

    @clause("backend.prepare.refuses", Level.OPERABLE)
    def test_without_leave_to_migrate(self, harness: Harness, clock: ManualClock) -> None:
        """Otherwise a program that may not change the schema changes it."""
        for _ in range(2):
            with closing(blank(harness, clock)) as first, pytest.raises(MigrationRequired):
                first.prepare(migrate=False)

    @clause("backend.prepare.race", Level.CONCURRENT)
    def test_many_prepare_an_empty_store(self, harness: Harness, clock: ManualClock) -> None:
        """Otherwise of several instances that start together on a new database only one comes up."""
        with closing(blank(harness, clock)) as probe:

            def start(number: int) -> None:
                with closing(blank(harness, clock)) as started:
                    started.prepare(migrate=True)
                    with writing(started) as session:
                        session.tasks.add([task(f"t{number}")])

            race(5, start)
            probe.prepare(migrate=True)
            with reading(probe) as session:
                assert len(session.tasks.get([f"t{number}" for number in range(5)], None)) == 5

    @clause("backend.threads", Level.CONCURRENT)
    def test_use_from_threads_that_come_and_go(self, backend: Backend) -> None:
        """Otherwise a server that answers each request in a new thread fails or leaks."""

        def work(i: int) -> None:
            with writing(backend) as session:
                session.tasks.add([task(f"t{i}")])

        for i in range(40):
            BackgroundCall(partial(work, i)).result()
        with reading(backend) as session:
            assert len(session.tasks.get([f"t{i}" for i in range(40)], None)) == 40
