"""Streams: appends, reads, ids, positions."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance.factories import T0, at
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.payload_samples import (
    JSON_VALUES,
    LONG,
    NS,
    PAYLOADS,
    WIDE,
    S,
    append,
    awkward_names,
    ciphertext,
    form,
    forms,
    json_value,
    stream_entry,
)
from ciris_store_core.conformance.samples import AWKWARD_TEXT, FIRST, LAST
from ciris_store_core.conformance.support import reading, writing
from ciris_store_core.contract import Backend
from ciris_store_core.errors import RevisionMismatch
from ciris_store_core.models.paths import path_of
from ciris_store_core.models.streams import EntryQuery, StoredEntry, StreamInfo, StreamKey, StreamQuery
from ciris_store_core.validation.payloads import bytes_payload, value_of

STREAMS = Capability.STREAMS
MANY = 100_000
"""More entries than any test appends to one stream."""


def entries(backend: Backend, stream: StreamKey = S) -> list[StoredEntry]:
    """Return all entries of a stream; check that their positions have no gap."""
    with reading(backend) as session:
        found = session.streams.read(stream, EntryQuery(MANY))
    assert found.next_after is None and found.corrupt == []
    positions = [each.position for each in found.items]
    assert positions == list(range(positions[0], positions[-1] + 1)) if positions else True, "a position is missing"
    return found.items


def values(backend: Backend, stream: StreamKey = S) -> dict[int, object]:
    """Return the values of all entries of a stream, by position."""
    return {each.position: value_of(each.payload) for each in entries(backend, stream)}


def info(backend: Backend, stream: StreamKey = S) -> StreamInfo | None:
    """Return the facts of a stream, or None if there is none; check them against its entries."""
    with reading(backend) as session:
        found = session.streams.info([stream])
        positions = [each.position for each in session.streams.read(stream, EntryQuery(MANY)).items]
    if not found:
        assert positions == [], "a stream without facts has entries"
        return None
    assert found[0].length == len(positions) == found[0].last_position - found[0].first_position + 1
    assert not positions or (found[0].first_position, found[0].last_position) == (positions[0], positions[-1])
    return found[0]


class TestAppend:
    """``StreamStore.append``."""

    @clause("streams.append.positions", needs=STREAMS)
    def test_positions(self, backend: Backend) -> None:
        """Otherwise the order of a conversation is lost, or a position has two entries."""
        other = StreamKey(("b",), "s")
        assert [each.position for each in append(backend, "ab")] == [1, 2]
        assert [each.position for each in append(backend, "x", other)] == [1]
        assert [each.position for each in append(backend, "cde")] == [3, 4, 5]
        assert values(backend) == dict(enumerate("abcde", 1)) and values(backend, other) == {1: "x"}
        with writing(backend) as session:
            first = session.streams.append(S, [stream_entry("f")], at(1), None)
            second = session.streams.append(S, [stream_entry("g", position=77)], at(2), 6)
            assert session.streams.append(S, [], at(3), None) == []
        assert [each.position for each in first + second] == [6, 7]
        assert values(backend) == dict(enumerate("abcdefg", 1))

    @clause("streams.append.batch", needs=STREAMS)
    def test_a_large_batch(self, backend: Backend) -> None:
        """Otherwise entries of a long batch change their order, or one is lost."""
        append(backend, range(-300, 0))
        given = [
            stream_entry(number, f"id {number}" if number % 3 else None, kind=str(number)) for number in range(500)
        ]
        with writing(backend) as session:
            returned = session.streams.append(S, given, T0, 300)
        expected = [replace(each, position=301 + number) for number, each in enumerate(given)]
        assert list(map(form, returned)) == list(map(form, expected)) == list(map(form, entries(backend)[300:]))

    @clause("streams.append.info", needs=STREAMS)
    def test_what_is_known_of_a_stream(self, backend: Backend) -> None:
        """Otherwise a stream has another length or time than its entries."""
        assert info(backend) is None
        with writing(backend) as session:
            session.streams.append(S, [stream_entry(created_at=at(7)), stream_entry()], at(1), None)
        assert info(backend) == StreamInfo(
            namespace=NS, name="s", length=2, first_position=1, last_position=2, created_at=at(1), updated_at=at(1)
        )
        with writing(backend) as session:
            session.streams.append(StreamKey(NS, "t"), [stream_entry()], at(9), None)
            session.streams.append(S, [stream_entry(created_at=at(-7))], at(2), 2)
        found = info(backend)
        assert found is not None
        assert (found.length, found.last_position, found.created_at, found.updated_at) == (3, 3, at(1), at(2))

    @pytest.mark.parametrize("known", ["none", "first", "last", "all", "between"])
    @clause("streams.append.ids", needs=STREAMS)
    def test_ids(self, backend: Backend, known: str) -> None:
        """Otherwise an entry that is sent again after an error is there twice, or a new one is swallowed."""
        ids: dict[str, list[str | None]] = {
            "none": ["x", None, "X"],
            "first": ["a", "x", None],
            "last": [None, "x", "b"],
            "all": ["b", "a"],
            "between": ["x", "b", None, None, "a", "y"],
        }
        with writing(backend) as session:
            before = [
                stream_entry("A", "a", kind="k", created_at=at(-1)),
                stream_entry("no id"),
                stream_entry("B", "b"),
            ]
            session.streams.append(S, before, T0, None)
            session.streams.append(
                StreamKey(("b",), "s"), [stream_entry("other", "x"), stream_entry("other", "y")], T0, None
            )
        given = [stream_entry(f"new {number}", id, kind="new") for number, id in enumerate(ids[known])]
        expected, position = [], 3
        for each in given:
            if each.id in ("a", "b"):
                stored = before["ab".index(each.id) * 2]
                expected.append(replace(stored, position=1 if each.id == "a" else 3))
            else:
                position += 1
                expected.append(replace(each, position=position))
        with writing(backend) as session:
            returned = session.streams.append(S, given, at(5), None)
        assert list(map(form, returned)) == list(map(form, expected))
        assert len(entries(backend)) == position and values(backend)[1] == "A" and values(backend)[3] == "B"
        found = info(backend)
        assert found is not None and found.updated_at == (T0 if known == "all" else at(5))

    @clause("streams.append.expected_position", needs=STREAMS)
    def test_expected_position(self, backend: Backend) -> None:
        """Otherwise two writers who read the same end of a stream both append to it."""

        def attempt(expected: int, *ids: str | None, refused: bool = False) -> list[int]:
            given = [stream_entry("new", id) for id in ids]
            if refused:
                with pytest.raises(RevisionMismatch), writing(backend) as session:
                    session.streams.append(S, given, at(9), expected)
                return []
            with writing(backend) as session:
                return [each.position for each in session.streams.append(S, given, at(1), expected)]

        attempt(1, None, refused=True)
        assert info(backend) is None
        assert attempt(0, "a", "b") == [1, 2]
        for expected in (0, 1, 3):
            attempt(expected, None, refused=True)
            attempt(expected, "a", "c", refused=True)
            attempt(expected, "c", refused=True)
            assert attempt(expected, "b", "a") == [2, 1]  # all are stored already: not judged
        assert values(backend) == {1: "new", 2: "new"}
        assert attempt(2, "a", "c", None) == [1, 3, 4]
        with writing(backend) as session:
            session.streams.pop(S, at(2))
            session.streams.truncate(S, 3, None, at(2), 9)
        attempt(4, None, refused=True)
        assert attempt(3, None) == [4]
        with writing(backend) as session:
            session.streams.truncate(S, 9, None, at(2), 9)
        attempt(0, None, refused=True)
        assert attempt(4, None) == [5]


class TestEntries:
    """Entries: each is read as it was written."""

    @pytest.mark.parametrize("name", PAYLOADS)
    @clause("streams.round_trip", needs=STREAMS)
    def test_payloads(self, backend: Backend, name: str) -> None:
        """Otherwise an entry comes back as something else, or cannot be decrypted any more."""
        payload = PAYLOADS[name]
        given = [
            StoredEntry(payload, T0),
            StoredEntry(payload, FIRST, AWKWARD_TEXT, AWKWARD_TEXT),
            StoredEntry(payload, LAST, " ", " "),
        ]
        expected = [replace(each, position=number) for number, each in enumerate(given, 1)]
        with writing(backend) as session:
            returned = session.streams.append(S, given, T0, None)
            assert list(map(form, returned)) == list(map(form, expected))
            assert forms(session.streams.get(S, [AWKWARD_TEXT, " "])) == forms(expected[1:])
        assert list(map(form, entries(backend))) == list(map(form, expected))
        with writing(backend) as session:
            assert form(session.streams.pop(S, T0)) == form(expected[2])
            again = session.streams.append(S, given[1:2], T0, None)
        assert form(again[0]) == form(expected[1])

    @pytest.mark.parametrize("name", JSON_VALUES)
    @clause("streams.values", needs=STREAMS)
    def test_json_values(self, backend: Backend, name: str) -> None:
        """Otherwise 1.0 becomes 1, keys change their order, or a NUL, a surrogate or a large number is lost."""
        append(backend, [JSON_VALUES[name]])
        [found] = entries(backend)
        assert repr(found.payload) == repr(json_value(JSON_VALUES[name]))
        assert repr(value_of(found.payload)) == repr(JSON_VALUES[name])

    @clause("streams.size", needs=STREAMS)
    def test_large_values(self, backend: Backend) -> None:
        """Otherwise a long entry that was accepted comes back cut."""
        payloads = [
            json_value("\u00e9" * (2**23 - 2)),
            bytes_payload(bytes(range(256)) * 2**16, None),
            ciphertext(body=b"\0" * 2**20),
        ]
        with writing(backend) as session:
            session.streams.append(S, [StoredEntry(each, T0) for each in payloads], T0, None)
        assert [each.payload for each in entries(backend)] == payloads

    @clause("streams.reopen", Level.DURABLE, needs=STREAMS)
    def test_reopen(self, harness: Harness, clock: ManualClock, backend: Backend) -> None:
        """Otherwise a restart loses entries, or gives their positions to others."""
        with writing(backend) as session:
            session.streams.append(S, [StoredEntry(each, T0, id) for id, each in PAYLOADS.items()], T0, None)
            session.streams.append(S, [stream_entry("popped")], T0, None)
            session.streams.pop(S, T0)
            session.streams.truncate(S, 3, None, T0, 9)
        before, last = entries(backend), len(PAYLOADS)
        backend.close()
        with closing(harness.open(clock)) as reopened:
            assert list(map(form, entries(reopened))) == list(map(form, before)) and len(before) == last - 2
            with writing(reopened) as session:
                known, new = session.streams.append(S, [stream_entry(id="json"), stream_entry(id="bytes")], T0, last)
            assert (known.position, new.position) == (last + 1, before[0].position)

    @clause("streams.keys", needs=STREAMS)
    def test_names_are_kept_apart(self, backend: Backend) -> None:
        """Otherwise two conversations whose names merely look alike become one."""
        names = awkward_names()
        given = [StreamKey((name,), "s") for name in names] + [StreamKey(NS, name) for name in names]
        given += [StreamKey(tuple(path), "s") for path in ("ab", "ba", ("ab", "c"), ("a", "bc"), ("a", "b\x01c"))]
        given += [StreamKey(WIDE, LONG), StreamKey(WIDE, f"{LONG}'"), StreamKey((*WIDE[:2], f"{WIDE[2]}'"), LONG)]
        for number, stream in enumerate(given):
            append(backend, [number], stream)
        for number, stream in enumerate(given):
            append(backend, [-number], stream)
        with reading(backend) as session:
            assert {(each.namespace, each.name) for each in session.streams.info(given)} == set(given)
            for number, stream in enumerate(given):
                found = session.streams.read(stream, EntryQuery())
                assert [value_of(each.payload) for each in found.items] == [number, -number], stream
            assert len(session.streams.find(StreamQuery(MANY)).items) == len(given)

    @clause("streams.ids", needs=STREAMS)
    def test_ids_are_kept_apart(self, backend: Backend) -> None:
        """Otherwise a new entry is swallowed, since its id looks like that of another."""
        ids = awkward_names()
        with writing(backend) as session:
            session.streams.append(S, [stream_entry(number, id) for number, id in enumerate(ids)], T0, None)
        assert len(entries(backend)) == len(ids)
        with writing(backend) as session:
            for number, id in enumerate(ids):
                assert [value_of(each.payload) for each in session.streams.get(S, [id])] == [number]
            again = session.streams.append(S, [stream_entry(None, id) for id in reversed(ids)], T0, None)
        assert [value_of(each.payload) for each in again] == list(range(len(ids)))[::-1]


class TestReadStreams:
    """``read`` and ``get``."""

    @clause("streams.read", needs=STREAMS)
    def test_read(self, backend: Backend) -> None:
        """Otherwise a reader that follows a stream misses entries, or gets them twice or in another order."""
        append(backend, range(12), StreamKey(NS, "t"))
        append(backend, range(1, 13))
        cases: list[tuple[EntryQuery, list[int], int | None]] = [
            (EntryQuery(100), [*range(1, 13)], None),
            (EntryQuery(12), [*range(1, 13)], None),
            (EntryQuery(3), [1, 2, 3], 3),
            (EntryQuery(3, 0), [1, 2, 3], 3),
            (EntryQuery(3, 8), [9, 10, 11], 11),
            (EntryQuery(3, 9), [10, 11, 12], None),
            (EntryQuery(3, 12), [], None),
            (EntryQuery(3, 99), [], None),
            (EntryQuery(100, None, True), [*range(12, 0, -1)], None),
            (EntryQuery(3, None, True), [12, 11, 10], 10),
            (EntryQuery(3, 10, True), [9, 8, 7], 7),
            (EntryQuery(3, 4, True), [3, 2, 1], None),
            (EntryQuery(3, 1, True), [], None),
            (EntryQuery(2, 99, True), [12, 11], 11),
        ]
        with reading(backend) as session:
            for query, expected, after in cases:
                page = session.streams.read(S, query)
                assert (
                    [each.position for each in page.items]
                    == expected
                    == [value_of(each.payload) for each in page.items]
                )
                assert page.next_after == (None if after is None else (after,)), query
            none = session.streams.read(StreamKey(("b",), "s"), EntryQuery())
            assert (none.items, none.next_after, none.corrupt) == ([], None, [])

    @clause("streams.read.truncated", needs=STREAMS)
    def test_read_what_is_left(self, backend: Backend) -> None:
        """Otherwise a reader that stands at a deleted entry finds nothing more."""
        append(backend, range(1, 13))
        with writing(backend) as session:
            session.streams.truncate(S, 5, None, T0, 99)
            session.streams.truncate(S, None, 9, T0, 99)
            for query, expected, after in (
                (EntryQuery(3), [5, 6, 7], (7,)),
                (EntryQuery(5, 2), [5, 6, 7, 8, 9], None),
                (EntryQuery(2, 4), [5, 6], (6,)),
                (EntryQuery(3, 8), [9], None),
                (EntryQuery(3, None, True), [9, 8, 7], (7,)),
                (EntryQuery(9, 11, True), [9, 8, 7, 6, 5], None),
                (EntryQuery(9, 5, True), [], None),
            ):
                page = session.streams.read(S, query)
                assert ([each.position for each in page.items], page.next_after) == (expected, after), query

    @clause("streams.get", needs=STREAMS)
    def test_get(self, backend: Backend) -> None:
        """Otherwise an entry is not found by its id, or that of another stream is."""
        with writing(backend) as session:
            session.streams.append(S, [stream_entry(1, "a"), stream_entry(2), stream_entry(3, "b")], T0, None)
            session.streams.append(StreamKey(NS, "t"), [stream_entry(4, "a"), stream_entry(5, "c")], T0, None)
        with writing(backend) as session:
            found = session.streams.get(S, ["b", "?", "c", "A", "a", "b"])
            assert sorted((each.position, each.id, value_of(each.payload)) for each in found) == [
                (1, "a", 1),
                (3, "b", 3),
            ]
            assert session.streams.get(S, []) == [] == session.streams.get(StreamKey(NS, "?"), ["a"])
            session.streams.pop(S, T0)
            session.streams.truncate(S, 2, None, T0, 9)
            assert session.streams.get(S, ["a", "b"]) == []

    @clause("streams.count", needs=STREAMS)
    def test_count(self, backend: Backend) -> None:
        """Otherwise a number on a page contradicts the listing beside it."""
        with writing(backend) as session:
            for number, name in enumerate(("s", "s", "sa", "t", "x" * 1100, "x" * 1100 + "y")):
                stream = StreamKey((*NS, str(number % 2)), name)
                session.streams.append(stream, [stream_entry(1), stream_entry(2)], at(number), None)
            session.streams.append(StreamKey(("other",), "s"), [stream_entry(1)], at(9), None)
        cases = [
            (StreamQuery(), 7),
            (StreamQuery(1, (path_of(NS), "s"), order="updated", descending=True), 7),
            (StreamQuery(1, prefix=NS), 6),
            (StreamQuery(1, prefix=(*NS, "0")), 3),
            (StreamQuery(1, prefix=NS, name_prefix="s"), 3),
            (StreamQuery(1, name_prefix="x" * 1100), 2),
            (StreamQuery(1, name_prefix="x" * 1101), 0),
            (StreamQuery(1, updated_from=at(4)), 3),
            (StreamQuery(1, prefix=NS, updated_from=at(4.000001)), 1),
            (StreamQuery(1, name_prefix="x" * 1100, updated_from=at(5)), 1),
        ]
        with reading(backend) as session:
            assert [session.streams.count(query) for query, _ in cases] == [expected for _, expected in cases]
            for query, expected in cases:
                assert len(session.streams.find(replace(query, limit=100, after=None)).items) == expected

    @clause("streams.read.corrupt", Level.OPERABLE, needs=STREAMS)
    def test_a_damaged_row_hides_no_other(self, backend: Backend, harness: Harness) -> None:
        """Otherwise one damaged entry makes the others unreachable."""
        append(backend, "abc")
        if not harness.corrupt("stream_entries", "2"):
            pytest.skip("this harness cannot damage a row")
        with reading(backend) as session:
            page = session.streams.read(S, EntryQuery())
            first = session.streams.read(S, EntryQuery(2))
            rest = session.streams.read(S, EntryQuery(2, 2))
        assert [each.position for each in page.items] == [1, 3]
        assert len(page.corrupt) == 1 and "2" in page.corrupt[0].key and page.corrupt[0].error
        assert ([each.position for each in first.items], first.next_after) == ([1], (2,))
        assert ([each.position for each in rest.items], rest.next_after) == ([3], None)
