"""Transactions: all or nothing, isolated, nested."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from ciris_store_core.capabilities import Capability
from ciris_store_core.conformance.factories import LOCAL, T0, correlation, edge, entry, node, put, secret, task, thought
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.samples import RECORD_KINDS
from ciris_store_core.conformance.support import BackgroundCall, race, reading, transact, writing
from ciris_store_core.contract import Backend, Session
from ciris_store_core.errors import (
    AlreadyExists,
    Conflict,
    InvalidArgument,
    NotFound,
    RevisionMismatch,
    StaleFence,
    StoreError,
    TransactionError,
)
from ciris_store_core.models.audit import AuditQuery
from ciris_store_core.models.correlations import CorrelationFilter
from ciris_store_core.models.graph import NodeKey, NodeQuery
from ciris_store_core.models.tasks import TaskQuery
from ciris_store_core.models.thoughts import ThoughtQuery

SAVEPOINTS = Capability.SAVEPOINTS


class Stop(Exception):
    """Ends a block early."""


def stored(backend: Backend) -> list[str]:
    """The ids of all tasks."""
    with reading(backend) as session:
        return [each.task_id for each in session.tasks.find(TaskQuery()).items]


def refusals() -> dict[str, tuple[type[StoreError], Callable[[Session], object]]]:
    """Calls that are refused where the task ``t`` and the node ``n`` exist, and with what."""
    return {
        "tasks.add": (AlreadyExists, lambda s: s.tasks.add([task("new"), task()])),
        "thoughts.add": (AlreadyExists, lambda s: s.thoughts.add([thought("new"), thought()])),
        "correlations.add": (AlreadyExists, lambda s: s.correlations.add([correlation("new"), correlation()])),
        "secrets.add": (AlreadyExists, lambda s: s.secrets.add([secret("new"), secret()])),
        "audit.append": (AlreadyExists, lambda s: s.audit.append([entry(2), entry(1, entry_id="x")])),
        "put_nodes.insert": (AlreadyExists, lambda s: s.graph.put_nodes([put(node("new")), put(node(), "insert")], T0)),
        "put_nodes.type": (Conflict, lambda s: s.graph.put_nodes([put(node("new")), put(node(type="user"))], T0)),
        "put_nodes.revision": (
            RevisionMismatch,
            lambda s: s.graph.put_nodes([put(node("new")), put(node(), expected=9)], T0),
        ),
        "put_nodes.size": (InvalidArgument, _grow_too_large),
        "put_edges": (NotFound, lambda s: s.graph.put_edges([edge("n", "n"), edge("n", "gone")])),
        "update": (StaleFence, lambda s: s.tasks.update("t", {"description": "new"}, None, 9)),
        "hold": (StaleFence, lambda s: s.tasks.lock_claim("t", 9)),
    }


def _grow_too_large(session: Session) -> object:
    half = "x" * 9 * 2**20
    session.graph.put_nodes([put(node(attributes={"a": half}))], T0)
    return session.graph.put_nodes([put(node("new")), put(node(attributes={"b": half}))], T0)


def new_records(session: Session) -> list[object]:
    """Return the records that a refused call must not have written."""
    return [
        *session.tasks.get(["new"], None),
        *session.thoughts.get(["new"], None),
        *session.correlations.get(["new"]),
        *session.secrets.get(["new"]),
        *session.graph.get_nodes([NodeKey("new", LOCAL)], None),
        *session.graph.get_edges([edge("n", "n").key]),
        *[each for each in session.audit.find(AuditQuery()).items if each.sequence == 2],
        *[each for each in session.tasks.get(["t"], None) if each.description == "new"],
    ]


def add_the_first_of_each(session: Session) -> None:
    """Add the records that the refused calls conflict with."""
    session.tasks.add([task()])
    session.thoughts.add([thought()])
    session.correlations.add([correlation()])
    session.secrets.add([secret()])
    session.audit.append([entry(1)])
    session.graph.put_nodes([put(node())], T0)


class TestTransactions:
    """``Backend.session``."""

    @pytest.mark.parametrize("error", [Stop, StoreError, KeyboardInterrupt, SystemExit, GeneratorExit])
    @clause("session.rollback")
    def test_rollback(self, backend: Backend, error: type[BaseException]) -> None:
        """Otherwise a failed transaction is stored in part."""
        raised = error("stop")
        with pytest.raises(error) as caught, writing(backend) as session:
            for kind in RECORD_KINDS:
                kind.save(session, kind.samples[0]())
            raise raised
        assert caught.value is raised
        with reading(backend) as session:
            assert [kind.load(session, kind.samples[0]()) for kind in RECORD_KINDS] == [[]] * len(RECORD_KINDS)

    @clause("session.rollback.changes")
    def test_rollback_of_changes(self, backend: Backend) -> None:
        """Otherwise what was there before a failed transaction is not there after it."""
        with writing(backend) as session:
            session.graph.put_nodes([put(node(id, attributes={"a": 1})) for id in "nm"], T0)
            session.graph.put_edges([edge("n", "m")])
            session.tasks.add([task()])
        with pytest.raises(Stop), writing(backend) as session:
            session.graph.put_nodes([put(node("n", attributes={"b": 2}))], T0)
            session.graph.delete_nodes([NodeKey("m", LOCAL)])
            session.tasks.update("t", {"description": "changed"}, None, None)
            session.tasks.delete(["t"])
            raise Stop
        with reading(backend) as session:
            nodes = session.graph.list_nodes(NodeQuery()).items
            assert {each.id: (each.attributes, each.revision) for each in nodes} == {
                "n": ({"a": 1}, 1),
                "m": ({"a": 1}, 1),
            }
            assert len(session.graph.get_edges([edge("n", "m").key])) == 1
            assert session.tasks.get(["t"], None)[0].description == "do it"

    @clause("session.after_rollback")
    def test_the_store_goes_on_after_a_rollback(self, backend: Backend) -> None:
        """Otherwise one failure makes the store useless, or leaves a lock behind."""
        for _ in range(20):
            with pytest.raises(Stop), writing(backend) as session:
                session.tasks.add([task("a")])
                raise Stop
        with writing(backend) as session:
            session.tasks.add([task("b")])
        assert stored(backend) == ["b"]

    @clause("session.own_writes")
    def test_reads_see_own_writes(self, backend: Backend) -> None:
        """Otherwise a step of an agent cannot build on the one before."""
        with writing(backend) as session:
            for kind in RECORD_KINDS:
                for sample in kind.samples:
                    kind.save(session, sample())
                    assert len(kind.load(session, sample())) >= 1
            session.tasks.update("t", {"description": "changed"}, None, None)
            assert session.tasks.get(["t"], None)[0].description == "changed"
            assert session.tasks.count(TaskQuery()) == 2
            assert session.correlations.count(CorrelationFilter()) == 2
            session.tasks.delete(["t"])
            assert session.tasks.get(["t"], None) == []

    @clause("session.single")
    def test_single_calls(self, backend: Backend) -> None:
        """Otherwise the quick way of making one call loses it, or half of it."""
        with backend.session(write=True, single=True) as session:
            session.tasks.add([task("a"), task("b")])
        with pytest.raises(AlreadyExists), backend.session(write=True, single=True) as session:
            session.tasks.add([task("c"), task("a")])
        with backend.session(write=True, single=True) as session:
            session.graph.put_nodes([put(node())], T0)
        with backend.session(write=False, single=True) as session:
            assert [each.task_id for each in session.tasks.find(TaskQuery()).items] == ["a", "b"]
        with backend.session(write=True, single=True) as session:
            assert session.tasks.delete(["a", "b"]) == 2
        assert stored(backend) == []

    @clause("session.over")
    def test_a_session_ends_with_its_block(self, backend: Backend) -> None:
        """Otherwise a forgotten handle writes outside of any transaction."""
        with writing(backend) as session:
            pass
        with pytest.raises(TransactionError):
            session.tasks.add([task()])
        with pytest.raises(TransactionError):
            session.tasks.get(["t"], None)
        assert stored(backend) == []

    @pytest.mark.parametrize("name", refusals())
    @clause("session.refused_call.undone")
    def test_a_refused_call_wrote_nothing(self, backend: Backend, name: str) -> None:
        """Otherwise a caller who is told that a call was refused finds a part of it stored."""
        error, call = refusals()[name]
        with writing(backend) as session:
            add_the_first_of_each(session)
        with pytest.raises(error), writing(backend) as session:
            call(session)
        with reading(backend) as session:
            assert new_records(session) == []

    @pytest.mark.parametrize("name", refusals())
    @clause("session.refused_call.goes_on", needs=SAVEPOINTS)
    def test_the_transaction_goes_on_after_a_refused_call(self, backend: Backend, name: str) -> None:
        """Otherwise a caller who knows how to go on after a conflict has to start all over."""
        error, call = refusals()[name]
        with writing(backend) as session:
            add_the_first_of_each(session)
            with pytest.raises(error):
                call(session)
            assert new_records(session) == []
            session.tasks.add([task("after")])
        assert stored(backend) == ["after", "t"]


class TestSavepoints:
    """``Session.savepoint``."""

    @clause("session.savepoint.kept")
    def test_a_block_that_ends_well_is_kept(self, backend: Backend) -> None:
        """Otherwise what a part of a transaction wrote is lost."""
        with writing(backend) as session:
            with session.savepoint():
                session.tasks.add([task("a")])
            with session.savepoint(), session.savepoint():
                session.tasks.add([task("b")])
        assert stored(backend) == ["a", "b"]

    @pytest.mark.parametrize("error", [Stop, Conflict, KeyboardInterrupt])
    @clause("session.savepoint.undone", needs=SAVEPOINTS)
    def test_a_block_that_raises_is_undone_alone(self, backend: Backend, error: type[BaseException]) -> None:
        """Otherwise a part that failed stays, or takes the rest along."""
        raised = error()
        with writing(backend) as session:
            session.tasks.add([task("before")])
            with pytest.raises(error) as caught, session.savepoint():
                session.tasks.add([task("inside")])
                session.tasks.update("before", {"description": "changed"}, None, None)
                raise raised
            assert caught.value is raised
            session.tasks.add([task("after")])
            assert session.tasks.get(["before"], None)[0].description == "do it"
        assert stored(backend) == ["after", "before"]

    @clause("session.savepoint.nested", needs=SAVEPOINTS)
    def test_nested(self, backend: Backend) -> None:
        """Otherwise parts of parts are undone wrongly."""
        with writing(backend) as session:
            with session.savepoint():
                session.tasks.add([task("a")])
                with pytest.raises(Stop), session.savepoint():
                    session.tasks.add([task("b")])
                    with session.savepoint():
                        session.tasks.add([task("c")])
                    raise Stop
                session.tasks.add([task("d")])
            with pytest.raises(Stop), session.savepoint():
                session.tasks.add([task("e")])
                raise Stop
        assert stored(backend) == ["a", "d"]

    @clause("session.savepoint.outer", needs=SAVEPOINTS)
    def test_the_whole_is_still_undone(self, backend: Backend) -> None:
        """Otherwise parts of a failed transaction stay."""
        with pytest.raises(Stop), writing(backend) as session:
            with session.savepoint():
                session.tasks.add([task("a")])
            raise Stop
        assert stored(backend) == []

    @clause("session.savepoint.aborted")
    def test_declared_or_aborted(self, backend: Backend) -> None:
        """Otherwise a database without nested transactions stores what was to be undone."""

        def work() -> None:
            with writing(backend) as session:
                session.tasks.add([task("a")])
                with pytest.raises(Stop), session.savepoint():
                    session.tasks.add([task("b")])
                    raise Stop
                if SAVEPOINTS not in backend.capabilities:
                    with pytest.raises(TransactionError):
                        session.tasks.get(["a"], None)

        if SAVEPOINTS in backend.capabilities:
            work()
            assert stored(backend) == ["a"]
        else:
            with pytest.raises(TransactionError):
                work()
            assert stored(backend) == []


class TestIsolation:
    """Visibility between transactions of several threads."""

    @clause("session.isolation.dirty_read", Level.CONCURRENT)
    def test_no_dirty_reads(self, backend: Backend) -> None:
        """Otherwise an agent acts on something that never came to be."""
        with writing(backend) as session:
            session.graph.put_nodes([put(node(attributes={"a": 1}))], T0)
        readers = []

        def read() -> tuple[list[str], dict[str, object]]:
            with reading(backend) as session:
                [found] = session.graph.get_nodes([NodeKey("n", LOCAL)], None)
                return [each.task_id for each in session.tasks.find(TaskQuery()).items], found.attributes

        with pytest.raises(Stop), writing(backend) as session:
            session.tasks.add([task()])
            session.graph.put_nodes([put(node(attributes={"a": 2}))], T0)
            # A backend may let the reader wait instead; then it reads after the rollback, and the same.
            readers = [BackgroundCall(read) for _ in range(3)]
            for reader in readers:
                reader.finished()
            raise Stop
        assert [reader.result() for reader in readers] == [([], {"a": 1})] * 3

    @clause("session.isolation.committed", Level.CONCURRENT)
    def test_what_is_committed_is_seen_by_all(self, backend: Backend) -> None:
        """Otherwise instances that work together do not see one another's results."""
        for i in range(10):
            with writing(backend) as session:
                session.tasks.add([task(f"t{i}")])
            assert BackgroundCall(lambda: len(stored(backend))).result() == i + 1

    @clause("session.isolation.whole", Level.CONCURRENT)
    def test_a_transaction_shows_all_at_once(self, backend: Backend) -> None:
        """Otherwise others see a task without its thought, which belongs to it."""

        def work(number: int) -> list[bool]:
            seen = []
            for i in range(20):
                if number < 2:
                    transact(backend, partial(_add_both, f"{number}.{i}"))
                with reading(backend) as session:
                    # Read in the opposite order of the writes: a reader that sees the thought must see the task.
                    thoughts = [each.thought_id for each in session.thoughts.find(ThoughtQuery()).items]
                    seen.append(len(session.tasks.get(thoughts, None)) == len(thoughts))
            return seen

        assert all(ok for seen in race(4, work) for ok in seen)

    @clause("session.many", Level.CONCURRENT)
    def test_many_threads_in_turn(self, backend: Backend) -> None:
        """Otherwise the store runs out of connections, or locks up, under load."""

        def work(number: int) -> int:
            for i in range(5):
                with writing(backend) as session:
                    session.tasks.add([task(f"{number}.{i}")])
            return len(stored(backend))

        race(32, work)
        with reading(backend) as session:
            assert session.tasks.count(TaskQuery()) == 160


def _add_both(id: str, session: Session) -> None:
    session.thoughts.add([thought(id, id)])
    session.tasks.add([task(id)])
