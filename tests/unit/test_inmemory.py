"""The reference backend: what the conformance suite does not look at, and what everything else in it rests on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ciris_store_core import errors
from ciris_store_core.clock import ManualClock
from ciris_store_core.contract import Session
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.contract.registry import Registry
from ciris_store_core.inmemory import BACKEND, MemoryBackend
from ciris_store_core.models import (
    AuditAnchor,
    AuditEntry,
    EdgeAttributes,
    GraphEdge,
    GraphNode,
    GraphScope,
    Occurrence,
    Task,
    Thought,
    ThoughtStatus,
)
from ciris_store_core.models.graph import NodeQuery, NodeWrite, SearchQuery
from ciris_store_core.models.tasks import TaskQuery
from ciris_store_core.url import resolve_url
from ciris_store_core.words import search_terms
from tests.support import factories

NOW = datetime(2025, 1, 1, 12, tzinfo=UTC)
LOCAL = GraphScope.LOCAL


@pytest.fixture
def backend() -> Iterator[MemoryBackend]:
    opened = MemoryBackend(ManualClock(NOW), wait_seconds=0.01)
    opened.prepare(migrate=True)
    yield opened
    opened.close()


def node(id: str, attributes: dict[str, Any] | None = None, **fields: Any) -> GraphNode:
    defaults: dict[str, Any] = {"type": "concept", "created_at": NOW, "updated_at": NOW}
    return GraphNode(id=id, scope=LOCAL, attributes=attributes or {}, **{**defaults, **fields})


def task(id: str, **fields: Any) -> Task:
    return factories.task(id, **{"created_at": NOW, "updated_at": NOW, **fields})


def put(backend: MemoryBackend, *nodes: GraphNode, **how: Any) -> list[GraphNode]:
    with backend.session(write=True) as session:
        return session.graph.put_nodes([NodeWrite(each, **how) for each in nodes], NOW)


def ids(backend: MemoryBackend, **query: Any) -> list[str]:
    with backend.session(write=False) as session:
        return [each.id for each in session.graph.list_nodes(NodeQuery(**query)).items]


def in_thread(work: Any) -> BaseException | None:
    """Run ``work`` in another thread; returns what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


# --- opening ----------------------------------------------------------------------------------


def test_the_registry_opens_it() -> None:
    spec = Registry().spec_for("memory")
    assert spec is BACKEND
    opened = spec.factory(resolve_url("memory://"), BackendContext(ManualClock(NOW)))
    assert (opened.capabilities, opened.server_now(), opened.is_empty()) == (spec.capabilities, NOW, True)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(errors.InvalidURL):
        BACKEND.factory(resolve_url("memory://x?colour=red"), BackendContext(ManualClock(NOW)))


def test_a_named_database_lives_as_long_as_it_is_open_somewhere() -> None:
    first, second = MemoryBackend(ManualClock(), "shared"), MemoryBackend(ManualClock(), "shared")
    other, private = MemoryBackend(ManualClock(), "other"), MemoryBackend(ManualClock())
    put(first, node("a"))
    first.close()
    assert [ids(each) for each in (second, other, private)] == [["a"], [], []]
    second.close()
    assert MemoryBackend(ManualClock(), "shared").is_empty()


def test_a_new_database_needs_leave_to_be_made() -> None:
    opened = MemoryBackend(ManualClock(), "fresh")
    with pytest.raises(errors.MigrationRequired):
        opened.prepare(migrate=False)
    opened.prepare(migrate=True)
    MemoryBackend(ManualClock(), "fresh", create=False).prepare(migrate=False)
    with pytest.raises(errors.MigrationRequired):
        MemoryBackend(ManualClock(), create=False).prepare(migrate=True)


def test_after_close_every_call_is_refused(backend: MemoryBackend) -> None:
    backend.close()
    backend.close()
    for call in (backend.server_now, backend.is_empty, backend.info, backend.stats, lambda: ids(backend)):
        with pytest.raises(errors.StoreClosed):
            call()


def test_a_forked_process_opens_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = MemoryBackend(ManualClock(), "forked")
    put(parent, node("a"))
    monkeypatch.setattr("os.getpid", lambda: 0)
    with pytest.raises(errors.StoreClosed):
        ids(parent)
    assert MemoryBackend(ManualClock(), "forked").is_empty()


