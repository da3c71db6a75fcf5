from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest

from ciris_store_core import (
    AlreadyExists,
    Conflict,
    InvalidArgument,
    KeyRing,
    ManualClock,
    NewEntry,
    NotFound,
    RevisionMismatch,
    SecretsConfig,
    Store,
)
from ciris_store_core.secrets.keys import new_key
from ciris_store_core.services import DatabaseMaintenanceService, MaintenancePolicy, StreamRule

CHAT = ("chats", "ada")


def values(found: Any) -> list[Any]:
    return [each.value for each in found]


def positions(found: Any) -> list[int]:
    return [each.position for each in found]


def test_entries_get_positions_without_gaps(store: Store, clock: ManualClock) -> None:
    assert store.streams.append(CHAT, "c1", [{"role": "user"}, b"\0"]) == [1, 2]
    clock.advance(seconds=1)
    assert store.streams.append(CHAT, "c1", [NewEntry("x\0\ud800", kind="said", id="m3")]) == [3]
    first, second, third = store.streams.read(CHAT, "c1")
    assert (first.value, second.value, third.value) == ({"role": "user"}, b"\0", "x\0\ud800")
    assert (third.kind, third.id, third.position, third.created_at) == ("said", "m3", 3, clock.now())
    info = store.streams.info(CHAT, "c1")
    assert info is not None and (info.length, info.first_position, info.last_position) == (3, 1, 3)
    assert info.updated_at == clock.now() != info.created_at
    assert store.streams.append(CHAT, "c1", []) == [] and store.streams.info(CHAT, "other") is None


def test_reading_from_both_ends(store: Store) -> None:
    store.streams.append(CHAT, "c", list(range(1, 11)))
    assert values(store.streams.read(CHAT, "c", after=7)) == [8, 9, 10]
    assert values(store.streams.read(CHAT, "c", after=3, reverse=True)) == [2, 1]
    assert values(store.streams.tail(CHAT, "c", 3)) == [8, 9, 10]
    assert store.streams.last(CHAT, "c").value == 10  # type: ignore[union-attr]
    page = store.streams.read(CHAT, "c", limit=6)
    assert values(store.streams.read(CHAT, "c", cursor=page.next_cursor)) == [7, 8, 9, 10]
    assert values(store.streams.scan(CHAT, "c", reverse=True)) == list(range(10, 0, -1))
    assert store.streams.tail(CHAT, "none") == [] and store.streams.last(CHAT, "none") is None


def test_an_id_is_appended_once(store: Store) -> None:
    entry = NewEntry({"n": 1}, id="a")
    assert store.streams.append(CHAT, "c", [entry]) == [1]
    assert store.streams.append(CHAT, "c", [entry, NewEntry({"n": 2}, id="b")]) == [1, 2]
    with pytest.raises(Conflict):
        store.streams.append(CHAT, "c", [NewEntry(3, id="c"), NewEntry({"n": 1.0}, id="a")])
    with pytest.raises(Conflict):
        store.streams.append(CHAT, "c", [NewEntry({"n": 1}, id="a", kind="other")])
    assert store.streams.get_many(CHAT, "c", ["b", "x", "a"]).keys() == {"a", "b"}
    assert store.streams.get(CHAT, "c", "b").position == 2  # type: ignore[union-attr]
    assert positions(store.streams.read(CHAT, "c")) == [1, 2]
    with pytest.raises(InvalidArgument, match="twice"):
        store.streams.append(CHAT, "c", [entry, entry])


def test_expected_position(store: Store) -> None:
    assert store.streams.append(CHAT, "c", [1], expected_position=0) == [1]
    with pytest.raises(RevisionMismatch):
        store.streams.append(CHAT, "c", [2], expected_position=0)
    assert store.streams.append(CHAT, "c", [2], expected_position=1) == [2]


def test_pop_and_truncate(store: Store) -> None:
    store.streams.append(CHAT, "c", [1, 2, 3, 4, 5])
    assert store.streams.pop(CHAT, "c").value == 5  # type: ignore[union-attr]
    assert store.streams.append(CHAT, "c", ["again"]) == [5]
    assert store.streams.truncate(CHAT, "c", before=3) == 2
    assert positions(store.streams.read(CHAT, "c")) == [3, 4, 5]
    assert store.streams.truncate(CHAT, "c", after=3) == 2 and store.streams.append(CHAT, "c", [4]) == [4]
    assert store.streams.truncate(CHAT, "c", before=100) == 2 and store.streams.pop(CHAT, "c") is None
    assert store.streams.append(CHAT, "c", [5]) == [5]
    with pytest.raises(InvalidArgument):
        store.streams.truncate(CHAT, "c")


