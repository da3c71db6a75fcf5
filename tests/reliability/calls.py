"""One plain call of every public method of the store, over a store with a record of each kind in it.

The corpus puts its items into their arguments and fields; power cuts and full disks strike while they write.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple

from ciris_store_core import (
    ANY_OCCURRENCE,
    ClaimedTask,
    Metric,
    NewDocument,
    NewEntry,
    OccurrenceHandle,
    Store,
    field,
    open_store,
)
from ciris_store_core.conformance.factories import LOCAL, T0, at, correlation, edge, node, task, thought
from ciris_store_core.models import (
    AuditCheckpoint,
    EdgeKey,
    GraphScope,
    Lease,
    NodeKey,
)
from ciris_store_core.models.correlations import UPDATABLE_CORRELATION_FIELDS
from ciris_store_core.models.documents import DocumentKey
from ciris_store_core.models.tasks import UPDATABLE_TASK_FIELDS
from ciris_store_core.models.thoughts import UPDATABLE_THOUGHT_FIELDS
from ciris_store_core.store.audit.trail import AuditEvent
from tests.reliability.filling import (
    ME,
    OUTCOME,
    SPACE,
    TRACE,
    Home,
    whole_correlation,
    whole_edge,
    whole_node,
    whole_task,
    whole_thought,
)

Arguments = dict[str, Any]

PARTS = (
    "graph", "correlations", "audit", "authorities", "secrets", "tasks", "thoughts", "occurrences", "leases",
    "shared_tasks", "documents", "streams",
)  # fmt: skip

LEASE = Lease(name="job", owner=ME, fence=1, acquired_at=T0, expires_at=at(1000))
KEY = NodeKey("n", LOCAL)
EDGE_KEY = EdgeKey("n", "m", "knows", LOCAL)
CHECKPOINT = AuditCheckpoint(heads=[], at=T0)
_NODES: Arguments = {"scope": LOCAL, "type": "concept", "prefix": "n", "attributes": {"k": "v"}, "updated_from": T0,
                     "updated_to": at(9), "include_expired": False}  # fmt: skip
_TASKS: Arguments = {"status": "pending", "occurrence_id": "default", "channel_id": "channel", "parent_task_id": None,
                     "correlation_id": None, "shared_type": None, "created_from": T0, "updated_to": at(9),
                     "needs_seed_thought": False}  # fmt: skip
_THOUGHTS: Arguments = {
    "status": "pending", "thought_type": "standard", "occurrence_id": "default", "source_task_id": "t",
    "parent_thought_id": None, "created_from": T0, "updated_to": at(9), "of_active_tasks": False,
}  # fmt: skip
_EVENTS: Arguments = {
    "type": None, "min_log_level": None, "occurrence_id": "default", "scope": LOCAL, "time_from": T0, "time_to": at(9),
    "time_to_exclusive": False, "metric_name": "cpu", "log_level": None, "tags": {"host": "a"}, "task_id": None,
    "thought_id": None, "channel_id": None, "action_type": None, "service_type": None, "status": None, "trace_id": None,
    "parent_correlation_id": None, "resolution": None, "retention_policy": None,
}  # fmt: skip
_WALK: Arguments = {"scope": LOCAL, "direction": "out", "relationships": ["knows"]}
_UNDER: Arguments = {"prefix": ["space"], "filter": field("k").eq("v"), "key_prefix": "d"}
_STREAM: Arguments = {"namespace": SPACE, "name": "s"}
_OWNED: Arguments = {"occurrence_id": "default"}
_PAGE: Arguments = {"limit": 10, "cursor": None}
_SHARED: Arguments = {"channel_id": "channel", "description": "d", "priority": 1}


class Method(NamedTuple):
    """A plain call of one method."""

    arguments: Arguments
    writes: bool = False
    positional: tuple[str, ...] = ()
    """Arguments that the method takes by position alone, as ``*ids``: each a list."""
    changes: tuple[type, frozenset[str]] | None = None
    """The record, and its fields that ``**changes`` may name."""


def _reads(**arguments: Any) -> Method:
    return Method(arguments)


def _writes(**arguments: Any) -> Method:
    return Method(arguments, True)


METHODS: dict[str, Method] = {
    "store.for_occurrence": _reads(occurrence_id=ME, ttl_seconds=60),
    # --- graph
    "graph.put": _writes(node=whole_node("new"), merge=True, remove=["gone"], expected_revision=None, insert=False),
    "graph.put_many": _writes(nodes=[whole_node("new"), node("n")], merge=True, insert=False),
    "graph.put_edge": _writes(edge=whole_edge("n", "m")),
    "graph.put_edge_many": _writes(edges=[whole_edge("n", "m"), edge("m", "n")]),
    "graph.increment": _writes(id="n", scope=LOCAL, key="n", by=1),
    "graph.delete": _writes(id="n", scope=LOCAL),
    "graph.delete_many": _writes(keys=[KEY]),
    "graph.delete_edge": _writes(source="n", target="m", relationship="knows", scope=LOCAL),
    "graph.get": _reads(id="n", scope=LOCAL, include_expired=False),
    "graph.get_many": _reads(keys=[KEY], include_expired=False),
    "graph.get_edge": _reads(source="n", target="m", relationship="knows", scope=LOCAL),
    "graph.get_edge_many": _reads(keys=[EDGE_KEY]),
    "graph.delete_edge_many": _writes(keys=[EDGE_KEY]),
    "graph.find_edges": _reads(scope=LOCAL, source="n", target="m", relationship="knows", **_PAGE),
    "graph.scan_edges": _reads(scope=LOCAL, source="n", target="m", relationship="knows", on_corrupt=None),
    "graph.count": _reads(**_NODES),
    "graph.find": _reads(**_NODES, **_PAGE),
    "graph.scan": _reads(**_NODES, on_corrupt=None),
    "graph.search": _reads(text="alpha", scope=LOCAL, type="concept", limit=10),
    "graph.degrees": _reads(**_WALK, limit=10),
    "graph.neighbours": _reads(id="n", **_WALK),
    "graph.shortest_path": _reads(start="n", target="m", **_WALK, max_depth=3),
    "graph.subgraph": _reads(start="n", **_WALK, depth=2, limit=10),
    "graph.traverse": _reads(start="n", **_WALK, depth=2, limit=10),
    # --- correlations
    "correlations.add": _writes(correlation=whole_correlation("new"), exist_ok=False),
    "correlations.add_many": _writes(correlations=[whole_correlation("new"), correlation("c2")], exist_ok=False),
    "correlations.add_metrics": _writes(
        metrics=[Metric("cpu", 1.0, {"k": "v"}, T0, "%", "new")], service_type="s", handler_name="h", action_type="a",
        agent_occurrence_id="default", scope=LOCAL, retention_policy="raw", ttl_seconds=10**6, metadata={"k": 1},
    ),
    "correlations.buffered": _writes(
        batch_size=10, max_delay_seconds=1.0, capacity=100, service_type="s", handler_name="h", action_type="a",
        agent_occurrence_id="default", scope=LOCAL, retention_policy="raw", ttl_seconds=10**6, metadata={"k": 1},
    ),
    "correlations.start_interaction": _writes(
        service_type="s", action_type="a", handler_name="h", task_id="t", thought_id="h", channel_id="channel",
        parameters={"k": "v"}, timeout_seconds=1.0, tags={"k": "v"}, scope=LOCAL, trace_context=TRACE,
        parent_correlation_id="pa", agent_occurrence_id="default", metadata={"k": 1},
    ),
    "correlations.complete_interaction": _writes(
        correlation_id="c", success=True, result_summary="s", result_type="t", result_size=1, error_type="e",
        error_message="m", error_traceback="t", tokens_used=1, memory_bytes=1,
    ),
    "correlations.update": Method(
        {"correlation_id": "c"}, True, changes=(type(whole_correlation("x")), UPDATABLE_CORRELATION_FIELDS)
    ),
    "correlations.delete": _writes(correlation_id="c"),
    "correlations.delete_many": _writes(correlation_ids=["c"]),
    "correlations.get": _reads(correlation_id="c"),
    "correlations.get_many": _reads(correlation_ids=["c"]),
    "correlations.by_channel": _reads(channel_id="channel", limit=10),
    "correlations.recent": _reads(limit=10, **_EVENTS),
    "correlations.count": _reads(**_EVENTS),
    "correlations.find": _reads(**_EVENTS, **_PAGE, descending=False),
    "correlations.scan": _reads(**_EVENTS, descending=False, on_corrupt=None),
    "correlations.points": _reads(**_EVENTS, **_PAGE, descending=False),
    "correlations.metric_series": _reads(metric_name="cpu", start=T0, end=at(9), tags={"host": "a"}, **_PAGE),
    "correlations.aggregate": _reads(function="sum", bucket=timedelta(hours=1), group_by=["host"], **_EVENTS),
    "correlations.trace": _reads(trace_id="tr"),
    "correlations.percentiles": _reads(percents=[50.0], bucket=timedelta(hours=1), group_by=["host"], **_EVENTS),
    "correlations.metric_names": _reads(),
    # --- audit
    "audit.append": _writes(event_type="login", actor=ME, payload={"k": 1}),
    "audit.append_many": _writes(events=[AuditEvent("login", ME, {"k": 1}, "new"), AuditEvent("logout", ME)]),
    "audit.prune": _writes(before=at(1), chain=None),
    "audit.checkpoint": _reads(),
    "audit.chains": _reads(),
    "audit.export": _reads(chain="default"),
    "audit.find": _reads(chain="default", **_PAGE),
    "audit.scan": _reads(chain="default"),
    "audit.tail": _reads(chain="default", limit=10),
    "audit.verify": _reads(chain="default", public_keys=[], checkpoint=CHECKPOINT, require_signatures=None, stores=[]),
    # --- authorities
    "authorities.find": _reads(),
    "authorities.bootstrap": _writes(public_key="0" * 64, name="w", identity=[node("self", scope=GraphScope.IDENTITY)]),
    "authorities.register": _writes(public_key="0" * 64, name="w"),
    "authorities.revoke": _writes(key_id="ed25519-0"),
    # --- secrets
    "secrets.resolve": _reads(record=node("n"), action="tool", accessor=ME),
    "secrets.disclose": _reads(secret_id="s", accessor=ME, reason="r"),
    "secrets.delete": _writes(secret_id="s", accessor=ME),
    "secrets.delete_many": _writes(secret_ids=["s"], accessor=ME),
    "secrets.sweep": _writes(older_than=timedelta(minutes=10)),
    "secrets.get": _reads(secret_id="s"),
    "secrets.find": _reads(**_PAGE),
    "secrets.access_log": _reads(secret_id="s", **_PAGE),
    "secrets.check": _reads(),
    # --- tasks
    "tasks.add": _writes(task=whole_task("new"), exist_ok=False),
    "tasks.add_many": _writes(tasks=[whole_task("new"), task("t2")], exist_ok=False),
    "tasks.add_unique": _writes(task=whole_task("new")),
    "tasks.update": Method({"task_id": "t", **_OWNED}, True, changes=(type(whole_task("x")), UPDATABLE_TASK_FIELDS)),
    "tasks.delete": _writes(task_id="t"),
    "tasks.delete_many": _writes(task_ids=["t"]),
    "tasks.transfer": _writes(task_id="t", from_occurrence="default", to_occurrence="other"),
    "tasks.claim_next": _writes(worker=ME, limit=1, queue="default"),
    "tasks.claimed": _reads(task=task("claimed", agent_occurrence_id=ME, fence=1)),
    "tasks.get": _reads(task_id="t", **_OWNED),
    "tasks.get_many": _reads(task_ids=["t"], **_OWNED),
    "tasks.count": _reads(**_TASKS),
    "tasks.count_by_status": _reads(**_OWNED),
    "tasks.find": _reads(order="priority", **_TASKS, **_PAGE),
    "tasks.scan": _reads(order="created", on_corrupt=None, **_TASKS),
    "tasks.needing_seed_thought": _reads(limit=10, **_OWNED),
    "tasks.pending_for_activation": _reads(limit=10, **_OWNED),
    "tasks.recent_completed": _reads(limit=10, **_OWNED),
    "tasks.top": _reads(limit=10, **_OWNED),
    # --- thoughts
    "thoughts.add": _writes(thought=whole_thought("new"), exist_ok=False),
    "thoughts.add_many": _writes(thoughts=[whole_thought("new"), thought("h2")], exist_ok=False),
    "thoughts.update": Method(
        {"thought_id": "h", **_OWNED}, True, changes=(type(whole_thought("x")), UPDATABLE_THOUGHT_FIELDS)
    ),
    "thoughts.delete": _writes(thought_id="h"),
    "thoughts.delete_many": _writes(thought_ids=["h"]),
    "thoughts.transfer": _writes(thought_id="h", task_id=None, from_occurrence="default", to_occurrence="other"),
    "thoughts.retry": _writes(thought_id="failed", max_retries=3, **_OWNED),
    "thoughts.escalate": _writes(thought_id="h", **_OWNED),
    "thoughts.get": _reads(thought_id="h", **_OWNED),
    "thoughts.get_many": _reads(thought_ids=["h"], **_OWNED),
    "thoughts.count": _reads(**_THOUGHTS),
    "thoughts.count_by_status": _reads(**_OWNED),
    "thoughts.find": _reads(order="created", **_THOUGHTS, **_PAGE),
    "thoughts.scan": _reads(order="created", on_corrupt=None, **_THOUGHTS),
    "thoughts.pending_of_active_tasks": _reads(limit=10, **_OWNED),
    # --- coordination
    "occurrences.register": _writes(occurrence_id="new", ttl_seconds=60, metadata={"k": 1}),
    "occurrences.heartbeat": _writes(occurrence_id=ME, ttl_seconds=60),
    "occurrences.remove": _writes(occurrence_id=ME),
    "occurrences.find": _reads(alive_only=True),
    "leases.acquire": _writes(name="new", owner=ME, ttl_seconds=60),
    "leases.lock": _writes(name="new", owner=ME, ttl_seconds=60),
    "leases.renew": _writes(lease=LEASE, ttl_seconds=60),
    "leases.release": _writes(lease=LEASE),
    "leases.find": _reads(held_only=True),
    "shared_tasks.try_claim": _writes(task_type="TYPE", occurrence_id=ME, **_SHARED),
    "shared_tasks.claim_and_transfer": _writes(task_type="wakeup", occurrence_id=ME, **_SHARED),
    "shared_tasks.status": _reads(task_type="wakeup", within_hours=24),
    "shared_tasks.latest": _reads(task_type="wakeup", within_hours=24),
    "shared_tasks.is_completed": _reads(task_type="wakeup", within_hours=24),
    # --- documents and streams
    "documents.put": _writes(
        namespace=SPACE, key="new", value={"k": "v"}, merge=True, expected_revision=None, insert=False, ttl=60,
        media_type=None, metadata={"k": 1}, secrets="plain",
    ),
    "documents.put_many": _writes(
        documents=[NewDocument(SPACE, "new", {"k": "v"}, None, {"k": 1}, 60, None), NewDocument(SPACE, "d", 1)],
        secrets="plain",
    ),
    "documents.get": _reads(namespace=SPACE, key="d", refresh=False, for_update=False),
    "documents.get_many": _reads(keys=[DocumentKey(tuple(SPACE), "d")], refresh=False, for_update=False),
    "documents.touch": _writes(namespace=SPACE, key="d"),
    "documents.find": _reads(order="key", descending=False, **_UNDER, **_PAGE),
    "documents.scan": _reads(order="key", descending=False, on_corrupt=None, **_UNDER),
    "documents.count": _reads(**_UNDER),
    "documents.namespaces": _reads(prefix=["space"], suffix=["a"], max_depth=2, **_PAGE),
    "documents.delete": _writes(namespace=SPACE, key="d"),
    "documents.delete_many": _writes(keys=[DocumentKey(tuple(SPACE), "d")]),
    "documents.delete_matching": _writes(**_UNDER),
    "documents.create_index": Method({"path": ["k"]}, True, positional=("path",)),
    "documents.drop_index": Method({"path": ["k"]}, True, positional=("path",)),
    "streams.append": _writes(
        entries=[NewEntry({"k": "v"}, "said", "new", None)], expected_position=None, secrets="plain", **_STREAM
    ),
    "streams.read": _reads(after=None, reverse=False, **_STREAM, **_PAGE),
    "streams.scan": _reads(after=None, reverse=False, on_corrupt=None, **_STREAM),
    "streams.tail": _reads(n=10, **_STREAM),
    "streams.last": _reads(**_STREAM),
    "streams.get": _reads(id="e", **_STREAM),
    "streams.get_many": _reads(ids=["e"], **_STREAM),
    "streams.pop": _writes(**_STREAM),
    "streams.truncate": _writes(before=2, after=None, **_STREAM),
    "streams.fork": _writes(source=(SPACE, "s"), target=(SPACE, "fork"), up_to=1),
    "streams.delete": _writes(**_STREAM),
    "streams.delete_many": _writes(streams=[(SPACE, "s")]),
    "streams.info": _reads(**_STREAM),
    "streams.count": _reads(prefix=["space"], name_prefix="s"),
    "streams.find": _reads(prefix=["space"], name_prefix="s", order="name", descending=False, **_PAGE),
    # --- an occurrence, and what it claimed
    "handle.register": _writes(ttl_seconds=60, metadata={"k": 1}),
    "handle.heartbeat": _writes(ttl_seconds=60),
    "handle.claim_next": _writes(limit=1, queue="default"),
    "handle.try_claim_shared": _writes(task_type="TYPE", **_SHARED),
    "handle.take_over": _writes(occurrence_id="dead", limit=10),
    "handle.rescue": _writes(limit=10),
    "handle.recover_thoughts": _writes(),
    "handle.release_work": _writes(),
    "handle.shutdown": _writes(),
    "claimed.add_thought": _writes(
        thought=whole_thought("new").replaced(source_task_id="claimed", agent_occurrence_id=ME)
    ),
    "claimed.update_thought": Method(
        {"thought_id": "mine"}, True, changes=(type(whole_thought("x")), UPDATABLE_THOUGHT_FIELDS)
    ),
    "claimed.update": Method({}, True, changes=(type(whole_task("x")), UPDATABLE_TASK_FIELDS)),
    "claimed.complete": _writes(outcome=OUTCOME),
    "claimed.fail": _writes(outcome=OUTCOME),
}  # fmt: skip
"""Every public method that takes something from its caller or changes anything, with arguments that it accepts."""

PLAIN_WRITES = [name for name, method in METHODS.items() if method.writes and not name.startswith("authorities.")]
"""Writes that can be done again and again; a store is founded once, and its authorities approve what follows."""

WITHOUT_INPUT = (
    {
        f"store.{name}"
        for name in (
            "capabilities", "clock", "close", "info", "is_empty", "run", "server_now", "start_background", "stats",
            "transaction",
        )
    }
    | {"secrets.rotate"}
    | {f"store.{part}" for part in PARTS}
)  # fmt: skip
"""Calls that take no value and store none; rotation stores the values that it found, under another key."""


def part_of(home: Home, part: str) -> Any:
    """Objects with the methods of that part."""
    if part == "store":
        return home
    if part == "handle":
        return home.for_occurrence(ME, 1000)
    if part == "claimed":
        claimed = home.tasks.get("claimed", occurrence_id=ANY_OCCURRENCE)
        assert claimed is not None
        return home.tasks.claimed(claimed)
    return getattr(home, part)


@cache
def method_of(name: str) -> Callable[..., Any]:
    """The function that a name stands for."""
    part, _, method = name.partition(".")
    kind: type
    if part in ("store", "handle", "claimed"):
        kind = {"store": Store, "handle": OccurrenceHandle, "claimed": ClaimedTask}[part]
    else:
        with open_store("memory://calls") as store:
            kind = type(getattr(store, part))
    found: Callable[..., Any] = getattr(kind, method)
    return found


def public_methods() -> Iterator[str]:
    """The names of all methods that users may call."""
    with open_store("memory://calls") as store:
        kinds: dict[str, type] = {"store": Store, "handle": OccurrenceHandle, "claimed": ClaimedTask}
        kinds |= {part: type(getattr(store, part)) for part in dir(store) if _is_part(store, part)}
    for part, kind in kinds.items():
        own = [each for each in kind.__mro__ if each.__module__.startswith("ciris_store_core")]
        names = {name for each in own for name, value in vars(each).items() if inspect.isfunction(value)}
        yield from sorted(f"{part}.{name}" for name in names if not name.startswith("_"))


def _is_part(store: Store, name: str) -> bool:
    return not name.startswith("_") and type(getattr(store, name)).__module__.startswith("ciris_store_core.store")


def call(home: Home, name: str, arguments: Arguments) -> Any:
    """Call a method; what it yields one by one is read to the end."""
    method = METHODS[name]
    part, _, function = name.partition(".")
    given = dict(arguments)
    positional = [value for each in method.positional for value in given.pop(each)]
    answer = getattr(part_of(home, part), function)(*positional, **given)
    if name == "correlations.buffered":
        with answer as writer:
            writer.add(Metric("cpu", 1.0, {"k": "v"}, T0, "%", "new"))
        return None
    if name == "leases.lock":
        with answer as held:
            return held
    return list(answer) if isinstance(answer, Iterator) else answer


def plain_arguments(name: str) -> Arguments:
    """The arguments that the method accepts, with one change for those that take ``**changes``."""
    method = METHODS[name]
    if method.changes is None:
        return method.arguments
    text = (
        "content" if "content" in method.changes[1] else "description" if "description" in method.changes[1] else None
    )
    return {**method.arguments, **({text: "changed"} if text else {"metadata": {"k": 2}})}
