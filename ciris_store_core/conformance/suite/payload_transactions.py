"""Documents and streams in transactions with everything else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance.calls import contents
from ciris_store_core.conformance.factories import LOCAL, T0, at, node, put, task
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.payload_samples import (
    NS,
    K,
    S,
    append,
    ciphertext,
    document,
    store,
    stream_entry,
    write,
)
from ciris_store_core.conformance.suite.documents import DOCUMENTS
from ciris_store_core.conformance.suite.streams import STREAMS, values
from ciris_store_core.conformance.support import BackgroundCall, reading, transact, writing
from ciris_store_core.contract import Backend, Session
from ciris_store_core.errors import AlreadyExists, NotFound, RevisionMismatch, StoreError, TransactionError
from ciris_store_core.models.document_filters import field
from ciris_store_core.models.documents import DocumentKey, DocumentQuery, NamespaceQuery
from ciris_store_core.models.graph import NodeKey
from ciris_store_core.models.streams import EntryQuery, StreamKey, StreamQuery

SAVEPOINTS = Capability.SAVEPOINTS
T = StreamKey(NS, "t")


class Stop(Exception):
    """Ends a block early."""


Change = tuple[str, Callable[[Session], object]]

DOCUMENT_CHANGES: list[Change] = [
    ("put", lambda s: s.documents.put([write(document("new", 1)), write(document(value=2))], at(1))),
    ("touch", lambda s: s.documents.touch([K], at(3))),
    ("delete", lambda s: s.documents.delete([K], None)),
    ("delete_matching", lambda s: s.documents.delete_matching(DocumentQuery())),
    ("delete_expired", lambda s: s.documents.delete_expired(at(99), 9)),
    ("reencrypt", lambda s: s.documents.reencrypt(document(), ciphertext("k2"))),
]
STREAM_CHANGES: list[Change] = [
    ("append", lambda s: s.streams.append(S, [stream_entry(9)], at(1), None)),
    ("pop", lambda s: s.streams.pop(S, at(1))),
    ("truncate", lambda s: s.streams.truncate(S, 2, None, at(1), 9)),
    ("fork", lambda s: s.streams.fork(S, T, None, at(1))),
    ("delete", lambda s: s.streams.delete([S])),
    ("reencrypt", lambda s: s.streams.reencrypt(S, stream_entry("a", position=1), ciphertext("k2"))),
]
"""A call of each method that changes something; each of them does, after ``begin``."""

DOCUMENT_REFUSALS: list[tuple[type[StoreError], Callable[[Session], object]]] = [
    (AlreadyExists, lambda s: s.documents.put([write(document("new")), write(document(), "insert")], T0)),
    (AlreadyExists, lambda s: s.documents.put([write(document("new")), write(document(), "restore")], T0)),
    (RevisionMismatch, lambda s: s.documents.put([write(document("new")), write(document(), expected=9)], T0)),
    (RevisionMismatch, lambda s: s.documents.put([write(document("new")), write(document(), expected=0)], T0)),
]
STREAM_REFUSALS: list[tuple[type[StoreError], Callable[[Session], object]]] = [
    (RevisionMismatch, lambda s: s.streams.append(S, [stream_entry("new")], at(1), 9)),
    (RevisionMismatch, lambda s: s.streams.append(T, [stream_entry("new")], at(1), 1)),
    (AlreadyExists, lambda s: s.streams.fork(S, S, None, at(1))),
    (NotFound, lambda s: s.streams.fork(T, StreamKey(NS, "u"), None, at(1))),
    (AlreadyExists, lambda s: _restore_again(s)),
]
"""Calls that are refused after ``begin``."""


def _restore_again(session: Session) -> object:
    [found] = session.streams.info([S])
    first = session.streams.read(S, EntryQuery(1)).items[0]
    return session.streams.restore(found, [replace(first, position=9), first])


def begin_documents(backend: Backend) -> dict[str, Any]:
    """Store a document; return everything that is stored."""
    store(backend, document(payload=ciphertext(), expires_at=at(10), ttl=50.0, metadata={"m": 1}))
    return stored(backend)


def begin_streams(backend: Backend) -> dict[str, Any]:
    """Store a stream; return everything that is stored."""
    append(backend, "abc")
    return stored(backend)


def stored(backend: Backend) -> dict[str, Any]:
    """Return everything that is stored."""
    with reading(backend) as session:
        return contents(session)


def check_undone(backend: Backend, before: dict[str, Any], changes: list[Change]) -> None:
    """Check that a rollback undoes each change, and all of them together, and a savepoint likewise."""
    for name, change in [*changes, ("all", lambda s: [each(s) for _, each in changes[:2]])]:
        with pytest.raises(Stop), writing(backend) as session:
            session.tasks.add([task("t")])
            change(session)
            assert contents(session) != before, f"{name} changes nothing"
            raise Stop
        assert stored(backend) == before, name
        if SAVEPOINTS in backend.capabilities:
            with writing(backend) as session:
                with pytest.raises(Stop), session.savepoint():
                    change(session)
                    raise Stop
                assert contents(session) == before, name
            assert stored(backend) == before, name


def check_refused(backend: Backend, before: dict[str, Any], refusals: list[Any]) -> None:
    """Check that a refused call has written nothing, and that with savepoints its transaction can go on."""
    for number, (error, call) in enumerate(refusals):
        with pytest.raises(error), writing(backend) as session:
            call(session)
        assert stored(backend) == before, number
        if SAVEPOINTS in backend.capabilities:
            with writing(backend) as session:
                with pytest.raises(error):
                    call(session)
                assert contents(session) == before, number
                session.tasks.add([task("t")])
            with writing(backend) as session:
                assert session.tasks.delete(["t"]) == 1


def check_single(backend: Backend, other: Backend, changes: list[Change]) -> None:
    """Check that each change, made as the only call of its session, is seen by another handle when it returns."""
    for name, change in changes:
        before = stored(other)
        with backend.session(write=True, single=True) as session:
            change(session)
        after = stored(other)
        assert after != before, f"{name} is not stored when it returns"
        assert after == stored(backend)


def check_isolated(backend: Backend, before: dict[str, Any], changes: list[Change]) -> None:
    """Check that no other transaction sees a change before its commit, nor an open snapshot after it."""
    for _, change in changes[:3]:
        with pytest.raises(Stop), writing(backend) as session:
            change(session)
            # A backend may let the reader wait instead; then it reads after the rollback, and the same.
            reader = BackgroundCall(lambda: stored(backend))
            reader.finished()
            raise Stop
        assert reader.result() == before
    with backend.snapshot() as session:
        assert contents(session) == before
        writer = BackgroundCall(lambda: transact(backend, changes[0][1]))
        writer.finished()  # or it waits, where there are no readers beside a writer
        assert contents(session) == before
    writer.result()
    assert stored(backend) != before


class TestPayloadTransactions:
    """``Backend.session``, with documents and streams in it."""

    @clause("documents.rollback", needs=DOCUMENTS)
    def test_rollback_of_documents(self, backend: Backend) -> None:
        """Otherwise a failed transaction is stored in part."""
        check_undone(backend, begin_documents(backend), DOCUMENT_CHANGES)

    @clause("streams.rollback", needs=STREAMS)
    def test_rollback_of_streams(self, backend: Backend) -> None:
        """Otherwise a failed transaction is stored in part, or leaves a gap between positions."""
        check_undone(backend, begin_streams(backend), STREAM_CHANGES)

    @clause("documents.refused", needs=DOCUMENTS)
    def test_refused_writes_of_documents(self, backend: Backend) -> None:
        """Otherwise a caller who is told that a call was refused finds a part of it stored."""
        check_refused(backend, begin_documents(backend), DOCUMENT_REFUSALS)

    @clause("streams.refused", needs=STREAMS)
    def test_refused_writes_of_streams(self, backend: Backend) -> None:
        """Otherwise a caller who is told that a call was refused finds a part of it stored."""
        check_refused(backend, begin_streams(backend), STREAM_REFUSALS)

    @clause("documents.single", needs=DOCUMENTS)
    def test_single_calls_of_documents(self, backend: Backend, harness: Harness, clock: ManualClock) -> None:
        """Otherwise a write is acknowledged before it is stored, and lost in a crash."""
        begin_documents(backend)
        with closing(harness.open(clock)) as other:
            check_single(backend, other, [DOCUMENT_CHANGES[number] for number in (1, 5, 0)])
            for _, change in DOCUMENT_CHANGES[2:5]:
                store(backend, document(expires_at=at(10)))
                check_single(backend, other, [("delete", change)])

    @clause("streams.single", needs=STREAMS)
    def test_single_calls_of_streams(self, backend: Backend, harness: Harness, clock: ManualClock) -> None:
        """Otherwise a write is acknowledged before it is stored, and lost in a crash."""
        begin_streams(backend)
        with closing(harness.open(clock)) as other:
            check_single(backend, other, [*STREAM_CHANGES[-1:], *STREAM_CHANGES[:-1]])

    @clause("documents.own_writes", needs=DOCUMENTS)
    def test_reads_see_own_writes_of_documents(self, backend: Backend) -> None:
        """Otherwise a step of an agent cannot build on the one before."""
        store(backend, document("old", {"n": 1}), document("kept", {"n": 1}))
        with writing(backend) as session:
            session.documents.put([write(document("new", {"n": 2}, ("b",))), write(document("old", {"n": 2}))], T0)
            wanted = DocumentQuery(filter=field("n").eq(2))
            assert [each.key for each in session.documents.find(wanted).items] == ["old", "new"]
            assert session.documents.count(wanted) == 2 and session.documents.count(DocumentQuery()) == 3
            assert session.documents.namespaces(NamespaceQuery()).items == [NS, ("b",)]
            assert [each.revision for each in session.documents.lock([DocumentKey(NS, "old")])] == [2]
            assert [each.revision for each in session.documents.get([DocumentKey(NS, "old")], None)] == [2]
            session.documents.delete([DocumentKey(("b",), "new")], None)
            assert session.documents.get([DocumentKey(("b",), "new")], None) == []
            assert session.documents.namespaces(NamespaceQuery()).items == [NS]
            assert [each.key for each in session.documents.find(wanted).items] == ["old"]

    @clause("streams.own_writes", needs=STREAMS)
    def test_reads_see_own_writes_of_streams(self, backend: Backend) -> None:
        """Otherwise a step of an agent cannot build on the one before."""
        with writing(backend) as session:
            session.streams.append(S, [stream_entry("a", "x")], at(1), None)
            session.streams.append(S, [stream_entry("b")], at(2), 1)
            assert [each.position for each in session.streams.read(S, EntryQuery(9)).items] == [1, 2]
            assert [each.position for each in session.streams.get(S, ["x"])] == [1]
            session.streams.fork(S, T, None, at(3))
            session.streams.pop(S, at(4))
            assert [(each.name, each.length) for each in session.streams.find(StreamQuery()).items] == [
                ("s", 1),
                ("t", 2),
            ]
            assert [each.updated_at for each in session.streams.info([S])] == [at(4)]
        assert values(backend) == {1: "a"} and values(backend, T) == {1: "a", 2: "b"}

    @clause("documents.over", needs=DOCUMENTS)
    def test_a_session_ends_with_its_block(self, backend: Backend) -> None:
        """Otherwise a forgotten handle writes outside of any transaction."""
        with writing(backend) as session:
            pass
        for _, call in [*DOCUMENT_CHANGES, *(STREAM_CHANGES if STREAMS in backend.capabilities else [])]:
            with pytest.raises(TransactionError):
                call(session)
        with pytest.raises(TransactionError):
            session.documents.get([K], None)

    @clause("documents.with_others", needs=DOCUMENTS)
    def test_one_commit_with_all_others(self, backend: Backend) -> None:
        """Otherwise a checkpoint, a memory and a task are not one step, and a crash keeps only some of them."""

        def work(session: Session, name: str) -> None:
            session.documents.put([write(document(name, 1))], T0)
            session.graph.put_nodes([put(node(name))], T0)
            session.tasks.add([task(name)])
            if STREAMS in backend.capabilities:
                session.streams.append(StreamKey(NS, name), [stream_entry(name)], T0, 0)

        with writing(backend) as session:
            work(session, "kept")
        with pytest.raises(AlreadyExists), writing(backend) as session:
            work(session, "undone")
            session.tasks.add([task("kept")])
        with reading(backend) as session:
            assert [each.key for each in session.documents.find(DocumentQuery()).items] == ["kept"]
            keys = [NodeKey(name, LOCAL) for name in ("kept", "undone")]
            assert [each.id for each in session.graph.get_nodes(keys, None)] == ["kept"]
            assert len(session.tasks.get(["kept", "undone"], None)) == 1
            if STREAMS in backend.capabilities:
                assert [each.name for each in session.streams.find(StreamQuery()).items] == ["kept"]

    @clause("documents.isolation", Level.CONCURRENT, needs=DOCUMENTS)
    def test_no_dirty_reads_of_documents(self, backend: Backend) -> None:
        """Otherwise an agent acts on something that never came to be, or a backup holds half a transaction."""
        check_isolated(backend, begin_documents(backend), DOCUMENT_CHANGES)

    @clause("streams.isolation", Level.CONCURRENT, needs=STREAMS)
    def test_no_dirty_reads_of_streams(self, backend: Backend) -> None:
        """Otherwise an agent acts on something that never came to be, or a backup holds half a transaction."""
        check_isolated(backend, begin_streams(backend), STREAM_CHANGES)

    @clause("documents.diagnose", Level.OPERABLE, needs=DOCUMENTS)
    def test_diagnose_a_sound_store(self, backend: Backend) -> None:
        """Otherwise operators learn to overlook alarms, or the check itself does harm."""
        begin_documents(backend)
        if STREAMS in backend.capabilities:
            append(backend, "abcd")
            for change in (STREAM_CHANGES[1], STREAM_CHANGES[2], STREAM_CHANGES[3]):
                transact(backend, change[1])
        before = stored(backend)
        for thorough in (False, True):
            assert [each for each in backend.diagnose(thorough=thorough).findings if each.severity == "error"] == []
        assert stored(backend) == before
