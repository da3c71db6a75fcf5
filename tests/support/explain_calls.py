"""Calls whose plans are examined, and those that may read much or sort."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from ciris_store_core.conformance import factories as make
from ciris_store_core.conformance.factories import LOCAL, T0, at
from ciris_store_core.contract import ThoughtSelector
from ciris_store_core.models import CorrelationStatus, CorrelationType, Direction, EdgeKey, NodeKey
from ciris_store_core.models.audit import AuditQuery
from ciris_store_core.models.correlations import AggregateQuery, CorrelationFilter, CorrelationQuery, PercentileQuery
from ciris_store_core.models.document_filters import field
from ciris_store_core.models.documents import DocumentKey, DocumentQuery, DocumentWrite, NamespaceQuery
from ciris_store_core.models.enums import Resolution, RetentionPolicy, TaskStatus, ThoughtStatus
from ciris_store_core.models.graph import EdgeQuery, NodeQuery, SearchQuery, Traversal
from ciris_store_core.models.paging import PageRequest
from ciris_store_core.models.streams import EntryQuery, StreamKey, StreamQuery
from ciris_store_core.models.tasks import TaskQuery
from ciris_store_core.models.thoughts import ThoughtQuery
from tests.support.explain_store import LATE, STREAM, TASKS, _document, _edge, _entry, _node

ME = "owner 3"
ACTIVE = (TaskStatus.ACTIVE,)
UNFINISHED = (TaskStatus.PENDING, TaskStatus.ACTIVE)
COMPLETED = (TaskStatus.COMPLETED,)
Call = Callable[[Any], object]


def tasks(**query: Any) -> Call:
    return lambda s: s.tasks.find(TaskQuery(limit=10, **query))


def thoughts(**query: Any) -> Call:
    return lambda s: s.thoughts.find(ThoughtQuery(limit=10, **query))


def correlations(*, descending: bool = False, after: Any = None, **where: Any) -> Call:
    query = CorrelationQuery(limit=10, after=after, where=CorrelationFilter(**where), descending=descending)
    return lambda s: s.correlations.find(query)


def nodes(**query: Any) -> Call:
    return lambda s: s.graph.list_nodes(NodeQuery(limit=10, **query))


def edges(**query: Any) -> Call:
    return lambda s: s.graph.list_edges(EdgeQuery(limit=10, **query))


def aggregate(function: Any, *group_by: str, **where: Any) -> Call:
    query = AggregateQuery(CorrelationFilter(**where), function, timedelta(hours=1), group_by)
    return lambda s: s.correlations.aggregate(query)


WINDOW = {"time_from": at(100), "time_to": at(400)}
ONE_NODE = [NodeKey("node 2", LOCAL)]
TWO_NODES = [*ONE_NODE, NodeKey("node 4", LOCAL)]
ONE_EDGE = [EdgeKey("node 2", "node 14", "kind 2", LOCAL)]
TASK_CALLS: dict[str, Call] = {
    "add one task": lambda s: s.tasks.add([make.task("new")]),
    "add many tasks": lambda s: s.tasks.add([make.task("new 1"), make.task("new 2")]),
    "add or get a task": lambda s: s.tasks.add_or_get(make.task("task 1")),
    "get one task": lambda s: s.tasks.get(["task 1"], None),
    "get many tasks": lambda s: s.tasks.get(["task 1", "task 2"], ME),
    "update a task": lambda s: s.tasks.update("task 3", {"status": TaskStatus.ACTIVE, "updated_at": T0}, ME, None),
    "update a task under its fence": lambda s: s.tasks.update("task 3", {"updated_at": T0}, ME, 0),
    "hold a task": lambda s: s.tasks.lock_claim("task 3", 0),
    "delete tasks": lambda s: s.tasks.delete(["task 10", "task 20"]),
    "claim tasks": lambda s: s.tasks.claim_next("worker", "owner 0", 5, T0),
    "release tasks of one": lambda s: s.tasks.release("owner 0", T0, 5),
    "release tasks of the dead": lambda s: s.tasks.release(None, T0, 5),
    "transfer tasks": lambda s: s.tasks.transfer(["task 3", "task 23"], ME, "other", T0),
    "count tasks by status": lambda s: s.tasks.count_by_status(ME),
    "count tasks of all by status": lambda s: s.tasks.count_by_status(None),
    "count tasks of a status": lambda s: s.tasks.count(TaskQuery(occurrence_id=ME, statuses=ACTIVE)),
    "count all tasks": lambda s: s.tasks.count(TaskQuery()),
    "tasks of one owner": tasks(occurrence_id=ME),
    "tasks of one owner, next page": tasks(occurrence_id=ME, after=(at(5), "task 5")),
    "tasks by status": tasks(occurrence_id=ME, statuses=ACTIVE),
    "tasks by status, next page": tasks(occurrence_id=ME, statuses=ACTIVE, after=(at(5), "task 5")),
    "tasks pending for activation": tasks(occurrence_id=ME, statuses=(TaskStatus.PENDING,), order="priority"),
    "tasks pending for activation, next page": tasks(
        occurrence_id=ME, statuses=(TaskStatus.PENDING,), order="priority", after=(5, at(5), "task 5")
    ),
    "top tasks": tasks(occurrence_id=ME, statuses=UNFINISHED, order="priority"),
    "tasks completed last": tasks(occurrence_id=ME, statuses=COMPLETED, order="updated_desc"),
    "tasks completed last, next page": tasks(
        occurrence_id=ME, statuses=COMPLETED, order="updated_desc", after=(at(500), "task 5")
    ),
    "old completed tasks": tasks(occurrence_id=ME, statuses=COMPLETED, updated_to=at(500), order="updated_desc"),
    "tasks that need a seed thought": tasks(occurrence_id=ME, statuses=ACTIVE, needs_seed_thought=True),
    "children of a task": tasks(parent_task_id="task 10"),
    "tasks of a correlation": tasks(correlation_id="correlation 5"),
    "tasks of a channel": tasks(occurrence_id=ME, channel_id="channel 3"),
    "tasks of a shared type": tasks(shared_type="nightly", created_from=at(100)),
    "stale shared tasks": tasks(
        occurrence_id="__shared__", only_shared=True, statuses=(TaskStatus.PENDING,), updated_to=at(100)
    ),
    "orphaned tasks": tasks(orphaned=True, owner_dead_at=T0, updated_to=at(9000)),
    "tasks of all owners": tasks(),
    "tasks of all owners by status": tasks(statuses=ACTIVE),
    "tasks of all owners by priority": tasks(statuses=UNFINISHED, order="priority"),
    "tasks of all owners by update": tasks(statuses=COMPLETED, order="updated_desc"),
}


THOUGHT_CALLS: dict[str, Call] = {
    "add many thoughts": lambda s: s.thoughts.add([make.thought("new 1"), make.thought("new 2")]),
    "get one thought": lambda s: s.thoughts.get(["thought 1"], None),
    "get many thoughts": lambda s: s.thoughts.get(["thought 1", "thought 2"], ME),
    "update a thought": lambda s: s.thoughts.update("thought 3", {"updated_at": T0}, ME),
    "retry a thought": lambda s: s.thoughts.retry("thought 3", ME, 3, T0),
    "escalate a thought": lambda s: s.thoughts.escalate("thought 3", ME, T0),
    "delete thoughts": lambda s: s.thoughts.delete(["thought 1", "thought 2"]),
    "transfer thoughts": lambda s: s.thoughts.transfer(ThoughtSelector(thought_ids=["thought 3"]), ME, "other", T0),
    "transfer thoughts of a task": lambda s: s.thoughts.transfer(ThoughtSelector(task_id="task 2"), ME, "other", T0),
    "count thoughts by status": lambda s: s.thoughts.count_by_status(ME),
    "count thoughts of all by status": lambda s: s.thoughts.count_by_status(None),
    "count all thoughts": lambda s: s.thoughts.count(ThoughtQuery()),
    "thoughts of one owner": thoughts(occurrence_id=ME),
    "thoughts by status": thoughts(occurrence_id=ME, statuses=(ThoughtStatus.PENDING,)),
    "thoughts by status, next page": thoughts(
        occurrence_id=ME, statuses=(ThoughtStatus.PENDING,), after=(at(5), "thought 5")
    ),
    "thoughts of a task": thoughts(source_task_id="task 2"),
    "thoughts of a task and owner": thoughts(source_task_id="task 2", occurrence_id=ME),
    "children of a thought": thoughts(parent_thought_id="thought 10"),
    "thoughts updated last": thoughts(
        occurrence_id=ME, statuses=(ThoughtStatus.COMPLETED,), order="updated_desc", after=(at(500), "thought 5")
    ),
    "pending thoughts of active tasks": thoughts(
        occurrence_id=ME, statuses=(ThoughtStatus.PENDING,), of_active_tasks=True
    ),
    "orphaned thoughts": thoughts(orphaned=True, owner_dead_at=T0, updated_to=at(9000)),
    "thoughts of all owners": thoughts(),
    "thoughts of all owners by status": thoughts(statuses=(ThoughtStatus.PENDING,)),
}


def reducible(kind: CorrelationType, resolution: Resolution, *names: str) -> Call:
    """Return the query of a rollup."""
    where = CorrelationFilter(
        types=(kind,), metric_names=names, time_to=LATE, time_to_exclusive=True, resolutions=(resolution,),
        retention_policies=(RetentionPolicy.DOWNSAMPLED,),
    )  # fmt: skip
    return lambda s: s.correlations.find_locked(CorrelationQuery(limit=10, where=where))


CORRELATION_CALLS: dict[str, Call] = {
    "add many correlations": lambda s: s.correlations.add([make.correlation("new 1"), make.correlation("new 2")]),
    "get one correlation": lambda s: s.correlations.get(["correlation 1"]),
    "get many correlations": lambda s: s.correlations.get(["correlation 1", "correlation 2"]),
    "update a correlation": lambda s: s.correlations.update(
        "correlation 1", {"status": CorrelationStatus.COMPLETED, "updated_at": T0}
    ),
    "delete correlations": lambda s: s.correlations.delete(["correlation 1", "correlation 2"]),
    "delete expired correlations": lambda s: s.correlations.delete_expired(at(500), 10),
    "count all correlations": lambda s: s.correlations.count(CorrelationFilter()),
    "count correlations of a window": lambda s: s.correlations.count(CorrelationFilter(**WINDOW)),
    "recent correlations": correlations(descending=True),
    "recent correlations, next page": correlations(descending=True, after=(at(500), "correlation 500")),
    "correlations by time": correlations(**WINDOW),
    "correlations by type and time": correlations(types=("log_entry",), **WINDOW),
    "correlations by types and time": correlations(types=("log_entry", "trace_span"), **WINDOW),
    "metric series": correlations(metric_names=("metric 4",), tags=(("host", "h1"),), **WINDOW),
    "correlations of a task": correlations(task_id="task 5", action_type="speak"),
    "correlations of a thought": correlations(thought_id="thought 5"),
    "newest correlations of a channel": correlations(channel_id="channel 5", descending=True),
    "trace": correlations(trace_id="trace 5"),
    "children of a correlation": correlations(parent_correlation_id="correlation 10"),
    "errors in the log": correlations(types=("log_entry",), log_levels=("ERROR",), **WINDOW),
    "correlations of one occurrence": correlations(occurrence_id=ME, descending=True, **WINDOW),
    "correlations of one occurrence at any time": correlations(occurrence_id=ME),
    "lock correlations": lambda s: s.correlations.lock(["correlation 1", "correlation 2"]),
    "measurements to make hourly": reducible(CorrelationType.METRIC_DATAPOINT, Resolution.RAW, "metric 0"),
    "hours to make daily": reducible(CorrelationType.METRIC_HOURLY_SUMMARY, Resolution.HOURLY, "metric 8"),
    "log entries to count": reducible(CorrelationType.LOG_ENTRY, Resolution.RAW),
    "names of metrics": lambda s: s.correlations.metric_names(),
    "percentiles of a metric": lambda s: s.correlations.percentiles(
        PercentileQuery(CorrelationFilter(metric_names=("metric 4",), **WINDOW), (0.5,), timedelta(minutes=1))
    ),
    "points": lambda s: s.correlations.points(
        CorrelationQuery(limit=10, where=CorrelationFilter(metric_names=("metric 4",), **WINDOW))
    ),
    "average of a metric": aggregate("avg", metric_names=("metric 4",), **WINDOW),
    "last of a metric by tag": aggregate("last", "host", metric_names=("metric 4",), **WINDOW),
}


GRAPH_CALLS: dict[str, Call] = {
    "put one node": lambda s: s.graph.put_nodes([make.put(_node(2))], T0),
    "put many nodes": lambda s: s.graph.put_nodes([make.put(_node(2)), make.put(make.node("new"))], T0),
    "get one node": lambda s: s.graph.get_nodes(ONE_NODE, T0),
    "get many nodes": lambda s: s.graph.get_nodes(TWO_NODES, T0),
    "delete one node": lambda s: s.graph.delete_nodes(ONE_NODE),
    "delete many nodes": lambda s: s.graph.delete_nodes(TWO_NODES),
    "delete expired nodes": lambda s: s.graph.delete_expired_nodes(at(500), 10),
    "count all nodes": lambda s: s.graph.count_nodes(NodeQuery()),
    "count nodes of a type": lambda s: s.graph.count_nodes(NodeQuery(scope=LOCAL, type="type_2")),
    "nodes of a scope": nodes(scope=LOCAL, now=T0),
    "nodes of a scope, next page": nodes(scope=LOCAL, now=T0, after=(at(500), "node 500", "local")),
    "nodes of a type": nodes(scope=LOCAL, type="type_2", now=T0),
    "nodes of a type in all scopes": nodes(type="type_2", now=T0),
    "nodes of all scopes": nodes(),
    "nodes by update": nodes(scope=LOCAL, updated_from=at(100), updated_to=at(400)),
    "nodes by prefix": nodes(scope=LOCAL, id_prefix="node 12"),
    "nodes by prefix in all scopes": nodes(id_prefix="node 12"),
    "nodes by attribute": nodes(scope=LOCAL, attributes=(("name", "word4"),)),
    "nodes by two attributes": nodes(attributes=(("name", "word4"), ("n", 4))),
    "put one edge": lambda s: s.graph.put_edges([_edge(2)]),
    "put many edges": lambda s: s.graph.put_edges([_edge(2), _edge(4)]),
    "get edges": lambda s: s.graph.get_edges(ONE_EDGE),
    "delete edges": lambda s: s.graph.delete_edges(ONE_EDGE),
    "edges of a scope": edges(scope=LOCAL),
    "all edges, next page": edges(after=("local", "node 2", "node 14", "kind 2")),
    "edges of a source": edges(scope=LOCAL, source="node 2"),
    "edges of a target": edges(scope=LOCAL, target="node 2"),
    "edges of a source in all scopes": edges(source="node 2"),
    "edges of a target in all scopes": edges(target="node 2"),
    "neighbours along edges": lambda s: s.graph.neighbours(["node 2", "node 4"], LOCAL, Direction.OUT, ()),
    "neighbours against edges": lambda s: s.graph.neighbours(["node 2"], LOCAL, Direction.IN, ("kind 1", "kind 2")),
    "neighbours both ways": lambda s: s.graph.neighbours(["node 2"], LOCAL, Direction.BOTH, ()),
    "traverse": lambda s: s.graph.traverse(Traversal(("node 2",), LOCAL, depth=3)),
    "shortest path": lambda s: s.graph.shortest_path(Traversal(("node 2",), LOCAL, Direction.OUT, depth=3), "node 98"),
    "degrees": lambda s: s.graph.degrees(LOCAL, Direction.BOTH, (), 10),
    "search": lambda s: s.graph.search(SearchQuery(("word4",), LOCAL, limit=5, now=T0)),
}


DOCUMENT = DocumentKey(("docs", "d7"), "key 7")
DOCUMENTS_HERE = [DOCUMENT, DocumentKey(("docs", "d8"), "key 8")]


def documents(**query: Any) -> Call:
    return lambda s: s.documents.find(DocumentQuery(limit=10, **query))


DOCUMENT_CALLS: dict[str, Call] = {
    "put one document": lambda s: s.documents.put([DocumentWrite(_document(7))], T0),
    "put a new document": lambda s: s.documents.put([DocumentWrite(_document(-1), "insert")], T0),
    "put at a revision": lambda s: s.documents.put([DocumentWrite(_document(7), expected_revision=1)], T0),
    "put many documents": lambda s: s.documents.put([DocumentWrite(_document(n)) for n in (7, 8, -1)], T0),
    "put some at a revision": lambda s: s.documents.put(
        [DocumentWrite(_document(7), expected_revision=1), DocumentWrite(_document(8))], T0
    ),
    "get one document": lambda s: s.documents.get([DOCUMENT], T0),
    "get many documents": lambda s: s.documents.get(DOCUMENTS_HERE, T0),
    "touch one document": lambda s: s.documents.touch([DOCUMENT], T0),
    "touch many documents": lambda s: s.documents.touch(DOCUMENTS_HERE, T0),
    "lock documents": lambda s: s.documents.lock(DOCUMENTS_HERE),
    "delete one document": lambda s: s.documents.delete([DOCUMENT], T0),
    "delete many documents": lambda s: s.documents.delete(DOCUMENTS_HERE, T0),
    "delete expired documents": lambda s: s.documents.delete_expired(at(1000), 10),
    "delete documents below a prefix": lambda s: s.documents.delete_matching(
        DocumentQuery(limit=10, prefix=("docs", "d7"))
    ),
    "all documents": documents(),
    "documents below a prefix": documents(prefix=("docs", "d7"), now=T0),
    "documents below a prefix, next page": documents(prefix=("docs", "d7"), after=("docs\x01d7\x01", "key 3")),
    "documents below a prefix, backwards": documents(
        prefix=("docs", "d7"), after=("docs\x01d7\x01", "key 3"), descending=True
    ),
    "documents by the prefix of a key": documents(prefix=("docs", "d7"), key_prefix="key 7"),
    "documents by an indexed path": documents(filter=field("name").eq("n7")),
    "documents by an indexed path below a prefix": documents(prefix=("docs", "d7"), filter=field("name").eq("n7")),
    "documents by several values": documents(filter=field("name").is_in(["n7", "n8"])),
    "count documents by an indexed path": lambda s: s.documents.count(DocumentQuery(filter=field("name").eq("n7"))),
    "documents by another path": documents(prefix=("docs", "d7"), filter=field("n").gt(5)),
    "documents by time": documents(prefix=("docs", "d7"), order="updated", descending=True),
    "namespaces": lambda s: s.documents.namespaces(NamespaceQuery(limit=10, prefix=("docs",), now=T0)),
    "encrypted documents": lambda s: s.documents.find_encrypted("k1", DocumentKey(("docs", "d0"), "key 50"), 10),
    "append one entry": lambda s: s.streams.append(STREAM, [_entry(1)], T0, None),
    "append many entries": lambda s: s.streams.append(STREAM, [_entry(1), _entry(2)], T0, TASKS),
    "append an id again": lambda s: s.streams.append(STREAM, [_entry(3), _entry(4)], T0, None),
    "begin a stream": lambda s: s.streams.append(StreamKey(("streams",), "new"), [_entry(1)], T0, None),
    "tail of a stream": lambda s: s.streams.read(STREAM, EntryQuery(limit=10, reverse=True)),
    "entries of a stream": lambda s: s.streams.read(STREAM, EntryQuery(limit=10, after=100)),
    "entries by id": lambda s: s.streams.get(STREAM, ["id 3", "id 6"]),
    "pop an entry": lambda s: s.streams.pop(STREAM, T0),
    "truncate a stream": lambda s: s.streams.truncate(STREAM, 50, None, T0, 20),
    "fork a stream": lambda s: s.streams.fork(STREAM, StreamKey(("streams",), "fork"), 20, T0),
    "delete a stream": lambda s: s.streams.delete([StreamKey(("streams", "s1"), "n1")]),
    "facts of a stream": lambda s: s.streams.info([STREAM]),
    "streams below a prefix": lambda s: s.streams.find(StreamQuery(limit=10, prefix=("streams", "s1"))),
    "streams by update": lambda s: s.streams.find(StreamQuery(limit=10, order="updated")),
    "encrypted entries": lambda s: s.streams.find_encrypted("k1", (STREAM, 50), 10),
}


OTHER_CALLS: dict[str, Call] = {
    "list occurrences": lambda s: s.coordination.list_occurrences(T0),
    "acquire a lease": lambda s: s.coordination.acquire_lease("l", "me", T0, at(60)),
    "list secrets": lambda s: s.secrets.find(PageRequest(limit=10), "k1"),
    "list access to a secret": lambda s: s.secrets.list_access(PageRequest(limit=10), "s"),
    "head of a chain": lambda s: s.audit.head("default"),
    "list audit entries": lambda s: s.audit.find(AuditQuery(limit=10, chain="default")),
}


CALLS = TASK_CALLS | THOUGHT_CALLS | CORRELATION_CALLS | GRAPH_CALLS | DOCUMENT_CALLS | OTHER_CALLS


# Calls that may read much or sort, and why.
ALLOWED: dict[str, str] = {
    "count all tasks": "it counts every row",
    "count all thoughts": "it counts every row",
    "count all correlations": "it counts every row",
    "count all nodes": "it counts every row",
    "count tasks of all by status": "it counts every row",
    "count thoughts of all by status": "it counts every row",
    "recent correlations": "it reads the index by time from its end and stops at the limit",
    "correlations by types and time": "it sorts the window, which the index by type gives one type at a time",
    "last of a metric by tag": "it sorts the groups, which are the answer",
    "percentiles of a metric": "it sorts the samples of each bucket",
    "degrees": "it sorts by a count, which no index holds",
    "search": "it sorts by rank, which no index holds",
    "all documents": "it reads the primary key from its start and stops at the limit",
    "documents by an indexed path": "it sorts what has the value: an index by value is in no order of keys",
    "documents by an indexed path below a prefix": "as documents by an indexed path",
    "documents by several values": "as documents by an indexed path",
    "documents by time": "it sorts what is below the prefix: no index is in the order of time",
    "streams by update": "it sorts all streams: no index is in the order of their last change",
    "nodes by prefix": "it sorts what has the prefix: an index by id cannot be in the order of time as well",
    "nodes by prefix in all scopes": "as nodes by prefix",
    "nodes by two attributes": "it sorts what has the attributes: an index by value is in no order of time",
    "nodes of all scopes": "it merges the first rows of each scope, five times the limit",
    "nodes of a type in all scopes": "as nodes of all scopes",
    "orphaned tasks": "maintenance looks at every task that names a parent, and sorts what it removes",
    "orphaned thoughts": "maintenance looks for a task of every thought, and sorts what it removes",
    "tasks of all owners": "it reads the index of all by time from its start and stops at the limit",
    "tasks of all owners by status": "it reads the index of all by time, passing over other statuses",
    "tasks of all owners by priority": "it sorts what matches, as TaskQuery says",
    "tasks of all owners by update": "it sorts what matches, as TaskQuery says",
    "thoughts of all owners": "as tasks of all owners",
    "thoughts of all owners by status": "as tasks of all owners by status",
    "release tasks of the dead": "it looks at tasks that are claimed and unfinished, all of which an index holds",
}


STRICT = [name for name in CALLS if name not in ALLOWED]
