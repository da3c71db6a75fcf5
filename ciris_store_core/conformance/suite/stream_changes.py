"""Streams: removals, forks, copies, listings, encryption."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ciris_store_core.conformance.factories import T0, at
from ciris_store_core.conformance.levels import clause
from ciris_store_core.conformance.payload_samples import (
    LONG,
    NS,
    PAYLOADS,
    WIDE,
    S,
    append,
    ciphertext,
    form,
    json_value,
    stream_entry,
)
from ciris_store_core.conformance.suite.document_listing import TREE
from ciris_store_core.conformance.suite.streams import STREAMS, entries, info, values
from ciris_store_core.conformance.support import everything, reading, writing
from ciris_store_core.contract import Backend
from ciris_store_core.errors import AlreadyExists, NotFound
from ciris_store_core.models.paths import index_key, path_of
from ciris_store_core.models.payloads import Payload
from ciris_store_core.models.streams import EntryQuery, StoredEntry, StreamInfo, StreamKey, StreamQuery
from ciris_store_core.validation.payloads import value_of

T = StreamKey(NS, "t")


def facts(backend: Backend, stream: StreamKey = S) -> tuple[int, int, float]:
    """Return the first and last position of a stream, and the time of its last change in seconds after ``T0``."""
    found = info(backend, stream)
    assert found is not None and found.created_at == T0
    return found.first_position, found.last_position, (found.updated_at - T0).total_seconds()


class TestRemoveEntries:
    """``pop``, ``truncate`` and ``delete``."""

    @clause("streams.pop", needs=STREAMS)
    def test_pop(self, backend: Backend) -> None:
        """Otherwise the wrong entry is taken back, or its position stays empty for ever."""
        append(backend, "xy", T)
        append(backend, "abc")
        with writing(backend) as session:
            popped = session.streams.pop(S, at(1))
            assert popped is not None
            assert (popped.position, value_of(popped.payload)) == (3, "c")
        assert facts(backend) == (1, 2, 1) and values(backend) == {1: "a", 2: "b"}
        assert [each.position for each in append(backend, "d")] == [3]
        with writing(backend) as session:
            taken = [session.streams.pop(S, at(2)) for _ in range(4)]
            assert [each and value_of(each.payload) for each in taken] == ["d", "b", "a", None]
            assert session.streams.pop(S, at(3)) is None is session.streams.pop(StreamKey(NS, "?"), at(3))
        assert facts(backend) == (1, 0, 2) and values(backend, T) == {1: "x", 2: "y"}
        assert [each.position for each in append(backend, "e")] == [1]

    @clause("streams.truncate.before", needs=STREAMS)
    def test_truncate_before(self, backend: Backend) -> None:
        """Otherwise what a retention rule removes is not the oldest, or its positions are given again."""
        append(backend, range(1, 11))
        append(backend, range(1, 11), T)
        with writing(backend) as session:
            cut = session.streams.truncate
            assert cut(S, 1, None, at(1), 9) == 0 == cut(StreamKey(NS, "?"), 5, None, at(1), 9)
        assert facts(backend) == (1, 10, 0)
        with writing(backend) as session:
            assert session.streams.truncate(S, 4, None, at(1), 2) == 2
        assert (facts(backend), min(values(backend))) == ((3, 10, 1), 3)
        with writing(backend) as session:
            assert session.streams.truncate(S, 4, None, at(2), 2) == 1
            assert session.streams.truncate(S, 4, None, at(3), 2) == 0
        assert facts(backend) == (4, 10, 2)
        with writing(backend) as session:
            assert session.streams.truncate(S, 10**6, None, at(3), 10**6) == 7
        assert facts(backend) == (11, 10, 3) and entries(backend) == []
        assert [each.position for each in append(backend, "ab")] == [11, 12]
        assert values(backend, T) == {number: number for number in range(1, 11)}

    @clause("streams.truncate.after", needs=STREAMS)
    def test_truncate_after(self, backend: Backend) -> None:
        """Otherwise a conversation cannot be taken back to an earlier point."""
        append(backend, range(1, 11))
        append(backend, range(1, 11), T)
        with writing(backend) as session:
            assert session.streams.truncate(S, None, 10, at(1), 9) == 0
        assert facts(backend) == (1, 10, 0)
        with writing(backend) as session:
            assert session.streams.truncate(S, None, 6, at(1), 3) == 3
        assert facts(backend) == (1, 7, 1) and max(values(backend)) == 7
        with writing(backend) as session:
            assert session.streams.truncate(S, None, 6, at(2), 3) == 1
            assert session.streams.truncate(S, 3, None, at(2), 9) == 2
        assert [each.position for each in append(backend, ["new"])] == [7]
        with writing(backend) as session:
            assert session.streams.truncate(S, None, 0, at(3), 99) == 5
        assert facts(backend) == (3, 2, 3) and entries(backend) == []
        assert [each.position for each in append(backend, ["newer"])] == [3]
        assert values(backend, T) == {number: number for number in range(1, 11)}

    @clause("streams.delete", needs=STREAMS)
    def test_delete(self, backend: Backend) -> None:
        """Otherwise a deleted conversation comes back, or another one is deleted with it."""
        for stream in (S, T, StreamKey(("a", "s"), "s"), StreamKey(("b",), "s"), StreamKey(NS, "S")):
            with writing(backend) as session:
                session.streams.append(stream, [stream_entry(1, "id"), stream_entry(2)], T0, None)
        with writing(backend) as session:
            assert session.streams.delete([]) == 0
            assert session.streams.delete([S, StreamKey(NS, "?"), T, S]) == 2
            assert session.streams.delete([S, T]) == 0 == len(session.streams.info([S, T]))
            assert session.streams.get(S, ["id"]) == [] == session.streams.read(S, EntryQuery()).items
            left = [(each.namespace, each.name, each.length) for each in session.streams.find(StreamQuery()).items]
        assert left == [(("a",), "S", 2), (("a", "s"), "s", 2), (("b",), "s", 2)]
        with writing(backend) as session:
            [again] = session.streams.append(S, [stream_entry(3, "id")], at(5), 0)
        found = info(backend)
        assert again.position == 1 and found is not None and found.created_at == at(5) and values(backend) == {1: 3}
        with writing(backend) as session:
            assert session.streams.delete([S, *(StreamKey(ns, name) for ns, name, _ in left)]) == 4
        assert backend.is_empty() is True


class TestFork:
    """``StreamStore.fork``."""

    @clause("streams.fork", needs=STREAMS)
    def test_fork(self, backend: Backend) -> None:
        """Otherwise a branch of a conversation is not what the conversation was."""
        given = [
            StoredEntry(payload, at(number), name, f"kind {number}")
            for number, (name, payload) in enumerate(PAYLOADS.items())
        ]
        with writing(backend) as session:
            session.streams.append(S, given, T0, None)
            assert session.streams.fork(S, T, None, at(5)) == len(given)
        expected = [form(replace(each, position=number)) for number, each in enumerate(given, 1)]
        assert list(map(form, entries(backend, T))) == expected == list(map(form, entries(backend)))
        found = info(backend, T)
        assert found is not None and (found.created_at, found.updated_at) == (at(5), at(5))
        assert facts(backend) == (1, len(given), 0)
        with writing(backend) as session:
            [known, new] = session.streams.append(T, [stream_entry(id="json"), stream_entry("T")], at(6), None)
            session.streams.append(S, [stream_entry("S")], at(7), None)
            session.streams.truncate(S, 3, None, at(7), 9)
        assert (known.position, new.position) == (1, len(given) + 1)
        assert value_of(entries(backend, T)[-1].payload) == "T" and value_of(entries(backend)[-1].payload) == "S"
        assert len(entries(backend, T)) == len(given) + 1

    @pytest.mark.parametrize(
        ("up_to", "kept"), [(0, []), (1, []), (2, []), (3, [3]), (4, [3, 4]), (6, [3, 4, 5, 6]), (99, [3, 4, 5, 6])]
    )
    @clause("streams.fork.up_to", needs=STREAMS)
    def test_up_to_a_position(self, backend: Backend, up_to: int, kept: list[int]) -> None:
        """Otherwise a conversation that is taken up again at an earlier point holds what came later."""
        append(backend, range(1, 7))
        with writing(backend) as session:
            session.streams.truncate(S, 3, None, T0, 9)
            assert session.streams.fork(S, T, up_to, at(5)) == len(kept)
        assert values(backend, T) == {number: number for number in kept}
        assert [each.position for each in append(backend, ["new"], T)] == [3 + len(kept)]
        assert values(backend) == {number: number for number in (3, 4, 5, 6)}

    @clause("streams.fork.refused", needs=STREAMS)
    def test_refused_forks(self, backend: Backend) -> None:
        """Otherwise a branch overwrites another conversation, or there is one of nothing."""
        append(backend, "ab")
        append(backend, "x", T)
        with writing(backend) as session:
            session.streams.pop(T, T0)
        for source, target, error in (
            (S, T, AlreadyExists),
            (S, S, AlreadyExists),
            (StreamKey(NS, "?"), StreamKey(NS, "u"), NotFound),
        ):
            with pytest.raises(error), writing(backend) as session:
                session.streams.fork(source, target, None, at(1))
        assert values(backend) == {1: "a", 2: "b"} and facts(backend, T) == (1, 0, 0)
        assert info(backend, StreamKey(NS, "u")) is None is info(backend, StreamKey(NS, "?"))
        with writing(backend) as session:
            assert session.streams.fork(T, StreamKey(("b",), "s"), None, at(1)) == 0
        empty = info(backend, StreamKey(("b",), "s"))
        assert empty is not None and (empty.first_position, empty.last_position) == (1, 0)


class TestRestoreStreams:
    """``StreamStore.restore``."""

    @clause("streams.restore", needs=STREAMS)
    def test_restore(self, backend: Backend) -> None:
        """Otherwise a copy of a conversation has other positions, ids or times than the conversation."""
        facts_given = StreamInfo(
            namespace=NS, name="s", length=4, first_position=7, last_position=10, created_at=at(-9), updated_at=at(-3)
        )
        payloads = [PAYLOADS[name] for name in ("json", "bytes", "encrypted", "redacted")]
        given = [
            StoredEntry(payload, at(number), f"id {number}", "k", number) for number, payload in enumerate(payloads, 7)
        ]
        with writing(backend) as session:
            session.streams.restore(facts_given, given[:3])
        with writing(backend) as session:
            session.streams.restore(facts_given, given[3:])
        assert list(map(form, entries(backend))) == list(map(form, given))
        assert info(backend) == facts_given
        with pytest.raises(AlreadyExists), writing(backend) as session:
            session.streams.restore(facts_given, [replace(given[0], position=11, id=None), given[1]])
        assert list(map(form, entries(backend))) == list(map(form, given))
        with writing(backend) as session:
            known, new = session.streams.append(S, [stream_entry(id="id 8"), stream_entry()], at(1), 10)
        assert (known.position, new.position) == (8, 11)

    @clause("streams.restore.empty", needs=STREAMS)
    def test_restore_an_empty_stream(self, backend: Backend) -> None:
        """Otherwise the positions of an emptied conversation are given again in its copy."""
        given = StreamInfo(
            namespace=NS, name="s", length=0, first_position=8, last_position=7, created_at=at(-9), updated_at=at(-3)
        )
        with writing(backend) as session:
            session.streams.restore(given, [])
        assert info(backend) == given and [each.position for each in append(backend, "a")] == [8]


ORDERED = [
    (("A",), "z", 5), (("a",), " ", 6), (("a",), "10", 5), (("a",), "9", 1e-6), (("a",), "B", 5), (("a",), "a", 0),
    (("a",), "\u00e9", 5), (("a",), "\uffff", 5), (("a",), "\U00010000", 2), (("a", "b"), "a", 5), (("a b",), "a", 9),
]  # fmt: skip
"""Namespace, name and seconds of the last change, in the order of names."""
BY_UPDATE = [5, 3, 8, 0, 2, 4, 6, 7, 9, 1, 10]


class TestFindStreams:
    """``info`` and ``find``."""

    @clause("streams.info", needs=STREAMS)
    def test_info(self, backend: Backend) -> None:
        """Otherwise asking for an unknown stream fails, or hides the known ones."""
        append(backend, "abc")
        append(backend, "x", T)
        with reading(backend) as session:
            assert session.streams.info([]) == [] == session.streams.info([StreamKey(("b",), "s"), StreamKey(NS, "S")])
            found = session.streams.info([T, StreamKey(NS, "?"), S, T])
        assert sorted((each.namespace, each.name, each.length) for each in found) == [(NS, "s", 3), (NS, "t", 1)]

    @pytest.mark.parametrize("limit", [1, 4, 100])
    @clause("streams.find.order", needs=STREAMS)
    def test_order(self, backend: Backend, limit: int) -> None:
        """Otherwise a listing has another order on another database, and its pages skip streams."""
        for ns, name, seconds in ORDERED[::2] + ORDERED[1::2]:
            with writing(backend) as session:
                session.streams.append(StreamKey(ns, name), [stream_entry()], at(seconds), None)
        names = [each[:2] for each in ORDERED]
        updated = [names[number] for number in BY_UPDATE]
        with reading(backend) as session:
            for order, expected in (("name", names), ("updated", updated)):
                for down in (False, True):
                    query = StreamQuery(limit, order=order, descending=down)  # type: ignore[arg-type]
                    found = [(each.namespace, each.name) for each in everything(session.streams.find, query)]
                    assert found == (expected[::-1] if down else expected)
            path = path_of(NS)
            assert session.streams.find(StreamQuery(2)).next_after == (path, " ")
            assert session.streams.find(StreamQuery(2, order="updated")).next_after == (at(1e-6), path, "9")
            assert session.streams.find(StreamQuery(len(ORDERED))).next_after is None

    @clause("streams.find.prefix", needs=STREAMS)
    def test_by_prefix(self, backend: Backend) -> None:
        """Otherwise the conversations of one user show among those of another."""
        names = ["a", "ab", "a%", "a_b", "A", "b", LONG, f"{LONG}1", f"{LONG}2"]
        for stream in [*(StreamKey(each, "s") for each in TREE), *(StreamKey(("n",), name) for name in names)]:
            append(backend, "x", stream)

        def found(
            prefix: tuple[str, ...], name_prefix: str | None = None, order: str = "name"
        ) -> list[tuple[tuple[str, ...], str]]:
            with reading(backend) as session:
                query = StreamQuery(2, None, prefix, name_prefix, order)  # type: ignore[arg-type]
                return [(each.namespace, each.name) for each in everything(session.streams.find, query)]

        for prefix in (
            (),
            ("a",),
            ("a", "b"),
            ("a", "b%"),
            ("a", "\x01"),
            ("A",),
            ("\U0010ffff",),
            ("a", "b", "c", "d"),
        ):
            below = {(each, "s") for each in TREE if each[: len(prefix)] == prefix}
            for order in ("name", "updated"):
                assert set(found(prefix, "s", order)) == below
        for beginning in ("a", "a%", "a_", "A", LONG, f"{LONG}1", LONG[:400], "?", ""):
            wanted = [name for name in names if name.startswith(beginning)]
            assert sorted(name for _, name in found(("n",), beginning)) == sorted(wanted)

    @clause("streams.find.facts", needs=STREAMS)
    def test_listed_facts(self, backend: Backend) -> None:
        """Otherwise a listing shows other lengths and times than the streams have."""
        long = StreamKey(WIDE, f"{LONG}1")
        for stream in (S, T, long):
            append(backend, "abcde", stream)
        with writing(backend) as session:
            session.streams.truncate(S, 3, None, at(3), 9)
            session.streams.pop(S, at(4))
            found = {(each.namespace, each.name): form(each) for each in session.streams.find(StreamQuery()).items}
            assert found == {(each.namespace, each.name): form(each) for each in session.streams.info([S, T, long])}
            assert session.streams.find(StreamQuery(1, prefix=WIDE[:1])).items[0].name == long.name
            assert session.streams.find(StreamQuery(1, (index_key(path_of(WIDE)), ""), WIDE)).items[0].name == long.name
            end = (index_key(path_of(WIDE)), index_key(long.name))
            assert session.streams.find(StreamQuery(9, end, WIDE)).items == []
        assert facts(backend) == (3, 4, 4)


class TestEncryptedEntries:
    """``find_encrypted`` and ``reencrypt``, and whether the store is empty."""

    @clause("streams.find_encrypted", needs=STREAMS)
    def test_find_encrypted(self, backend: Backend) -> None:
        """Otherwise a change of keys leaves entries under the old one, which is then deleted."""
        streams = [
            StreamKey(("a",), "z"),
            StreamKey(("a", "b"), "a"),
            StreamKey(("a b",), "a"),
            StreamKey(("b",), LONG),
        ]
        keys = ["k1", "k2", "K1", "k1", None, "k1"]
        for stream in reversed(streams):
            with writing(backend) as session:
                given = [stream_entry(payload=ciphertext(key) if key else json_value(key)) for key in keys]
                session.streams.append(stream, given, T0, None)
        with writing(backend) as session:
            session.streams.append(T, [stream_entry(payload=ciphertext("k1")) for _ in range(11)], T0, None)
        expected = [(T, number) for number in range(1, 12)] + [
            (stream, number) for stream in streams for number in (1, 4, 6)
        ]
        with reading(backend) as session:
            find = session.streams.find_encrypted
            assert [(stream, each.position) for stream, each in find("k1", None, 100)] == expected
            assert [(stream, each.position) for stream, each in find("k1", expected[8], 5)] == expected[9:14]
            assert [(stream, each.position) for stream, each in find("k1", (T, 99), 2)] == expected[11:13]
            assert find("k1", expected[-1], 5) == [] == find("k", None, 5)
            assert form(find("K1", None, 1)[0][1]) == form(stream_entry(payload=ciphertext("K1"), position=3))

    @clause("streams.reencrypt", needs=STREAMS)
    def test_reencrypt(self, backend: Backend) -> None:
        """Otherwise a change of keys that is interrupted, or meets a writer, destroys an entry."""
        same = b"begin" * 10
        for stream in (S, T):
            with writing(backend) as session:
                given = [
                    stream_entry(id=str(number), kind="k", payload=ciphertext(body=same + bytes([number])))
                    for number in range(2)
                ]
                session.streams.append(stream, given, T0, None)
        first, second = entries(backend)
        new = Payload("encrypted", b"new\x00", key_id="k2", secret_refs=("s",))
        with writing(backend) as session:
            reencrypt = session.streams.reencrypt
            assert reencrypt(S, replace(first, payload=second.payload), new) is False
            assert reencrypt(S, replace(first, position=3), new) is False
            assert reencrypt(StreamKey(NS, "?"), first, new) is False
            assert reencrypt(S, first, new) is True
            assert reencrypt(S, first, ciphertext("k3")) is False
        assert list(map(form, entries(backend))) == [form(replace(first, payload=new)), form(second)]
        assert list(map(form, entries(backend, T))) == [form(first), form(second)] and facts(backend) == (1, 2, 0)

    @clause("streams.is_empty", needs=STREAMS)
    def test_a_stream_counts(self, backend: Backend) -> None:
        """Otherwise a copy or a test overwrites a store that has something in it."""
        append(backend, "a")
        assert backend.is_empty() is False
        with writing(backend) as session:
            session.streams.pop(S, T0)
        assert backend.is_empty() is False  # its next position is known
        with writing(backend) as session:
            session.streams.delete([S])
        assert backend.is_empty() is True
