"""Resolving secrets, deleting them, and the access log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from ciris_store_core import (
    Conflict,
    Correlation,
    GraphEdge,
    GraphNode,
    GraphScope,
    InvalidArgument,
    KeyRing,
    ManualClock,
    MemoryQuery,
    NodeType,
    SecretPattern,
    SecretsConfig,
    Store,
    Task,
    Thought,
)
from ciris_store_core.models import Sensitivity
from ciris_store_core.services.maintenance import DatabaseMaintenanceService
from ciris_store_core.services.memory import MemoryService
from tests.secrets.raw import everything_in
from tests.support.factories import concept

# Put together here, so that programs that look for leaked keys do not stumble over this file.
KEY = "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc"
CARD = "4111 1111 1111 1111"
PEM = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow\nIBAAK\n-----END RSA " + "PRIVATE KEY-----"


def edge() -> GraphEdge:
    attributes = {"context": KEY, "more": [KEY]}
    return GraphEdge(source="ada", target="bob", relationship="gave", scope="local", attributes=attributes)


def log_of(message: str) -> Correlation:
    names = {"service_type": "s", "handler_name": "h", "action_type": "a"}
    return Correlation(**names, log_level="INFO", log_message=message, tags={"k": message})


def only_id(store: Store) -> str:
    (found,) = store.secrets.find().items
    return found.secret_id


def by_level(store: Callable[..., Store], keys: KeyRing) -> Store:
    patterns = [SecretPattern(f"code_{level.value}", f"{level.name}-[0-9]{{6}}", level) for level in Sensitivity]
    return store(secrets=SecretsConfig(keys=keys, patterns=patterns))


@pytest.mark.parametrize(
    ("action", "resolved"), [("speak", "LOW MEDIUM"), ("tool", "LOW MEDIUM HIGH"), ("memorize", "LOW")]
)
def test_what_an_action_may_have(opened: Callable[..., Store], keys: KeyRing, action: Any, resolved: str) -> None:
    store = by_level(opened, keys)
    texts = {level.name: f"it is {level.name}-123456." for level in Sensitivity}
    stored = store.graph.put(concept("ada", deep=[{"er": texts}]))
    assert "123456" not in str(stored)
    seen = store.secrets.resolve(stored, action=action, accessor="ada").attributes["deep"][0]["er"]
    assert {name for name, text in seen.items() if text == texts[name]} == set(resolved.split())
    assert all(text == texts[name] or text.startswith("it is {SECRET:") for name, text in seen.items())
    log = store.secrets.access_log().items
    assert len(log) == 4 and {entry.action for entry in log} == {action}
    assert sum(entry.granted for entry in log) == len(resolved.split())
    assert all(entry.granted or "sensitivity" in entry.metadata["denied"] for entry in log)


def test_every_kind_of_record_is_resolved(store: Store) -> None:
    def tool(record: Any) -> Any:
        return store.secrets.resolve(record, action="tool", accessor="me")

    given = concept("ada", password=12345678, key={KEY: [KEY, 1, None]}, text=f"use {KEY}, please", plain="é")
    assert tool(store.graph.put(given)).attributes == given.attributes
    again = tool(store.graph.get("ada", "local"))
    assert again.attributes == given.attributes and (type(again.scope), type(again.type)) == (GraphScope, NodeType)
    store.graph.put(concept("bob"))
    edge = GraphEdge(
        source="ada", target="bob", relationship="gave", scope="local", attributes={"context": KEY, "k": [KEY]}
    )
    store.graph.put_edge(edge)
    assert tool(store.graph.get_edge("ada", "bob", "gave", "local")).attributes.context == KEY
    task = Task(task_id="t", channel_id="c", description=f"pay with {KEY}", metadata={"token": KEY})
    assert tool(store.tasks.add(task)).description == task.description
    thought = Thought(thought_id="th", source_task_id="t", content=KEY, ponder_notes=["a", KEY])
    assert tool(store.thoughts.add(thought)).ponder_notes == ["a", KEY]
    row = Correlation(
        service_type="s", handler_name="h", action_type="a", log_level="INFO", log_message=KEY, tags={"k": KEY}
    )
    found = tool(store.correlations.add(row))
    assert (found.log_message, found.tags) == (KEY, {"k": KEY})


def test_recalling_for_an_action(store: Store) -> None:
    memory = MemoryService(store)
    memory.memorize(concept("ada", key=KEY))
    memory.memorize(concept("bob"))
    store.graph.put_edge(edge())
    one = MemoryQuery(node_id="ada", scope="local")
    for query in (one, MemoryQuery(node_id="*", scope="local", include_edges=True)):
        found = memory.recall(query, action="tool", accessor="shell")
        assert KEY in str(found.items) and (not query.include_edges or KEY in str(found.edges))
        assert KEY not in str(memory.recall(query, action="speak")) + str(memory.recall(query))
    assert {entry.accessor for entry in store.secrets.access_log().items} == {"shell", "memory_service"}
    stored = store.graph.get("ada", "local")
    assert stored is not None and memory.forget_secret(*stored.secret_refs).data == 1


def test_critical_secrets_need_a_person(store: Store) -> None:
    stored = store.graph.put(concept("ada", text=f"card {CARD}"))
    for action in ("speak", "tool", "memorize"):
        assert store.secrets.resolve(stored, action=action, accessor="me") == stored
    with pytest.raises(InvalidArgument, match="Give a reason"):
        store.secrets.disclose(only_id(store), accessor="ada", reason=" ")
    assert store.secrets.disclose(only_id(store), accessor="ada", reason="a refund") == CARD
    last = store.secrets.access_log(only_id(store)).items[-1]
    assert (last.accessor, last.action, last.granted, last.metadata["reason"]) == ("ada", "disclose", True, "a refund")
    assert store.secrets.disclose("nobody", accessor="ada", reason="x") is None
    assert [entry.granted for entry in store.secrets.access_log("nobody").items] == [False]


def test_a_private_key_is_encrypted_as_a_whole(store: Store, url: str) -> None:
    stored = store.graph.put(concept("ada", text=f"a\n{PEM}\nb", lines=["x", *PEM.split("\n"), "y"]))
    assert "MIIEow" not in str(stored) and "IBAAK" not in everything_in(store, url)
    assert stored.attributes["text"].startswith("a\n{SECRET:") and stored.attributes["text"].endswith("}\nb")
    assert stored.attributes["lines"][0] == "x" and stored.attributes["lines"][-1] == "y"
    begun = {"text": PEM[:50], "after": "plain", "list": [PEM[:50], 1, "sealed"], "last": {"a": ["plain"]}}
    cut = store.graph.put(concept("cut", **begun))
    assert (cut.attributes["after"], cut.attributes["last"]) == ("plain", {"a": ["plain"]})
    assert cut.attributes["list"][1] == 1 and cut.attributes["list"][2].startswith("{SECRET:")


# --- references that are not one's own ------------------------------------------------------------


def test_a_reference_that_was_typed_in_resolves_to_nothing(store: Store) -> None:
    stored = store.graph.put(concept("ada", key=KEY))
    reference, (ref,) = stored.attributes["key"], stored.secret_refs
    typed = store.graph.put(concept("eve", note=f"please read {reference}"))
    assert typed.secret_refs == []
    assert store.secrets.resolve(typed, action="tool", accessor="eve") == typed
    for thief in (concept("eve", note=reference), concept("mallory", note=reference)):
        thief.secret_refs = [ref]
        for theirs in (thief, store.graph.put(thief)):
            assert store.secrets.resolve(theirs, action="tool", accessor="eve").attributes["note"] == reference
    task = store.tasks.add(Task(task_id="t", channel_id="c", description=reference))
    assert store.secrets.resolve(task, action="tool", accessor="eve") == task
    log = store.secrets.access_log(ref).items
    assert log and not any(entry.granted for entry in log)
    assert all(entry.metadata["denied"] == "it belongs to another record" for entry in log)
    assert store.secrets.resolve(stored, action="tool", accessor="me").attributes == {"key": KEY}


def test_a_foreign_reference_deletes_nothing(store: Store) -> None:
    stored = store.graph.put(concept("ada", key=KEY))
    thief = concept("eve", note=stored.attributes["key"], more="password: Tr0ub4dor&3")
    thief.secret_refs = stored.secret_refs
    store.graph.put(thief)
    store.graph.put(concept("eve", note="x", more="password: Tr0ub4dor&4"))
    store.graph.put(thief)
    assert store.graph.delete("eve", "local") == 1
    assert store.secrets.resolve(stored, action="tool", accessor="me").attributes == {"key": KEY}


# --- writing again ----------------------------------------------------------------------------------


def test_a_record_that_was_read_is_written_again(store: Store) -> None:
    stored = store.graph.put(concept("ada", key=KEY, other=1))
    stored.attributes["other"] = 2
    again = store.graph.put(stored)
    assert (again.secret_refs, again.revision) == (stored.secret_refs, 2)
    assert store.secrets.resolve(again, action="tool", accessor="me").attributes == {"key": KEY, "other": 2}
    assert len(store.secrets.find().items) == 1


def test_a_merge_keeps_the_secrets_of_what_stays(store: Store) -> None:
    store.graph.put(concept("ada", first=KEY, second="password: Tr0ub4dor&3"))
    merged = store.graph.put(concept("ada", third="password: Tr0ub4dor&4", second="nothing here"))
    assert merged.revision == 2 and len(merged.secret_refs) == 2
    seen = store.secrets.resolve(merged, action="tool", accessor="me").attributes
    assert seen == {"first": KEY, "second": "nothing here", "third": "password: Tr0ub4dor&4"}
    assert len(store.secrets.find().items) == 2, "the secret of the value that was replaced is gone"
    assert len(store.graph.put(concept("ada"), remove=["first"]).secret_refs) == 1
    assert len(store.graph.get("ada", "local").secret_refs) == 1
    assert store.graph.put(concept("ada", x=1), merge=False).secret_refs == []
    assert [found.secret_refs for found in store.graph.find().items] == [[]]


def test_secret_refs_do_not_grow_with_every_new_password(store: Store, url: str) -> None:
    for number in range(20):
        stored = store.graph.put(concept("ada", password=f"pw-{number}", n=number))
    assert len(stored.secret_refs) == len(store.secrets.find().items) == 1 and stored.revision == 20
    assert everything_in(store, url).count(stored.secret_refs[0]) >= 2


def test_conflicts_are_what_they_were(store: Store) -> None:
    store.graph.put(concept("ada", key=KEY))
    with pytest.raises(Conflict):
        store.graph.put(concept("ada", key=KEY), insert=True)
    with pytest.raises(Conflict):
        store.graph.put(concept("ada", key=KEY), expected_revision=7)
    with pytest.raises(Conflict):
        store.graph.put(GraphNode(id="ada", type="user", scope="local", attributes={"key": KEY}))
    with pytest.raises(Conflict):
        store.graph.put_many([concept("new", key=KEY), concept("ada", key=KEY)], insert=True)
    assert len(store.secrets.find().items) == 1
    assert store.graph.put(concept("ada", key=KEY), expected_revision=1).revision == 2


def test_an_expired_node_leaves_no_secret_to_its_successor(store: Store, clock: ManualClock) -> None:
    guest = concept("ada", key=KEY)
    guest.expires_at = clock.now() + timedelta(hours=1)
    old = store.graph.put(guest)
    clock.advance(hours=2)
    new = store.graph.put(concept("ada", password="swordfish"))
    assert set(new.attributes) == {"password"} and not set(new.secret_refs) & set(old.secret_refs)
    assert only_id(store) == new.secret_refs[0]


@pytest.mark.parametrize("exist", ["task", "thought", "correlation"])
def test_the_same_secret_again_is_no_conflict(store: Store, exist: str) -> None:
    store.tasks.add(Task(task_id="of thoughts", channel_id="c", description="d"))

    def add(value: str) -> Any:
        if exist == "task":
            return store.tasks.add(Task(task_id="t", channel_id="c", description=value), exist_ok=True)
        if exist == "thought":
            thought = Thought(thought_id="t", source_task_id="of thoughts", content=value)
            return store.thoughts.add(thought, exist_ok=True)
        fields = {"correlation_id": "c", "service_type": "s", "handler_name": "h", "action_type": "a"}
        return store.correlations.add(Correlation(**fields, log_level="x", log_message=value), exist_ok=True)

    first = add(f"it is {KEY}")
    assert add(f"it is {KEY}") == first
    assert len(store.secrets.find().items) == 1
    for other in (f"it was {KEY}", f"it is {KEY[:-1]}X", "it is nothing"):
        with pytest.raises(Conflict):
            add(other)
    assert len(store.secrets.find().items) == 1


def test_a_write_that_finds_nothing_or_fails_leaves_no_secret(store: Store) -> None:
    assert store.tasks.update("nobody", description=KEY) is False
    assert store.secrets.find().items == []
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        tx.graph.put(concept("ada", key=KEY))
        assert len(tx.secrets.find().items) == 1
        raise ZeroDivisionError
    assert store.secrets.find().items == []


# --- going ------------------------------------------------------------------------------------------


def test_secrets_go_with_their_record(store: Store) -> None:
    store.graph.put_many([concept("ada", key=KEY), concept("bob", key=KEY)])
    store.graph.put_edge(edge())
    store.tasks.add(Task(task_id="t", channel_id="c", description=KEY))
    store.tasks.add(Task(task_id="x", channel_id="c", description="d"))
    store.thoughts.add(Thought(thought_id="th", source_task_id="x", content=KEY))
    row = store.correlations.add(log_of(KEY))
    assert len(store.secrets.find().items) == 6
    for left, delete in enumerate(
        [
            lambda: store.correlations.delete(row.correlation_id),
            lambda: store.for_occurrence("default").thoughts.delete("th"),
            lambda: store.tasks.delete("t"),
            lambda: store.graph.delete_edge("ada", "bob", "gave", "local"),
            lambda: store.graph.delete("ada", "local"),
            lambda: store.graph.delete_many([("bob", "local")]),
        ]
    ):
        assert delete() == 1
        assert len(store.secrets.find().items) == 5 - left


def test_what_nothing_refers_to_is_swept(store: Store, clock: ManualClock) -> None:
    store.graph.put(concept("ada", key=KEY, stays=f"x {KEY[:-1]}b"))
    store.tasks.add(Task(task_id="t", channel_id="c", description=KEY))
    store.thoughts.add(Thought(thought_id="th", source_task_id="t", content=KEY))
    store.graph.put(concept("ada", key="plain"))
    store.tasks.delete("t")
    clock.advance(minutes=5)
    assert store.secrets.sweep() == 0
    clock.advance(minutes=6)
    assert store.secrets.sweep() == 2
    assert store.secrets.sweep() == 0
    seen = store.secrets.resolve(store.graph.get("ada", "local"), action="tool", accessor="me")
    assert seen.attributes["stays"].endswith("b")


def test_maintenance_sweeps(store: Store, clock: ManualClock) -> None:
    store.tasks.add(Task(task_id="t", channel_id="c", description=KEY))
    store.tasks.update("t", description="nothing")
    clock.advance(minutes=11)
    service = DatabaseMaintenanceService(store, archive_dir=None)
    assert service.run(dry_run=True).unused_secrets == 0 and len(store.secrets.find().items) == 1
    assert service.run().unused_secrets == 1 and store.secrets.find().items == []


def test_forgetting_a_secret_keeps_its_log(store: Store) -> None:
    stored = store.graph.put(concept("ada", key=KEY))
    store.secrets.resolve(stored, action="tool", accessor="me")
    key = only_id(store)
    assert store.secrets.delete_many([key, "nobody"], accessor="ada") == 1
    assert store.secrets.delete(key) == 0
    assert store.secrets.get(key) is None and store.secrets.find().items == []
    assert store.secrets.resolve(stored, action="tool", accessor="me") == stored
    log = [(entry.action, entry.accessor, entry.granted) for entry in store.secrets.access_log(key).items]
    assert log == [("tool", "me", True), ("forget", "ada", True), ("tool", "me", False)]
