"""Documents and streams, from many threads at once."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from ciris_store_core.capabilities import Capability
from ciris_store_core.conformance.factories import T0, at
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.payload_samples import (
    NS,
    K,
    S,
    append,
    document,
    json_value,
    store,
    stream_entry,
    write,
)
from ciris_store_core.conformance.suite.documents import DOCUMENTS, get
from ciris_store_core.conformance.suite.streams import STREAMS, entries, info, values
from ciris_store_core.conformance.support import BackgroundCall, race, reading, transact, writing
from ciris_store_core.contract import Backend, Session
from ciris_store_core.errors import AlreadyExists, RevisionMismatch
from ciris_store_core.models.documents import DocumentKey, DocumentQuery
from ciris_store_core.models.streams import StreamKey
from ciris_store_core.validation.payloads import value_of

T = StreamKey(NS, "t")


class TestPayloadRaces:
    """Documents and streams, from many threads at once."""

    @clause("documents.put.race", Level.CONCURRENT, needs=DOCUMENTS)
    def test_compare_and_set(self, backend: Backend) -> None:
        """Otherwise of two writers who read the same revision, one overwrites the other unseen."""
        store(backend, document(value=0))

        def count(number: int) -> int:
            lost = 0
            for _ in range(5):
                while not _counted(backend):
                    lost += 1
            return lost

        race(16, count)
        assert (value_of(get(backend).payload), get(backend).revision) == (80, 81)

    @clause("documents.put.insert.race", Level.CONCURRENT, needs=DOCUMENTS)
    def test_one_of_many_inserts(self, backend: Backend) -> None:
        """Otherwise two writers each believe that a new document is theirs."""

        def insert(number: int) -> list[str]:
            made = []
            for key in range(10):
                given = document(f"k{key}", number)
                new = write(given, "insert") if number % 2 else write(given, expected=0)
                with suppress(AlreadyExists, RevisionMismatch):
                    transact(backend, lambda s, new=new: s.documents.put([new], T0))  # type: ignore[misc]
                    made.append(given.key)
            return made

        made = race(8, insert)
        assert sorted(key for each in made for key in each) == [f"k{key}" for key in range(10)]
        for number, keys in enumerate(made):
            assert {value_of(get(backend, DocumentKey(NS, key)).payload) for key in keys} <= {number}

    @clause("documents.put.deadlock", Level.CONCURRENT, needs=DOCUMENTS)
    def test_batches_in_opposite_orders(self, backend: Backend) -> None:
        """Otherwise two batches of the same documents wait for each other, or one of them is lost."""
        keys = [f"k{number}" for number in range(20)]

        def put_all(number: int) -> None:
            writes = [write(document(key, number)) for key in (keys if number % 2 else keys[::-1])]
            for _ in range(5):
                transact(backend, lambda s: s.documents.put(writes, T0))

        race(4, put_all)
        with reading(backend) as session:
            found = session.documents.find(DocumentQuery()).items
        assert [each.revision for each in found] == [20] * 20
        assert len({each.payload.body for each in found}) == 1, "two batches are mixed"

    @clause("streams.append.race", Level.CONCURRENT, needs=STREAMS)
    def test_many_append(self, backend: Backend) -> None:
        """Otherwise two entries have one position, one is lost, or a reader passes over one."""

        def work(number: int) -> list[list[int]]:
            if number >= 12:
                return [[each.position for each in entries(backend)] for _ in range(10)]
            taken = []
            for turn in range(5):
                given = [stream_entry([number, turn, part]) for part in range(1 + turn % 2)]
                taken.append([each.position for each in transact(backend, partial(_append, given))])
            return taken

        race(16, work)
        found = [value_of(each.payload) for each in entries(backend)]
        assert sorted(found) == sorted(
            [n, turn, part] for n in range(12) for turn in range(5) for part in range(1 + turn % 2)
        )
        assert [each.position for each in entries(backend)] == list(range(1, len(found) + 1))
        for number in range(12):
            own = [each for each in found if each[0] == number]
            assert own == sorted(own), "the entries of one appender are not in its order"

    @clause("streams.append.ids.race", Level.CONCURRENT, needs=STREAMS)
    def test_an_id_is_appended_once(self, backend: Backend) -> None:
        """Otherwise an entry that several workers send is there several times."""

        def work(number: int) -> list[int]:
            return [
                transact(backend, partial(_append, [stream_entry(number, f"id {turn}"), stream_entry()]))[0].position
                for turn in range(10)
            ]

        positions = race(6, work)
        assert positions == [positions[0]] * 6
        found = entries(backend)
        assert sorted(each.id for each in found if each.id) == sorted(f"id {turn}" for turn in range(10))
        assert len(found) == 10 + 60

    @clause("streams.append.other_streams", Level.CONCURRENT, needs=STREAMS)
    def test_other_streams_do_not_wait(self, backend: Backend) -> None:
        """Otherwise one long transaction stops all conversations, not only its own."""
        append(backend, "a")
        append(backend, "x", T)
        with writing(backend) as session:
            session.streams.append(S, [stream_entry("b")], at(1), None)
            other = BackgroundCall(lambda: [append(backend, "y", each) for each in (T, StreamKey(NS, "new"))])
            if Capability.CONCURRENT_WRITERS in backend.capabilities:
                assert other.finished(10.0), "an append to another stream waits"
        other.result()
        assert (values(backend), values(backend, T)) == ({1: "a", 2: "b"}, {1: "x", 2: "y"})
        assert values(backend, StreamKey(NS, "new")) == {1: "y"}

    @clause("streams.pop.race", Level.CONCURRENT, needs=STREAMS)
    def test_many_pop(self, backend: Backend) -> None:
        """Otherwise two callers take the same entry back, or one is lost."""
        append(backend, range(40))
        append(backend, range(40), T)

        def work(number: int) -> list[int]:
            popped = [transact(backend, lambda s: s.streams.pop(S, at(1))) for _ in range(8)]
            return [each.position for each in popped if each]

        taken = [position for each in race(6, work) for position in each]
        assert sorted(taken) == list(range(1, 41)) and entries(backend) == []
        found = info(backend)
        assert found is not None and (found.first_position, found.last_position) == (1, 0)
        assert len(entries(backend, T)) == 40

    @clause("streams.fork.race", Level.CONCURRENT, needs=STREAMS)
    def test_fork_while_others_append(self, backend: Backend) -> None:
        """Otherwise a branch holds a part of what was appended at once, or has a gap."""
        append(backend, [[0, 0], [0, 1]])

        def work(number: int) -> list[list[Any]]:
            if number < 3:
                for turn in range(10):
                    transact(backend, partial(_append, [stream_entry([turn, part]) for part in range(2)]))
                return []
            forks = [StreamKey(("fork",), f"{number} {turn}") for turn in range(6)]
            for each in forks:
                transact(backend, lambda s, each=each: s.streams.fork(S, each, None, at(1)))  # type: ignore[misc]
            return [list(values(backend, each).values()) for each in forks]

        whole = values(backend)
        forks = [each for made in race(5, work) for each in made]
        whole = values(backend)
        assert len(whole) == 62 and len(forks) == 12
        for each in forks:
            assert each == list(whole.values())[: len(each)] and len(each) % 2 == 0


def _append(given: list[Any], session: Session) -> list[Any]:
    return session.streams.append(S, given, at(1), None)


def _counted(backend: Backend) -> bool:
    """Add 1 to the number in the document ``k``; False if another one wrote meanwhile."""
    with reading(backend) as session:
        [found] = session.documents.get([K], None)
    new = replace(found, payload=json_value(value_of(found.payload) + 1))
    try:
        transact(backend, lambda s: s.documents.put([write(new, expected=found.revision)], T0))
    except RevisionMismatch:
        return False
    return True
