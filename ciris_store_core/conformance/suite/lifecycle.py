"""Life of sessions and of the open store: visibility of every write to every read, ends of blocks, closing, forking."""

from __future__ import annotations

import os
import re
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import Any

import pytest

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance.calls import READS, Call, contents, fill, form, in_order, offered
from ciris_store_core.conformance.factories import T0, task
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.support import BackgroundCall, reading, transact, writing
from ciris_store_core.contract import Backend, Session
from ciris_store_core.errors import StoreClosed, StoreError
from ciris_store_core.inmemory import MemoryBackend
from ciris_store_core.models.tasks import TaskQuery

ENOUGH = 5.0
"""Seconds in which a call that waits for nothing ends."""


class Stop(Exception):
    """Ends a block early."""


@contextmanager
def reference(capabilities: frozenset[Capability]) -> Iterator[Backend]:
    """Open a filled store of the reference, with the records that a backend with these capabilities keeps."""
    with closing(MemoryBackend(ManualClock(T0))) as opened:
        opened.prepare(migrate=True)
        transact(opened, partial(fill, capabilities=capabilities))
        yield opened


def answers(session: Session, reads: Mapping[str, Call]) -> dict[str, Any]:
    """Return the answers of the reads."""
    return {name: form(name, call(session)) for name, call in reads.items()}


def single_answers(backend: Backend, reads: Mapping[str, Call]) -> dict[str, Any]:
    """Return the answers of the reads, each in a session of its own."""
    found = {}
    for name, call in reads.items():
        with backend.session(write=False, single=True) as session:
            found[name] = form(name, call(session))
    return found


def stored(backend: Backend) -> dict[str, Any]:
    """Return all records."""
    with reading(backend) as session:
        return contents(session)