# --- transactions -----------------------------------------------------------------------------


def test_an_exception_rolls_everything_back(backend: MemoryBackend) -> None:
    put(backend, node("a"))
    with pytest.raises(KeyboardInterrupt), backend.session(write=True) as session:
        session.graph.put_nodes([NodeWrite(node("b"))], NOW)
        session.graph.delete_nodes([node("a").key])
        session.tasks.add([task("t")])
        raise KeyboardInterrupt
    assert ids(backend) == ["a"]
    assert backend.stats()["tasks"] == 0


def test_savepoints_nest_and_are_undone_alone(backend: MemoryBackend) -> None:
    with backend.session(write=True) as session:
        session.tasks.add([task("kept")])
        with session.savepoint():
            session.tasks.add([task("also kept")])
            with pytest.raises(errors.Conflict), session.savepoint():
                session.tasks.add([task("undone")])
                session.tasks.add([task("new"), task("kept")])
        with pytest.raises(ValueError), session.savepoint():
            with session.savepoint():
                session.tasks.delete(["kept"])
            raise ValueError
        session.tasks.add([task("last")])
    with backend.session(write=False) as session:
        assert [each.task_id for each in session.tasks.find(TaskQuery()).items] == ["also kept", "kept", "last"]


def test_readers_see_only_what_is_committed(backend: MemoryBackend) -> None:
    put(backend, node("a"))
    with backend.session(write=True) as session:
        session.graph.put_nodes([NodeWrite(node("b"))], NOW)
        elsewhere: list[str] = []
        assert in_thread(lambda: elsewhere.extend(ids(backend))) is None
        assert ids(backend) == elsewhere == ["a"]
    assert ids(backend) == ["a", "b"]


def test_a_second_writer_gives_up_in_the_end(backend: MemoryBackend) -> None:
    with backend.session(write=True):
        assert isinstance(in_thread(lambda: put(backend, node("b"))), errors.Unavailable)
        with pytest.raises(errors.TransactionError):
            put(backend, node("c"))
    put(backend, node("d"))
    assert ids(backend) == ["d"]


def test_a_session_cannot_be_used_when_it_is_over_or_beyond_its_purpose(backend: MemoryBackend) -> None:
    put(backend, node("a"))
    with backend.session(write=False) as reading:
        with pytest.raises(errors.TransactionError):
            reading.graph.delete_nodes([node("a").key])
        with pytest.raises(errors.TransactionError):
            reading.audit.head("c")
    with backend.session(write=True) as writing:
        pass
    for session in (reading, writing):
        with pytest.raises(errors.TransactionError):
            session.graph.list_nodes(NodeQuery())
        with pytest.raises(errors.TransactionError):
            session.tasks.add([task("t")])
    assert ids(backend) == ["a"]