def test_fork_and_delete(store: Store) -> None:
    store.streams.append(CHAT, "c", [NewEntry(i, id=str(i)) for i in range(1, 5)])
    assert store.streams.fork((CHAT, "c"), (CHAT, "d"), up_to=2) == 2
    assert store.streams.append(CHAT, "d", ["own"]) == [3]
    assert values(store.streams.read(CHAT, "c")) == [1, 2, 3, 4]
    assert values(store.streams.read(CHAT, "d")) == [1, 2, "own"]
    with pytest.raises(AlreadyExists):
        store.streams.fork((CHAT, "c"), (CHAT, "d"))
    with pytest.raises(NotFound):
        store.streams.fork((CHAT, "none"), (CHAT, "e"))
    assert store.streams.delete(CHAT, "c") == 1 and store.streams.delete(CHAT, "c") == 0
    assert store.streams.append(CHAT, "c", ["new"]) == [1]


def test_finding_streams(store: Store, clock: ManualClock) -> None:
    for namespace, name in [(("a",), "x"), (("a", "b"), "y"), (("ab",), "z")]:
        store.streams.append(namespace, name, [1])
        clock.advance(seconds=1)
    store.streams.append("a", "x", [2])
    assert [each.name for each in store.streams.find("a")] == ["x", "y"]
    newest = store.streams.find(order="updated", descending=True, limit=2)
    assert [each.name for each in newest] == ["x", "z"]
    again = store.streams.find(order="updated", descending=True, cursor=newest.next_cursor)
    assert [each.name for each in again] == ["y"]
    assert [each.length for each in store.streams.find(name_prefix="x")] == [2]


def test_concurrent_appenders_leave_no_gap(store: Store) -> None:
    errors: list[Exception] = []

    def append(worker: int) -> None:
        try:
            for turn in range(10):
                store.streams.append(CHAT, "c", [[worker, turn], [worker, turn]])
        except Exception as error:
            errors.append(error)

    threads = [Thread(target=append, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    seen = 0
    while any(thread.is_alive() for thread in threads):
        found = positions(store.streams.scan(CHAT, "c"))
        assert found == list(range(1, len(found) + 1)) and len(found) >= seen
        seen = len(found)
    assert errors == []
    entries = store.streams.tail(CHAT, "c", 1000)
    assert positions(entries) == list(range(1, 161))
    for worker in range(8):
        assert [turn for who, turn in values(entries) if who == worker] == [turn for turn in range(10) for _ in (1, 2)]


def test_values_encrypted_forked_and_popped(opened: Callable[..., Store]) -> None:
    store = opened(secrets=SecretsConfig(keys=KeyRing(new_key()), documents={("chats",): "encrypt"}))
    entry = NewEntry({"text": "hello"}, id="a")
    assert store.streams.append(CHAT, "c", [entry, {"text": "again"}]) == [1, 2]
    assert store.streams.append(CHAT, "c", [entry]) == [1]
    with pytest.raises(Conflict):
        store.streams.append(CHAT, "c", [NewEntry({"text": "other"}, id="a")])
    assert store.streams.fork((CHAT, "c"), (CHAT, "d")) == 2
    assert values(store.streams.read(CHAT, "d")) == [{"text": "hello"}, {"text": "again"}]
    assert store.streams.pop(CHAT, "d").value == {"text": "again"}  # type: ignore[union-attr]


def test_secrets_of_entries_end_with_them(opened: Callable[..., Store]) -> None:
    store = opened(secrets=SecretsConfig(keys=KeyRing(new_key())))
    secret = {"password": "correct-horse-battery-9"}
    store.streams.append(CHAT, "c", [secret, NewEntry(secret, id="a")])
    assert "correct-horse" not in str(values(store.streams.read(CHAT, "c")))
    assert store.streams.append(CHAT, "c", [NewEntry(secret, id="a")]) == [2]
    store.streams.fork((CHAT, "c"), (CHAT, "d"))
    assert store.streams.delete(CHAT, "c") == 1
    assert len(store.secrets.find().items) >= 2
    store.streams.truncate(CHAT, "d", before=2)
    store.streams.pop(CHAT, "d")
    store.secrets.sweep()
    assert store.secrets.find().items == []


def test_maintenance_trims_streams_by_rule(store: Store, clock: ManualClock) -> None:
    for i in range(10):
        store.streams.append(CHAT, "c", [i])
        store.streams.append("other", "c", [i])
        clock.advance(seconds=60)
    rules = (StreamRule(("chats",), keep=6, keep_for=timedelta(minutes=5)),)
    report = DatabaseMaintenanceService(store, archive_dir=None, policy=MaintenancePolicy(streams=rules)).run()
    assert report.trimmed_entries == 5 and positions(store.streams.read(CHAT, "c")) == [6, 7, 8, 9, 10]
    assert store.streams.info("other", "c").length == 10  # type: ignore[union-attr]