def differing(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Return the names under which two mappings differ."""
    return [name for name in expected if found[name] != expected[name]]


def add_task(id: str) -> Call:
    """Return the addition of a task."""
    return lambda s: s.tasks.add([task(id)])


def call_alone(backend: Backend, call: Call) -> None:
    """Make one call that is no part of a transaction."""
    with backend.session(write=True, single=True) as session:
        call(session)


class TestVisibility:
    """Visibility of each write to each read."""

    @clause("session.single.visible")
    def test_single_writes_through_another_handle(self, backend: Backend, harness: Harness, clock: ManualClock) -> None:
        """Otherwise a call returns before it is stored, and is lost with its process."""
        transact(backend, fill)
        with reference(backend.capabilities) as expected, closing(harness.open(clock)) as other:
            for name, call in in_order(backend.capabilities):
                call_alone(backend, call)
                call_alone(expected, call)
                assert differing(stored(other), stored(expected)) == [], f"{name} is not stored when it returns"

    @clause("session.reads.current")
    def test_reads_through_another_handle(self, backend: Backend, harness: Harness, clock: ManualClock) -> None:
        """Otherwise an instance reads from a copy that is out of date."""
        transact(backend, fill)
        reads = offered(READS, backend.capabilities)
        with reference(backend.capabilities) as expected, closing(harness.open(clock)) as other:
            for name, call in in_order(backend.capabilities):
                transact(backend, call)
                transact(expected, call)
                with reading(expected) as session:
                    right = answers(session, reads)
                assert differing(single_answers(other, reads), right) == [], f"after {name}"

    @clause("session.own_writes.every_read")
    def test_every_read_sees_every_own_write(self, backend: Backend) -> None:
        """Otherwise a step of an agent counts, searches or walks what was there before its own writes."""
        transact(backend, fill)
        reads = offered(READS, backend.capabilities)
        with reference(backend.capabilities) as expected, writing(expected) as right, writing(backend) as session:
            for name, call in in_order(backend.capabilities):
                assert form(name, call(session)) == form(name, call(right)), name
                assert differing(answers(session, reads), answers(right, reads)) == [], f"after {name}"

    @clause("session.rollback.every_write")
    def test_every_write_is_rolled_back(self, backend: Backend) -> None:
        """Otherwise a transaction that failed is stored in part."""
        transact(backend, fill)
        before = stored(backend)
        for name, call in in_order(backend.capabilities):
            with suppress(Stop), writing(backend) as session:
                call(session)
                raise Stop
            assert differing(stored(backend), before) == [], name

    @clause("session.savepoint.every_write", needs=Capability.SAVEPOINTS)
    def test_every_write_in_a_savepoint_is_undone(self, backend: Backend) -> None:
        """Otherwise a part of a transaction that failed stays."""
        transact(backend, fill)
        before = stored(backend)
        with writing(backend) as session:
            for name, call in in_order(backend.capabilities):
                with suppress(Stop), session.savepoint():
                    call(session)
                    raise Stop
                assert differing(contents(session), before) == [], name
        assert stored(backend) == before

    @clause("backend.snapshot.every_read", Level.CONCURRENT)
    def test_a_snapshot_stays_for_every_read(self, backend: Backend) -> None:
        """Otherwise a copy holds records of different moments."""
        transact(backend, fill)
        reads = offered(READS, backend.capabilities)
        with backend.snapshot() as session:
            before = answers(session, reads)
            writer = BackgroundCall(lambda: [transact(backend, call) for _, call in in_order(backend.capabilities)])
            writer.finished(0.5)  # or it waits, where there are no readers beside a writer
            assert differing(answers(session, reads), before) == []
        writer.result()
        with reading(backend) as session:
            after = answers(session, reads)
        with backend.snapshot() as session:
            assert differing(answers(session, reads), after) == [], "a later snapshot is out of date"
        assert len(differing(after, before)) > len(READS) // 2


class TestBlocks:
    """State after the end of a block."""

    @pytest.mark.parametrize("error", [Stop, StoreError, KeyboardInterrupt, GeneratorExit])
    @pytest.mark.parametrize("single", [False, True])
    @clause("session.ends.write_lock", Level.CONCURRENT)
    def test_locks_after_an_error(
        self, backend: Backend, harness: Harness, clock: ManualClock, error: type[BaseException], single: bool
    ) -> None:
        """Otherwise one interrupted call keeps all other instances from writing."""
        with closing(harness.open(clock)) as other:
            for number in range(3):
                with suppress(error), backend.session(write=True, single=single) as session:
                    if not single:
                        session.tasks.add([task("undone")])
                    raise error
                add = BackgroundCall(partial(transact, other, add_task(f"t{number}")))
                assert add.finished(ENOUGH), "a write waits for a block that has ended"
                add.result()
            with reading(backend) as session:
                assert [each.task_id for each in session.tasks.find(TaskQuery()).items] == ["t0", "t1", "t2"]

    @pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
    @pytest.mark.parametrize("single", [False, True])
    @clause("session.ends.readers", Level.CONCURRENT)
    def test_readers_after_errors(self, backend: Backend, error: type[BaseException], single: bool) -> None:
        """Otherwise readers that were interrupted leave connections, or a view of the past, to later ones."""
        for number in range(30):
            with suppress(error), backend.session(write=False, single=single) as session:
                assert session.tasks.count(TaskQuery()) == number
                raise error
            transact(backend, add_task(f"t{number}"))
        count = BackgroundCall(lambda: len(single_answers(backend, offered(READS, backend.capabilities))))
        assert count.finished(ENOUGH), "a read waits for blocks that have ended"
        assert count.result() > 0


class TestOpenStore:
    """``Backend``: closing, forking, and calls that only look."""

    @clause("backend.close.every_call")
    def test_every_call_of_a_closed_store(self, backend: Backend) -> None:
        """Otherwise a program goes on with a store that it closed, or with a connection that is never closed."""
        calls: dict[str, Callable[[], object]] = {
            "server_now": backend.server_now,
            "is_empty": backend.is_empty,
            "info": backend.info,
            "snapshot": lambda: backend.snapshot().__enter__(),
            "single read": lambda: backend.session(write=False, single=True).__enter__(),
            "single write": lambda: backend.session(write=True, single=True).__enter__(),
        }
        backend.close()
        for name, call in calls.items():
            with pytest.raises(StoreClosed):
                call()
                raise AssertionError(f"{name} of a closed store returned")

    @clause("backend.close.during", Level.CONCURRENT)
    def test_close_during_a_transaction(self, backend: Backend, harness: Harness, clock: ManualClock) -> None:
        """Otherwise a program hangs when it ends, or is told that a write was stored that was not."""
        with closing(harness.open(clock)) as other:
            closed: BackgroundCall | None = None
            try:
                with writing(backend) as session:
                    session.tasks.add([task()])
                    closed = BackgroundCall(backend.close)
                    closed.finished()
                    session.tasks.add([task("second")])
                kept = ["second", "t"]
            except StoreError:
                kept = []
            assert closed is not None and closed.finished(ENOUGH * 3), "close hangs"
            closed.result()
            with reading(other) as session:
                found = [each.task_id for each in session.tasks.find(TaskQuery()).items]
            assert found == kept
            with pytest.raises(StoreClosed):
                writing(backend).__enter__()

    @clause("backend.fork", Level.CONCURRENT)
    def test_a_forked_child(self, backend: Backend) -> None:
        """Otherwise two processes share one connection, and each reads the answers of the other."""
        if not hasattr(os, "fork"):
            pytest.skip("this system cannot fork")
        transact(backend, lambda s: s.tasks.add([task()]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            child = os.fork()
        if child == 0:
            os._exit(_try_in_child(backend))
        status = os.waitpid(child, 0)[1]  # an alarm ends a child that hangs
        assert os.waitstatus_to_exitcode(status) == 0, "a child of fork uses the store of its parent"
        transact(backend, lambda s: s.tasks.add([task("after")]))
        with reading(backend) as session:
            assert session.tasks.count(TaskQuery()) == 2

    @clause("backend.prepare.records", Level.OPERABLE)
    def test_opening_changes_no_record(self, backend: Backend, harness: Harness, clock: ManualClock) -> None:
        """Otherwise records are lost or changed because a program starts."""
        transact(backend, fill)
        before = stored(backend)
        clock.advance(days=1)
        for _ in range(2):
            with closing(harness.open(clock)) as other:
                assert differing(stored(other), before) == []
        assert differing(stored(backend), before) == []

    @clause("backend.diagnose.records", Level.OPERABLE)
    def test_looking_changes_no_record(self, backend: Backend, clock: ManualClock) -> None:
        """Otherwise a check deletes what it was to find."""
        transact(backend, fill)
        before = stored(backend)
        clock.advance(days=1)
        for look in (backend.diagnose, lambda: backend.diagnose(thorough=True), backend.info, backend.stats):
            look()
            assert differing(stored(backend), before) == []
        assert list(backend.pending()) == [] and differing(stored(backend), before) == []

    @clause("backend.info.passwords", Level.OPERABLE)
    def test_no_report_holds_a_password(self, backend: Backend, harness: Harness) -> None:
        """Otherwise a password stands in reports and logs."""
        said = f"{dict(backend.info())} {dict(backend.stats())} {backend.diagnose()} {backend!r}"
        assert not re.search(r"://[^/@\s]*:(?!\*)[^/@\s]+@|passw(or)?d'?[=:]\s*'?[^*\s']", said, re.IGNORECASE), said
        assert [each for each in harness.passwords if each in said] == []

    @clause("backend.server_now.moves")
    def test_the_time_goes_on(self, backend: Backend, clock: ManualClock) -> None:
        """Otherwise leases never expire."""
        first = backend.server_now()
        clock.advance(seconds=1)
        time.sleep(0.02)  # of a server's clock, or of a file system's, which has ticks
        assert backend.server_now() > first


def _try_in_child(backend: Backend) -> int:
    """Return 0 if the store refuses every call in this forked process."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(int(ENOUGH))
    for write in (False, True):
        try:
            with backend.session(write=write) as session:
                session.tasks.find(TaskQuery())
        except StoreClosed:
            continue
        except BaseException:
            return 2
        return 1
    return 0