def test_concurrent_merges_keep_every_key() -> None:
    backend = MemoryBackend(ManualClock(NOW))
    keys = [f"k{number}" for number in range(16)]
    threads = [threading.Thread(target=put, args=(backend, node("a", {key: 1}))) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (stored,) = put(backend, node("a"))
    assert (sorted(stored.attributes), stored.revision) == (sorted(keys), 17)


def test_nothing_given_or_returned_is_aliased(backend: MemoryBackend) -> None:
    given = node("a", {"list": [{"x": (1, -0.0)}]})
    (returned,) = put(backend, given)
    given.attributes["list"][0]["x"] = "spoilt"
    returned.attributes["list"].append("spoilt")
    with backend.session(write=False) as session:
        session.graph.list_nodes(NodeQuery()).items[0].attributes.clear()
        (stored,) = session.graph.get_nodes([given.key], None)
    assert repr(stored.attributes) == "{'list': [{'x': [1, 0.0]}]}"


def test_further_attributes_of_edges_are_kept(backend: MemoryBackend) -> None:
    further: dict[str, Any] = {"why": [1]}
    edge = GraphEdge(
        source="a",
        target="b",
        relationship="r",
        scope=LOCAL,
        attributes=EdgeAttributes(created_at=NOW, **further),
        revision=1,
    )
    put(backend, node("a"), node("b"))
    with backend.session(write=True) as session:
        session.graph.put_edges([edge])
        (stored,) = session.graph.get_edges([edge.key])
    assert stored == edge
    assert stored.attributes.model_dump()["why"] == [1]


# --- what the aggregates add -------------------------------------------------------------------


def test_pages_follow_columns_of_both_directions(backend: MemoryBackend) -> None:
    tasks = [task(f"t{n}", priority=n % 3, created_at=NOW + timedelta(seconds=n % 2)) for n in range(12)]
    expected = sorted(tasks, key=lambda each: (-each.priority, each.created_at, each.task_id))
    found: list[Task] = []
    query = TaskQuery(limit=5, order="priority")
    with backend.session(write=True) as session:
        session.tasks.add(tasks)
        while True:
            part = session.tasks.find(query)
            found += part.items
            if part.next_after is None:
                break
            query = TaskQuery(limit=5, order="priority", after=part.next_after)
    assert found == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [(1, ["float", "int"]), (1.0, ["float", "int"]), (True, ["bool"]), ("1", ["text"]), (None, ["null"]), (0, [])],
)
def test_attributes_are_equal_as_in_json(backend: MemoryBackend, wanted: Any, expected: list[str]) -> None:
    values = {"int": 1, "float": 1.0, "bool": True, "text": "1", "null": None, "list": [1]}
    put(backend, node("absent"), *(node(id, {"v": value}) for id, value in values.items()))
    assert ids(backend, attributes=(("v", wanted),)) == expected


def test_writing_over_an_expired_node_begins_anew_but_for_its_revision(backend: MemoryBackend) -> None:
    put(backend, node("a", {"old": 1}, expires_at=NOW - timedelta(seconds=1)))
    (stored,) = put(backend, node("a", {"new": 1}, type="user"), mode="insert", expected_revision=0)
    assert (stored.attributes, stored.type, stored.revision, stored.expires_at) == ({"new": 1}, "user", 2, None)


def test_a_merge_keeps_what_was_not_given(backend: MemoryBackend) -> None:
    put(backend, node("a", {"x": 1, "y": 1}, version=3, secret_refs=["s1"], metadata={"m": 1}))
    later = NOW + timedelta(days=1)
    change = node("a", {"y": 2}, created_at=later, updated_at=later, secret_refs=["s2", "s1"], updated_by="me")
    (merged,) = put(backend, change, given=frozenset({"updated_by"}), remove=("x",))
    assert merged == node(
        "a", {"y": 2}, version=3, revision=2, updated_at=later, updated_by="me", secret_refs=["s1", "s2"],
        metadata={"m": 1},
    )  # fmt: skip
    (replaced,) = put(backend, change, mode="replace", expected_revision=2)
    assert (replaced.attributes, replaced.secret_refs, replaced.created_at) == ({"y": 2}, ["s2", "s1"], NOW)


def test_a_merge_cannot_grow_past_the_limit(backend: MemoryBackend) -> None:
    put(backend, node("a", {"x": "x" * 9_000_000}))
    with pytest.raises(errors.InvalidArgument):
        put(backend, node("b"), node("a", {"y": "y" * 9_000_000}))
    assert ids(backend) == ["a"]


def test_search_wants_every_word_whole(backend: MemoryBackend) -> None:
    put(backend, node("blue-whale", {"eats": ["Krill"]}), node("b", {"text": "a blue krill, a BLUE whale_krill"}))
    put(backend, node("c", {"text": "blues krill"}), node("É"))

    def hits(*words: str) -> list[str]:
        with backend.session(write=False) as session:
            return [hit.node.id for hit in session.graph.search(SearchQuery(search_terms(" ".join(words))))]

    assert hits("blue", "KRILL") == ["blue-whale", "b"]
    assert (hits("eats krill"), hits("bl"), hits("é"), hits("-")) == (["blue-whale"], [], ["É"], [])


def claimed(session: Session) -> Task:
    session.tasks.add([task("t", agent_occurrence_id="queue"), task("low", agent_occurrence_id="queue", priority=0)])
    fields: dict[str, Any] = {"source_task_id": "t", "content": "c", "created_at": NOW, "updated_at": NOW}
    session.thoughts.add(
        [
            Thought(thought_id="mine", agent_occurrence_id="queue", status=ThoughtStatus.PROCESSING, **fields),
            Thought(thought_id="done", agent_occurrence_id="queue", status=ThoughtStatus.COMPLETED, **fields),
            Thought(thought_id="other", agent_occurrence_id="other", **fields),
        ]
    )
    session.tasks.update("t", {"priority": 5, "updated_at": NOW}, None, None)
    return session.tasks.claim_next("worker", "queue", 1, NOW)[0]


def owners(session: Session) -> list[tuple[str, str]]:
    found = session.thoughts.get(["done", "mine", "other"], None)
    return sorted((each.agent_occurrence_id, each.status) for each in found)


def test_claimed_work_is_fenced_and_goes_back_when_its_owner_dies(backend: MemoryBackend) -> None:
    with backend.session(write=True) as session:
        mine = claimed(session)
        assert (mine.task_id, mine.agent_occurrence_id, mine.status, mine.fence) == ("t", "worker", "active", 1)
        assert owners(session) == [("other", "pending"), ("queue", "completed"), ("worker", "processing")]
        end = NOW + timedelta(minutes=1)
        session.coordination.put_occurrence(
            Occurrence(occurrence_id="worker", started_at=NOW, heartbeat_at=NOW, expires_at=end)
        )
        assert session.tasks.release(None, NOW, 10) == []
        (returned,) = session.tasks.release(None, end, 10)
        assert (returned.agent_occurrence_id, returned.status, returned.fence) == ("queue", "pending", 2)
        assert owners(session) == [("other", "pending"), ("queue", "completed"), ("queue", "pending")]
        with pytest.raises(errors.StaleFence):
            session.tasks.update("t", {"status": mine.status}, "worker", mine.fence)
        with pytest.raises(errors.StaleFence):
            session.tasks.lock_claim("t", mine.fence)


def test_deleting_tasks_takes_descendants_and_thoughts_even_in_a_circle(backend: MemoryBackend) -> None:
    family = [task("a", parent_task_id="c"), task("b", parent_task_id="a"), task("c", parent_task_id="b")]
    with backend.session(write=True) as session:
        session.tasks.add([*family, task("apart", parent_task_id="gone")])
        session.thoughts.add([Thought(thought_id="x", source_task_id="c", content="c", agent_occurrence_id="other")])
        assert session.tasks.delete(["b", "gone"]) == 3
    assert (backend.stats()["tasks"], backend.stats()["thoughts"]) == (1, 0)


def test_the_fence_of_a_lease_grows_with_every_take_over(backend: MemoryBackend) -> None:
    later, end = NOW + timedelta(seconds=30), NOW + timedelta(seconds=60)
    with backend.session(write=True) as session:
        leases = session.coordination
        assert getattr(leases.acquire_lease("l", "a", NOW, later), "fence", None) == 1
        assert leases.acquire_lease("l", "b", NOW, end) is None
        again = leases.acquire_lease("l", "a", NOW + timedelta(seconds=1), later)
        assert again is not None and (again.fence, again.acquired_at) == (1, NOW)
        assert leases.release_lease("l", "a", 1, NOW + timedelta(seconds=2))
        assert not leases.renew_lease("l", "a", 1, NOW + timedelta(seconds=2), end)
        taken = leases.acquire_lease("l", "a", later, end)
        assert taken is not None and (taken.fence, taken.acquired_at) == (2, later)


def test_the_head_of_a_chain_survives_a_cut(backend: MemoryBackend) -> None:
    def entry(number: int) -> AuditEntry:
        return AuditEntry(
            chain="c", sequence=number, event_type="e", actor="a", previous_hash="p", entry_hash=f"h{number}"
        )

    with backend.session(write=True) as session:
        assert session.audit.head("c") is None
        session.audit.append([entry(1), entry(2)])
        assert session.audit.head("c") == (2, "h2")
        assert session.audit.prune(AuditAnchor(chain="c", sequence=2, entry_hash="h2", removed_count=2)) == 2
        assert (session.audit.head("c"), session.audit.chains()) == ((2, "h2"), ["c"])
